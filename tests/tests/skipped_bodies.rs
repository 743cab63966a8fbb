//! Bodies that the kernel half leaves out by itself: calls and sizes are exact, next to nothing of
//! the bodies is taken, and no call around them is missed.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::wire::Wire;
use observer_tests::{Agent, Agreement, Nginx, Script, curl, live, wait};

const LARGE: usize = 10 << 20;
/// What heads and small bodies of a test take at most, and a body of [`LARGE`] does not.
const LITTLE: f64 = 64.0 * 1024.0;
const LIMIT: Duration = Duration::from_secs(20);

fn delivered(agent: &Agent) -> Result<f64> {
    let metrics = agent.metrics()?;
    Ok(metrics.sum("observer_capture_delivered_bytes_total", &[]))
}

/// What was taken, once the books tell of so many bytes that passed.
fn taken(agent: &Agent, passed: usize) -> Result<f64> {
    wait::until("the books to be told", LIMIT, || {
        let metrics = agent.metrics().ok()?;
        let seen = metrics.sum("observer_capture_seen_bytes_total", &[]);
        (seen >= passed as f64).then_some(())
    })?;
    delivered(agent)
}

fn disputes(agent: &Agent) -> Result<f64> {
    let labels = [("stage", "protocol"), ("event", "skips_disputed")];
    Ok(agent
        .metrics()?
        .sum("observer_pipeline_events_total", &labels))
}

/// Downloads, by sendfile and copied, with HEAD and small answers between them, on one connection.
fn downloads(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let copied = "location /copied/ { sendfile off; rewrite ^/copied(/.*)$ $1 break; }";
    let nginx = Nginx::start_with(1, copied)?;
    nginx.file("large.bin", LARGE)?;
    nginx.file("large.json", LARGE)?;
    let agent = Agent::start()?;
    let before = delivered(&agent)?;
    let (mut wire, port) = if tls {
        (Wire::connect_tls(nginx.https)?, nginx.https)
    } else {
        (Wire::connect(nginx.http)?, nginx.http)
    };
    // Until both ends of a TLS connection are known to be here, both are taken.
    ensure!(wire.get("/status/200")? == 200);
    agent.wait_for_call("the first call", LIMIT, |call| call.path == "/status/200")?;
    let mut wanted = vec![("GET", "/status/200", 10)];
    for path in ["/large.bin", "/copied/large.bin", "/large.json"] {
        ensure!(wire.get(path)? == 200);
        ensure!(wire.get("/status/404")? == 404);
        wire.send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        ensure!(wire.answer_to_head()? == (200, LARGE));
        ensure!(wire.get("/status/200")? == 200);
        wanted.extend([
            ("GET", path, LARGE as u64),
            ("GET", "/status/404", 10),
            ("HEAD", path, 0),
            ("GET", "/status/200", 10),
        ]);
    }
    let pairs = Agreement::of(&agent, &nginx.log, port).reached()?;
    let mut seen: Vec<_> = pairs
        .iter()
        .map(|pair| {
            let call = &pair.call;
            let body = call.response_bytes.unwrap_or(u64::MAX);
            (call.method.as_str(), call.path.as_str(), body)
        })
        .collect();
    seen.sort_unstable();
    wanted.sort_unstable();
    ensure!(seen == wanted, "{seen:?}");
    ensure!(pairs.iter().all(|pair| pair.call.flags.is_empty()));
    let taken = taken(&agent, 3 * LARGE)? - before;
    ensure!(taken < LITTLE, "{taken} bytes were taken");
    ensure!(disputes(&agent)? == 0.0);
    Ok(())
}

#[test]
fn of_large_downloads_next_to_nothing_is_taken() -> Result<()> {
    downloads(false)
}

#[test]
fn of_large_downloads_over_tls_next_to_nothing_is_taken() -> Result<()> {
    downloads(true)
}

