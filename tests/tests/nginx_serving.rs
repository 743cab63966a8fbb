//! nginx with four workers, over HTTP and HTTPS: every call nginx logged is seen once, with its
//! method, path, status, sizes, addresses and worker, and no other.

use std::process::Command;

use anyhow::{Result, ensure};
use observer_tests::agreement::Pair;
use observer_tests::{Agent, Agreement, Nginx, curl, live, requires, wrk};

/// Connections wrk opens: what it may leave unanswered when it goes.
const CONNECTIONS: usize = 16;

/// All a client can ask of a static server, over as many connections as curl runs.
fn mixed_calls(nginx: &Nginx, base: &str) -> Result<()> {
    for (name, size) in [
        ("empty", 0),
        ("one", 1),
        ("page.txt", 4_321),
        ("large", 300_000),
    ] {
        nginx.file(name, size)?;
    }
    let url = |path: &str| format!("{base}{path}");
    // Several calls on one connection, bodies of every size among them.
    curl(&[
        "-o",
        "/dev/null",
        &url("/empty"),
        "-o",
        "/dev/null",
        &url("/one"),
        "-o",
        "/dev/null",
        &url("/large"),
        "-o",
        "/dev/null",
        &url("/page.txt?user=1&page=2"),
        "-o",
        "/dev/null",
        &url("/missing"),
        "-o",
        "/dev/null",
        &url("/status/204"),
        "-o",
        "/dev/null",
        &url("/status/500"),
        "-o",
        "/dev/null",
        &url("/one"),
    ])?;
    curl(&["-I", &url("/large"), &url("/page.txt")])?;
    curl(&["-L", &url("/redirect")])?;
    curl(&["-d", "name=value", &url("/accept"), &url("/status/418")])?;
    curl(&["-X", "DELETE", &url("/status/404"), &url("/status/204")])?;
    curl(&["-r", "10-19", &url("/page.txt"), &url("/page.txt")])?;
    curl(&[
        "-o",
        "/dev/null",
        "-Z",
        "--parallel-max",
        "8",
        &url("/one?[1-60]"),
    ])?;
    Ok(())
}

fn check_all(nginx: &Nginx, pairs: &[Pair], scheme: &str) -> Result<()> {
    let workers = nginx.workers();
    for Pair { logged: _, call } in pairs {
        let pid = call.process.pid.unwrap_or(0);
        ensure!(
            workers.contains(&pid),
            "not a worker of {workers:?}: {call}"
        );
        ensure!(call.process.name.as_deref() == Some("nginx"), "{call}");
        ensure!(
            call.process
                .exe
                .as_deref()
                .is_some_and(|exe| exe.ends_with("/nginx")),
            "{call}"
        );
        ensure!(call.scheme == scheme, "{call}");
        ensure!(call.protocol == "http/1.1", "{call}");
        let library = call.tls.as_ref().and_then(|tls| tls.library.as_deref());
        match scheme {
            "https" => ensure!(
                library.is_some_and(|it| it.starts_with("openssl")),
                "{call}"
            ),
            _ => ensure!(call.tls.is_none(), "{call}"),
        }
        ensure!(
            call.duration_ms
                .is_some_and(|ms| (0.0..10_000.0).contains(&ms)),
            "{call}"
        );
        ensure!(
            call.time.as_deref().is_some_and(|time| time.contains('T')),
            "{call}"
        );
        ensure!(call.route.is_some() && call.service.is_some(), "{call}");
    }
    Ok(())
}

fn loopback_v4(pairs: &[Pair]) -> Result<()> {
    for Pair { logged, call } in pairs {
        ensure!(call.client.ip.as_deref() == Some("127.0.0.1"), "{call}");
        ensure!(call.server.ip.as_deref() == Some("127.0.0.1"), "{call}");
        ensure!(call.client.port == logged.client_port, "{call}");
    }
    Ok(())
}

#[test]
fn mixed_http_calls_are_those_in_nginx_s_log() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(4)?;
    let agent = Agent::start()?;
    mixed_calls(&nginx, &nginx.url(""))?;
    let pairs = Agreement::of(&agent, &nginx.log, nginx.http).reached()?;
    check_all(&nginx, &pairs, "http")?;
    loopback_v4(&pairs)
}

