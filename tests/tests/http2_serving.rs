//! HTTP/2, with and without TLS: every call that nginx logged, or that the client of nghttpd
//! made, is seen once, and no other.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::Launch;
use observer_tests::agreement::Pair;
use observer_tests::h2load::h2load;
use observer_tests::running::{Running, run_ok};
use observer_tests::{Agent, Agreement, Certificate, Nginx, live, port, wait};

const LIMIT: Duration = Duration::from_secs(45);

/// curl, told to speak HTTP/2. Without TLS each URL is asked on a connection of its own: curl 7.88
/// fails on the second request of a connection that began with prior knowledge.
fn curl(version: &str, arguments: &[&str], urls: &[&str]) -> Result<()> {
    let always = ["-sS", "-k", "--noproxy", "*", "--max-time", "40", version];
    let at_once = if version == "--http2" { urls.len() } else { 1 };
    for urls in urls.chunks(at_once) {
        let mut command = Command::new("curl");
        command.args(always).args(arguments);
        for url in urls {
            command.args(["-o", "/dev/null", url]);
        }
        run_ok(&mut command, LIMIT)?;
    }
    Ok(())
}

fn check(pairs: &[Pair], scheme: &str) -> Result<()> {
    for Pair { logged, call } in pairs {
        ensure!(call.protocol == "h2", "{call}");
        ensure!(call.scheme == scheme, "{call}");
        ensure!(
            call.host
                .as_deref()
                .is_some_and(|host| host.starts_with("127.0.0.1:")),
            "{call}"
        );
        ensure!(call.client.port == logged.client_port, "{call}");
        ensure!(call.process.name.as_deref() == Some("nginx"), "{call}");
        ensure!(call.flags.is_empty(), "{call}");
    }
    Ok(())
}

fn mixed_calls(nginx: &Nginx, version: &str, base: &str) -> Result<()> {
    for (name, size) in [("one", 1), ("page.txt", 4_321), ("large", 3_000_000)] {
        nginx.file(name, size)?;
    }
    let url = |path: &str| format!("{base}{path}");
    let (one, large) = (url("/one"), url("/large"));
    let (page, missing) = (url("/page.txt?user=1&page=2"), url("/missing"));
    curl(version, &[], &[&one, &large, &page, &missing])?;
    curl(version, &["-I"], &[&large])?;
    let (gone, empty) = (url("/status/404"), url("/status/204"));
    curl(version, &["-X", "DELETE"], &[&gone, &empty])?;
    if version == "--http2" {
        // Answered before the body is read: without TLS curl takes that for an error.
        let (accept, teapot) = (url("/accept"), url("/status/418"));
        curl(version, &["-d", "name=value"], &[&accept, &teapot])?;
        let many = url("/one?[1-60]");
        curl(version, &["-Z", "--parallel-max", "20"], &[&many])?;
    }
    // Bodies interleaved on one connection.
    h2load(&large, 8, 1, 8)?;
    h2load(&one, 3_000, 4, 20)
}

fn served_by_nginx(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "h2load"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    // Room for all of the 24 MB that come in one burst: the test is of what is read, not of how
    // soon. A full ring has a test of its own.
    let agent = Agent::launch(Launch {
        settings: Some("[capture]\nring_bytes = \"64MiB\"\n".to_owned()),
        ..Launch::default()
    })?;
    let (port, scheme, version) = if tls {
        (nginx.h2, "https", "--http2")
    } else {
        (nginx.h2c, "http", "--http2-prior-knowledge")
    };
    mixed_calls(&nginx, version, &format!("{scheme}://127.0.0.1:{port}"))?;
    let pairs = Agreement::of(&agent, &nginx.log, port).reached()?;
    ensure!(pairs.len() > 3_014, "{}", pairs.len());
    check(&pairs, scheme)
}

#[test]
fn calls_over_http2_are_those_in_nginx_s_log() -> Result<()> {
    served_by_nginx(false)
}

#[test]
fn calls_over_http2_and_tls_are_those_in_nginx_s_log() -> Result<()> {
    served_by_nginx(true)
}

fn served_by_nghttpd(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["h2load", "nghttp", "nghttpd", "openssl"]) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("page"), [b'x'; 5_000])?;
    let port = port::free();
    let agent = Agent::start()?;
    let certificate = Certificate::new()?;
    let mut server = Command::new("nghttpd");
    server
        .args(["--address=127.0.0.1", "--trailer", "after: body"])
        .arg("-d")
        .arg(folder.path());
    if tls {
        server
            .arg(port.to_string())
            .arg(certificate.key())
            .arg(certificate.chain());
    } else {
        server.arg("--no-tls").arg(port.to_string());
    }
    let _server = Running::start(
        "nghttpd",
        server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    wait::until("nghttpd to listen", Duration::from_secs(10), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    })?;
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{port}/page");
    h2load(&url, 2_000, 3, 50)?;
    // Padding and a body from a client that also sends priorities.
    let body = folder.path().join("page");
    let body = body.to_str().unwrap_or_default();
    for _ in 0..5 {
        let mut nghttp = Command::new("nghttp");
        let arguments = ["-n", "-b", "200", "-d", body, &url];
        run_ok(nghttp.args(arguments), LIMIT)?;
    }
    let seen = || agent.calls_where(|call| call.served_by(port));
    wait::until("2,005 calls", LIMIT, || {
        seen().ok().filter(|calls| calls.len() >= 2_005)
    })?;
    std::thread::sleep(Duration::from_millis(500));
    let calls = seen()?;
    ensure!(calls.len() == 2_005, "{}", calls.len());
    for call in &calls {
        ensure!(call.protocol == "h2" && call.path == "/page", "{call}");
        ensure!(call.scheme == scheme, "{call}");
        ensure!(call.status == Some(200) && call.flags.is_empty(), "{call}");
        ensure!(call.response_bytes == Some(5_000), "{call}");
    }
    let posts = calls.iter().filter(|call| call.method == "POST");
    let bodies: Vec<_> = posts.map(|call| call.request_bytes).collect();
    ensure!(bodies == [Some(5_000); 5], "{bodies:?}");
    Ok(())
}

#[test]
fn a_server_of_another_make_gives_each_call_once() -> Result<()> {
    served_by_nghttpd(false)
}

#[test]
fn a_server_of_another_make_gives_each_call_once_over_tls() -> Result<()> {
    served_by_nghttpd(true)
}