/// An upload that nobody reads, one whose first part is read, and a small call after each.
fn uploads(script: Script, programs: &[&str]) -> Result<()> {
    let Some(_turn) = live(programs) else {
        return Ok(());
    };
    let server = script.start()?;
    let agent = Agent::start()?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), vec![b'u'; LARGE])?;
    let body = format!("@{}", file.path().display());
    let mut took = Vec::new();
    for (at, kind) in (1..).zip(["application/octet-stream", "application/json"]) {
        let before = delivered(&agent)?;
        let kind = format!("Content-Type: {kind}");
        curl(&[
            "-k",
            "-o",
            "/dev/null",
            "-H",
            &kind,
            "--data-binary",
            &body,
            &server.url("/up"),
            "--next",
            "-k",
            "-sS",
            &server.url("/bytes/7"),
        ])?;
        Agreement::of(&agent, &server.log, server.port).reached()?;
        took.push(taken(&agent, at * LARGE)? - before);
    }
    let pairs = Agreement::of(&agent, &server.log, server.port).reached()?;
    let sizes: Vec<_> = pairs.iter().map(|pair| pair.call.request_bytes).collect();
    let large = Some(LARGE as u64);
    ensure!(sizes == [large, Some(0), large, Some(0)], "{sizes:?}");
    ensure!(pairs.iter().all(|pair| pair.call.flags.is_empty()));
    // Both ends of a TLS connection, until that is known.
    let peek = 2.0 * (LITTLE + 64.0 * 1024.0);
    ensure!(took[0] < LITTLE && took[1] < peek, "{took:?}");
    ensure!(disputes(&agent)? == 0.0);
    Ok(())
}

#[test]
fn of_large_uploads_only_what_may_name_an_operation_is_taken() -> Result<()> {
    uploads(Script::python().keeping_alive(), &["python3"])
}

#[test]
fn of_large_uploads_over_tls_only_what_may_name_an_operation_is_taken() -> Result<()> {
    uploads(
        Script::python().keeping_alive().with_tls(),
        &["python3", "openssl"],
    )
}

#[test]
fn answers_to_pipelined_requests_are_told_apart() -> Result<()> {
    let Some(_turn) = live(&["nginx"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    nginx.file("large.bin", LARGE)?;
    let agent = Agent::start()?;
    let mut wire = Wire::connect(nginx.http)?;
    for _ in 0..3 {
        let ask = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        // The kernel half has seen the GET when the HEAD is answered.
        let both = ask("HEAD", "/large.bin") + &ask("GET", "/large.bin");
        wire.send((both + &ask("GET", "/status/403")).as_bytes())?;
        ensure!(wire.answer_to_head()? == (200, LARGE));
        ensure!(wire.answer()? == 200);
        ensure!(wire.answer()? == 403);
    }
    let pairs = Agreement::of(&agent, &nginx.log, nginx.http).reached()?;
    ensure!(pairs.len() == 9);
    for pair in &pairs {
        let wanted = match (pair.call.method.as_str(), pair.call.path.as_str()) {
            ("GET", "/large.bin") => LARGE as u64,
            ("GET", _) => 10,
            _ => 0,
        };
        ensure!(pair.call.response_bytes == Some(wanted), "{:?}", pair.call);
    }
    Ok(())
}

#[test]
fn a_length_inside_a_body_hides_no_call() -> Result<()> {
    let Some(_turn) = live(&["python3"]) else {
        return Ok(());
    };
    let server = Script::python().keeping_alive().start()?;
    let agent = Agent::start()?;
    let mut wire = Wire::connect(server.port)?;
    ensure!(wire.get("/status/200")? == 200);
    agent.wait_for_call("the first call", LIMIT, |call| call.path == "/status/200")?;
    let head = "PUT /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let inner = "POST /hidden HTTP/1.1\r\nContent-Type: image/png\r\n\
                 Content-Length: 1000000000\r\n\r\n";
    wire.send(head.as_bytes())?;
    wire.send(format!("{:x}\r\n", inner.len()).as_bytes())?;
    // In a packet of its own, or it is no start of one.
    std::thread::sleep(Duration::from_millis(300));
    wire.send(inner.as_bytes())?;
    wait::until("the parser to dispute it", LIMIT, || {
        disputes(&agent)
            .is_ok_and(|count| count > 0.0)
            .then_some(())
    })?;
    wire.send(b"\r\n0\r\n\r\n")?;
    ensure!(wire.answer()? == 201);
    for path in ["/bytes/5", "/status/404", "/bytes/100000"] {
        wire.get(path)?;
    }
    let pairs = Agreement::of(&agent, &server.log, server.port).reached()?;
    let paths: Vec<_> = pairs.iter().map(|pair| pair.call.path.as_str()).collect();
    let wanted = [
        "/status/200",
        "/up",
        "/bytes/5",
        "/status/404",
        "/bytes/100000",
    ];
    ensure!(paths == wanted, "{paths:?}");
    Ok(())
}