#[test]
fn mixed_https_calls_are_those_in_nginx_s_log() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(4)?;
    let agent = Agent::start()?;
    mixed_calls(&nginx, &nginx.tls_url(""))?;
    let pairs = Agreement::of(&agent, &nginx.log, nginx.https).reached()?;
    check_all(&nginx, &pairs, "https")?;
    loopback_v4(&pairs)
}

#[test]
fn calls_over_ipv6_are_seen_with_their_addresses() -> Result<()> {
    let Some(_turn) = requires(&["root", "cgroup2", "curl", "ipv6", "nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(4)?;
    let agent = Agent::start()?;
    for (scheme, port) in [("http", nginx.http), ("https", nginx.https)] {
        let url = format!("{scheme}://[::1]:{port}/status/200");
        curl(&[&url, &url])?;
        let pairs = Agreement::of(&agent, &nginx.log, port).reached()?;
        check_all(&nginx, &pairs, scheme)?;
        for Pair { logged: _, call } in pairs {
            ensure!(call.client.ip.as_deref() == Some("::1"), "{call}");
            ensure!(call.server.ip.as_deref() == Some("::1"), "{call}");
        }
    }
    Ok(())
}

/// Calls of role server on `route`, as the metrics count them.
fn counted(agent: &Agent, route: &str) -> Result<f64> {
    Ok(agent
        .metrics()?
        .of(
            "observer_calls_total",
            &[("role", "server"), ("route", route)],
        )
        .filter(|sample| {
            sample
                .labels
                .get("status_class")
                .is_some_and(|class| class == "2xx")
        })
        .map(|sample| sample.value)
        .sum())
}

fn under_load(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "wrk"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(4)?;
    nginx.file("tiny", 5)?;
    let agent = Agent::start()?;
    let (url, port, scheme) = if tls {
        (nginx.tls_url("/tiny"), nginx.https, "https")
    } else {
        (nginx.url("/tiny"), nginx.http, "http")
    };
    let made = wrk::wrk(&url, CONNECTIONS, 2)?;
    let pairs = Agreement::of(&agent, &nginx.log, port)
        .with_cut_off(CONNECTIONS)
        .reached()?;
    ensure!(
        pairs.len() as u64 + CONNECTIONS as u64 >= made,
        "{} of {made}",
        pairs.len()
    );
    check_all(&nginx, &pairs, scheme)?;
    loopback_v4(&pairs)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of two seconds are small"
    )]
    let seen = pairs.len() as f64;
    let counted = counted(&agent, "/tiny")?;
    ensure!(
        (counted - seen).abs() < 0.5,
        "the metrics count {counted}, the lines {seen}"
    );
    let metrics = agent.metrics()?;
    let lost: Vec<_> = metrics
        .of("observer_capture_lost_total", &[])
        .filter(|it| it.value > 0.0)
        .collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

#[test]
fn http_calls_at_saturation_are_all_counted() -> Result<()> {
    under_load(false)
}

#[test]
fn https_calls_at_saturation_are_all_counted() -> Result<()> {
    under_load(true)
}

#[test]
fn a_reloaded_nginx_is_followed_to_its_new_workers() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let agent = Agent::start()?;
    let before = nginx.workers();
    Command::new("kill")
        .args(["-s", "HUP", &nginx.master().to_string()])
        .status()?;
    observer_tests::wait::until("new workers", std::time::Duration::from_secs(5), || {
        let now = nginx.workers();
        (now.len() == 2 && now.iter().all(|pid| !before.contains(pid))).then_some(())
    })?;
    // A process is noticed within a second of its start.
    std::thread::sleep(std::time::Duration::from_secs(1));
    for url in [nginx.url("/status/200"), nginx.tls_url("/status/200")] {
        curl(&[&url, &url])?;
    }
    for (port, scheme) in [(nginx.http, "http"), (nginx.https, "https")] {
        let pairs = Agreement::of(&agent, &nginx.log, port).reached()?;
        check_all(&nginx, &pairs, scheme)?;
    }
    Ok(())
}
