//! `observer doctor`: what works here and what does not, and why.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::agent::{Launch, binary};
use observer_tests::curl::curl;
use observer_tests::running::run;
use observer_tests::{Agent, Nginx, Script, live, wait};
use serde_json::Value;

fn doctor(arguments: &[&str]) -> Result<String> {
    let output = run(
        Command::new(binary()?).arg("doctor").args(arguments),
        Duration::from_secs(30),
    )?;
    ensure!(output.status.success(), "{}: {output:?}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether `value` holds this number or word anywhere.
fn holds(value: &Value, wanted: &dyn Fn(&Value) -> bool) -> bool {
    wanted(value)
        || match value {
            Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
            Value::Object(fields) => fields.values().any(|item| holds(item, wanted)),
            _ => false,
        }
}

#[test]
fn each_probe_and_each_process_with_a_tls_library_is_listed() -> Result<()> {
    let Some(_turn) = live(&["nginx", "node", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let node = Script::node().with_tls().start()?;
    let text = doctor(&[])?;
    for probe in [
        "cgroup_skb",
        "sock_send_length",
        "sock_recv_length",
        "inet_sock_set_state",
    ] {
        let row = text.lines().find(|line| line.contains(probe));
        let row = row.with_context(|| format!("{probe} is not listed:\n{text}"))?;
        ensure!(row.contains("attached") || row.contains("failed"), "{row}");
    }
    for pid in nginx.workers().into_iter().chain([node.pid()]) {
        let row = text.lines().find(|line| {
            line.split(|c: char| !c.is_ascii_digit())
                .any(|it| it == pid.to_string())
        });
        let row = row.with_context(|| format!("process {pid} is not listed:\n{text}"))?;
        ensure!(row.contains("attached"), "{row}");
    }
    Ok(())
}

#[test]
fn the_same_is_told_as_json() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let json: Value = serde_json::from_str(&doctor(&["--json"])?)?;
    for pid in nginx.workers() {
        ensure!(
            holds(&json, &|it| it.as_u64() == Some(pid.into())),
            "no {pid} in {json:#}"
        );
    }
    ensure!(
        holds(&json, &|it| it
            .as_str()
            .is_some_and(|word| word.contains("sock_send_length"))),
        "{json:#}"
    );
    ensure!(holds(&json, &|it| it == "attached"), "{json:#}");
    Ok(())
}

/// Three connections with TLS to nginx; true as soon as the agent's books, and `doctor`, have them
/// as `read` or `unread`.
fn books_say(settings: &str, plaintext: &str, other: &str) -> Result<()> {
    let nginx = Nginx::start(2)?;
    let agent = Agent::launch(Launch {
        settings: Some(settings.to_owned()),
        ..Launch::default()
    })?;
    for _ in 0..3 {
        curl(&["-k", &nginx.tls_url("/status/200")])?;
    }
    let of = |plaintext: &str, what: &str| -> Result<f64> {
        let name = format!("observer_process_tls_{what}_total");
        let labels = [("process", "nginx"), ("plaintext", plaintext)];
        Ok(agent.metrics()?.sum(&name, &labels))
    };
    wait::until("the books of nginx", Duration::from_secs(20), || {
        of(plaintext, "connections")
            .ok()
            .filter(|&ended| ended >= 3.0)
    })?;
    ensure!(of(plaintext, "bytes")? > 300.0);
    ensure!(of(other, "connections")? == 0.0, "{}", agent.diagnostics());
    let metrics = format!("127.0.0.1:{}", agent.metrics_port());
    let text = doctor(&["--metrics", &metrics])?;
    let line = format!("TLS connections {plaintext}");
    ensure!(text.contains(&line), "{text}");
    Ok(())
}

#[test]
fn tls_that_was_read_and_tls_that_was_not_are_told_by_process() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "curl"]) else {
        return Ok(());
    };
    books_say("", "read", "unread")?;
    books_say("[capture]\ntls = false\n", "unread", "read")
}
