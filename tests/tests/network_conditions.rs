//! Conditions of the network that few programs meet: each seen whole and in step.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use observer_tests::namespace::Namespace;
use observer_tests::running::run_ok;
use observer_tests::ways::{Moved, Ways};
use observer_tests::{Agent, Nginx, curl, live, requires, wait};

const LIMIT: Duration = Duration::from_secs(10);
const RUN_LIMIT: Duration = Duration::from_secs(40);
const LARGE: usize = 4_000_000;

/// Runs one conversation; `None` if this kernel cannot, which is printed.
fn converse(inside: &[&str], name: &str, body: usize) -> Result<Option<usize>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/conditions.py");
    let program = program.display().to_string();
    let size = body.to_string();
    let words = [inside, &["python3", &program, name, &size]].concat();
    let (first, rest) = words.split_first().context("a command")?;
    let output = Command::new("timeout")
        .arg(RUN_LIMIT.as_secs().to_string())
        .arg(first)
        .args(rest)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(Some(said.parse()?)),
        Some(77) => {
            eprintln!("SKIPPED {name}: {said}");
            Ok(None)
        }
        code => bail!(
            "{code:?}: {said}: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// As many calls as were made, all answered, and the bodies of the middle ones of this size.
fn seen(agent: &Agent, name: &str, calls: usize, body: usize) -> Result<()> {
    let of_this = |path: &str| {
        path.strip_prefix('/')
            .is_some_and(|it| it.starts_with(name))
    };
    let found = || agent.calls_where(|call| call.role == "server" && of_this(&call.path));
    let all = wait::until(name, LIMIT, || {
        found().ok().filter(|found| found.len() >= calls)
    });
    let all = all.or_else(|_| found())?;
    ensure!(all.len() == calls, "{} of {calls}: {all:#?}", all.len());
    for call in all {
        let wanted = if call.path == format!("/{name}") {
            (body as u64, body as u64)
        } else {
            (0, 5)
        };
        ensure!(call.status == Some(200), "{call:?}");
        let bytes = (call.request_bytes, call.response_bytes);
        ensure!(bytes == (Some(wanted.0), Some(wanted.1)), "{call:?}");
        ensure!(call.client.port.is_some(), "{call:?}");
    }
    Ok(())
}

fn on_this_host(name: &str, body: usize) -> Result<()> {
    let Some(_turn) = live(&["python3", "ipv6"]) else {
        return Ok(());
    };
    let agent = Agent::start()?;
    let Some(calls) = converse(&[], name, body)? else {
        return Ok(());
    };
    seen(&agent, name, calls, body)
}

#[test]
fn ipv6_extension_headers_are_passed_over() -> Result<()> {
    on_this_host("ipv6-options", 100_000)
}

#[test]
fn a_connection_that_ends_with_a_reset_is_seen_whole() -> Result<()> {
    on_this_host("reset", 20_000)
}

#[test]
fn addresses_and_ports_used_again_are_connections_of_their_own() -> Result<()> {
    on_this_host("same-ports", 3_000)
}

#[test]
fn packets_of_hundreds_of_kilobytes_are_seen_whole() -> Result<()> {
    let needs = ["root", "cgroup2", "netns", "ip", "python3", "ipv6"];
    let Some(_turn) = requires(&needs) else {
        return Ok(());
    };
    let namespace = Namespace::new()?;
    // BIG TCP: above 64 KiB the length of a packet does not fit its IP header.
    let sizes = "link set lo gso_max_size 400000 gro_max_size 400000";
    let words = format!("-n {} {sizes}", namespace.name);
    if let Err(error) = run_ok(Command::new("ip").args(words.split(' ')), LIMIT) {
        eprintln!("SKIPPED: this kernel or ip takes no larger packets: {error}");
        return Ok(());
    }
    let agent = Agent::start()?;
    let calls = converse(&namespace.prefix(), "ipv6", LARGE)?.context("IPv6")?;
    seen(&agent, "ipv6", calls, LARGE)
}

#[test]
fn data_in_a_syn_is_seen() -> Result<()> {
    let Some(_turn) = requires(&["root", "cgroup2", "netns", "ip", "cc"]) else {
        return Ok(());
    };
    let namespace = Namespace::new()?;
    // Client and server, and neither asks for a cookie first.
    let allow = "echo 519 > /proc/sys/net/ipv4/tcp_fastopen";
    let [ip, words @ ..] = namespace.prefix();
    run_ok(
        Command::new(ip).args(words).args(["sh", "-c", allow]),
        LIMIT,
    )?;
    let ways = Ways::build()?;
    let agent = Agent::start()?;
    let opened = || -> Result<u64> {
        let cat = ["cat", "/proc/net/netstat"];
        let text = run_ok(Command::new(ip).args(words).args(cat), LIMIT)?;
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (
            lines.next().context("names")?,
            lines.next().context("values")?,
        );
        let at = names
            .split(' ')
            .position(|name| name == "TCPFastOpenPassive");
        let value = values.split(' ').nth(at.context("TCPFastOpenPassive")?);
        Ok(value.context("a value")?.parse()?)
    };
    for _ in 0..3 {
        let moved = ways.run_inside(&namespace.prefix(), "fast-open")?;
        ensure!(matches!(moved, Moved::Done { .. }), "{moved:?}");
    }
    ensure!(opened()? == 3, "the data did not come with the SYN");
    let calls = || agent.calls_where(|call| call.path.starts_with("/ways/fast-open"));
    let found = wait::until("the calls", LIMIT, || {
        calls().ok().filter(|calls| calls.len() >= 9)
    });
    let found = found.or_else(|_| calls())?;
    ensure!(found.len() == 9, "{} of 9: {found:#?}", found.len());
    ensure!(
        found.iter().all(|call| call.status == Some(200)),
        "{found:#?}"
    );
    Ok(())
}

#[test]
fn other_programs_at_the_same_control_group_change_nothing() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    // Each attaches its programs to the root of cgroup2, beside those of the other.
    let agents = [Agent::start()?, Agent::start()?];
    curl(&[nginx.url("/status/200"), nginx.tls_url("/status/404")])?;
    for agent in &agents {
        for port in [nginx.http, nginx.https] {
            agent.wait_for_call("the call", LIMIT, |call| call.served_by(port))?;
        }
    }
    let [first, second] = agents;
    first.stop()?;
    curl(&[nginx.url("/status/418")])?;
    second.wait_for_call("the call after", LIMIT, |call| call.status == Some(418))?;
    Ok(())
}
