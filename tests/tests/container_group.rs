//! A server in a control group named as container runtimes name it: the call tells the container.

use anyhow::{Result, ensure};
use observer_tests::container::ContainerGroup;
use observer_tests::{Agent, Agreement, Script, curl, live};

#[test]
fn a_process_in_a_container_s_group_is_named_with_its_id() -> Result<()> {
    let Some(_turn) = live(&["python3", "openssl"]) else {
        return Ok(());
    };
    // Before the server, so that it goes after it: a group with a process in it stays.
    let group = ContainerGroup::new()?;
    let server = Script::python().keeping_alive().start()?;
    let tls_server = Script::python().keeping_alive().with_tls().start()?;
    let bare = Script::python().keeping_alive().start()?;
    group.take(server.pid())?;
    group.take(tls_server.pid())?;
    let agent = Agent::start()?;
    for (server, container) in [
        (&server, Some(group.id.as_str())),
        (&tls_server, Some(&group.id)),
        (&bare, None),
    ] {
        curl(&[server.url("/bytes/1"), server.url("/status/404")])?;
        let pairs = Agreement::of(&agent, &server.log, server.port).reached()?;
        ensure!(pairs.len() == 2);
        for pair in pairs {
            ensure!(
                pair.call.process.container.as_deref() == container,
                "{:#?}",
                pair.call
            );
        }
    }
    Ok(())
}
