//! A server in another network namespace, called from outside and from inside.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::namespace::Namespace;
use observer_tests::running::run_ok;
use observer_tests::{Agent, Agreement, Script, curl, requires};

fn seen(tls: bool) -> Result<()> {
    let needs = [
        "root", "cgroup2", "netns", "ip", "curl", "python3", "openssl",
    ];
    let Some(_turn) = requires(&needs) else {
        return Ok(());
    };
    let namespace = Namespace::new()?;
    let script = Script::python()
        .keeping_alive()
        .on("0.0.0.0")
        .inside(&namespace.prefix());
    let server = if tls { script.with_tls() } else { script }.start()?;
    let agent = Agent::start()?;
    let scheme = if tls { "https" } else { "http" };
    let outer = format!("{scheme}://{}:{}", namespace.inside, server.port);
    curl(&[format!("{outer}/bytes/10"), format!("{outer}/status/404")])?;
    let pairs = Agreement::of(&agent, &server.log, server.port).reached()?;
    ensure!(pairs.len() == 2);
    for pair in pairs {
        ensure!(
            pair.call.client.ip.as_deref() == Some(namespace.outside.as_str()),
            "{pair:?}"
        );
        ensure!(
            pair.call.server.ip.as_deref() == Some(namespace.inside.as_str()),
            "{pair:?}"
        );
    }
    let inner = format!("{scheme}://127.0.0.1:{}/bytes/20", server.port);
    let command = curl::command(&[&inner, &inner, &inner]);
    let mut inside = Command::new("ip");
    inside
        .args(&namespace.prefix()[1..])
        .arg("curl")
        .args(command.get_args());
    run_ok(&mut inside, Duration::from_secs(20))?;
    let pairs = Agreement::of(&agent, &server.log, server.port).reached()?;
    ensure!(pairs.len() == 5);
    let inner = pairs
        .iter()
        .filter(|it| it.call.client.ip.as_deref() == Some("127.0.0.1"));
    ensure!(inner.count() == 3);
    Ok(())
}

#[test]
fn http_in_another_network_namespace_is_seen() -> Result<()> {
    seen(false)
}

#[test]
fn https_in_another_network_namespace_is_seen() -> Result<()> {
    seen(true)
}
