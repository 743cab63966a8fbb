//! The client is whom a trusted proxy names, and nobody else's word counts.

use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::{Agent, Call, Launch, Script, curl, live};

const LIMIT: Duration = Duration::from_secs(10);
const FORGED: [&str; 4] = [
    "-H",
    "X-Forwarded-For: 198.51.100.9, 203.0.113.5",
    "-H",
    "X-Forwarded-User: ana",
];

/// The call that such a proxy, curl on this host, passes on.
fn passed_on(settings: Option<&str>) -> Result<(Call, String)> {
    let node = Script::node().start()?;
    let agent = Agent::launch(Launch {
        settings: settings.map(str::to_owned),
        ..Launch::default()
    })?;
    let mut arguments = FORGED.to_vec();
    let url = node.url("/status/200");
    arguments.push(&url);
    curl(&arguments)?;
    let call = agent.wait_for_call("the call", LIMIT, |call| call.served_by(node.port))?;
    Ok(((*call).clone(), agent.stop()?.stdout))
}

#[test]
fn the_client_is_whom_a_trusted_proxy_names() -> Result<()> {
    let Some(_turn) = live(&["node", "curl"]) else {
        return Ok(());
    };
    let (call, line) = passed_on(Some("[proxies]\ntrusted = [\"127.0.0.0/8\"]\n"))?;
    let client = call.client.clone();
    ensure!(client.ip.as_deref() == Some("203.0.113.5"), "{call}");
    ensure!(client.peer_ip.as_deref() == Some("127.0.0.1"), "{call}");
    ensure!(
        line.contains("\"kind\":\"gateway\",\"id\":\"ana\""),
        "{line}"
    );

    let (call, line) = passed_on(None)?;
    let client = call.client.clone();
    ensure!(client.ip.as_deref() == Some("127.0.0.1"), "{call}");
    ensure!(
        !line.contains("203.0.113.5") && !line.contains("\"ana\""),
        "{line}"
    );
    Ok(())
}
