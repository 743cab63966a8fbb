//! The ground the live tests stand on, shown without the agent: every server starts, answers,
//! and its access log has each call exactly once with the right method, path, status and sizes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use observer_tests::{AccessLog, Apache, Logged, Nginx, Script, curl, requires, wait, wire, wrk};

/// Waits until a log has this many lines.
fn lines(log: &AccessLog, port: u16, count: usize) -> Result<Vec<Logged>> {
    wait::until(
        &format!("{count} lines in the log"),
        Duration::from_secs(5),
        || {
            log.entries(port)
                .ok()
                .filter(|entries| entries.len() >= count)
        },
    )
}

fn short(entries: &[Logged]) -> Vec<(String, String, u16, Option<u64>)> {
    entries
        .iter()
        .map(|entry| {
            (
                entry.method.clone(),
                entry.uri.clone(),
                entry.status,
                entry.response_bytes,
            )
        })
        .collect()
}

fn row(method: &str, uri: &str, status: u16, bytes: u64) -> (String, String, u16, Option<u64>) {
    (method.to_owned(), uri.to_owned(), status, Some(bytes))
}

#[test]
fn nginx_logs_each_call_once_with_its_worker() -> Result<()> {
    let Some(_turn) = requires(&["nginx", "curl", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(4)?;
    nginx.file("a.txt", 1234)?;
    curl(&[
        "-o",
        "/dev/null",
        &nginx.url("/a.txt?q=1"),
        "-o",
        "/dev/null",
        &nginx.url("/no"),
    ])?;
    curl(&["-I", &nginx.tls_url("/a.txt")])?;
    let plain = lines(&nginx.log, nginx.http, 2)?;
    assert_eq!(short(&plain)[0], row("GET", "/a.txt?q=1", 200, 1234));
    assert_eq!((plain[1].status, plain[1].path()), (404, "/no"));
    assert_eq!(
        plain[0].client_port, plain[1].client_port,
        "curl kept the connection"
    );
    assert!(nginx.workers().contains(&plain[0].pid.unwrap_or(0)));
    assert_eq!(
        short(&lines(&nginx.log, nginx.https, 1)?),
        [row("HEAD", "/a.txt", 200, 0)]
    );
    Ok(())
}

#[test]
fn nginx_logs_as_many_calls_under_load_as_the_client_made() -> Result<()> {
    let Some(_turn) = requires(&["nginx", "curl", "openssl", "wrk"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(4)?;
    nginx.file("tiny", 2)?;
    let made = usize::try_from(wrk::wrk(&nginx.url("/tiny"), 16, 1)?)?;
    let entries = lines(&nginx.log, nginx.http, made)?;
    // What was under way when the client left is logged, but not counted by it.
    assert!(
        entries.len() - made <= 16,
        "{} logged, {made} made",
        entries.len()
    );
    Ok(())
}

#[test]
fn apache_logs_each_call_once() -> Result<()> {
    let Some(_turn) = requires(&["apache2", "curl", "openssl"]) else {
        return Ok(());
    };
    let apache = Apache::start()?;
    apache.file("a.txt", 777)?;
    curl(&[
        "-o",
        "/dev/null",
        &apache.url("/a.txt"),
        "-o",
        "/dev/null",
        &apache.url("/a.txt"),
    ])?;
    curl(&["-o", "/dev/null", &apache.tls_url("/forbidden/x")])?;
    let plain = lines(&apache.log, apache.http, 2)?;
    assert_eq!(
        short(&plain),
        [
            row("GET", "/a.txt", 200, 777),
            row("GET", "/a.txt", 200, 777)
        ]
    );
    assert_eq!(lines(&apache.log, apache.https, 1)?[0].status, 403);
    Ok(())
}

#[test]
fn scripts_log_each_call_once() -> Result<()> {
    let Some(_turn) = requires(&["python3", "node", "curl", "openssl"]) else {
        return Ok(());
    };
    for script in [
        Script::python(),
        Script::python().with_tls(),
        Script::python().keeping_alive(),
        Script::python().keeping_alive().with_tls(),
        Script::node(),
        Script::node().with_tls(),
    ] {
        let server = script.clone().start()?;
        let url = |path: &str| server.url(path);
        curl(&[
            "-o",
            "/dev/null",
            &url("/bytes/5000"),
            "-o",
            "/dev/null",
            &url("/status/204"),
        ])?;
        curl(&["-d", "12345", &url("/upload")])?;
        let entries = lines(&server.log, server.port, 3)?;
        assert_eq!(
            short(&entries),
            [
                row("GET", "/bytes/5000", 200, 5000),
                row("GET", "/status/204", 204, 0),
                row("POST", "/upload", 201, 5),
            ],
            "{script:?}"
        );
        assert_eq!(entries[2].request_bytes, Some(5));
        assert!(entries.iter().all(|entry| entry.pid == Some(server.pid())));
    }
    Ok(())
}

#[test]
fn chunked_uploads_are_counted_by_the_servers() -> Result<()> {
    let Some(_turn) = requires(&["python3", "node", "curl", "openssl"]) else {
        return Ok(());
    };
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), vec![b'u'; 300_000])?;
    let name = file.path().display().to_string();
    for script in [Script::python().keeping_alive(), Script::node().with_tls()] {
        let server = script.start()?;
        curl(&[
            "-T",
            &name,
            "-H",
            "Transfer-Encoding: chunked",
            &server.url("/up"),
        ])?;
        let entries = lines(&server.log, server.port, 1)?;
        assert_eq!(
            (entries[0].method.as_str(), entries[0].request_bytes),
            ("PUT", Some(300_000))
        );
    }
    Ok(())
}

#[test]
fn one_connection_carries_several_calls_by_hand() -> Result<()> {
    let Some(_turn) = requires(&["nginx", "curl", "openssl", "timeout"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let mut plain = wire::Wire::connect(nginx.http)?;
    let mut tls = wire::Wire::connect_tls(nginx.https)?;
    for wire in [&mut plain, &mut tls] {
        assert_eq!(wire.get("/status/200")?, 200);
        assert_eq!(wire.get("/status/404")?, 404);
    }
    for port in [nginx.http, nginx.https] {
        let mut clients = BTreeMap::new();
        for entry in lines(&nginx.log, port, 2)? {
            *clients.entry(entry.client_port).or_insert(0) += 1;
        }
        assert_eq!(clients.into_values().collect::<Vec<_>>(), [2]);
    }
    Ok(())
}
