//! Bodies of many megabytes: sizes are exact, and the next call on the connection is seen.

use std::fs;

use anyhow::{Result, ensure};
use observer_tests::{Agent, Agreement, Nginx, Script, curl, live};

const DOWNLOAD: usize = 50 << 20;
const UPLOAD: usize = 6 << 20;

fn download(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    nginx.file("large.bin", DOWNLOAD)?;
    let agent = Agent::start()?;
    let (base, port) = if tls {
        (nginx.tls_url(""), nginx.https)
    } else {
        (nginx.url(""), nginx.http)
    };
    let large = format!("{base}/large.bin");
    let next = format!("{base}/status/200");
    curl(&[
        "-o",
        "/dev/null",
        &large,
        "-o",
        "/dev/null",
        &next,
        "-o",
        "/dev/null",
        &large,
    ])?;
    let pairs = Agreement::of(&agent, &nginx.log, port).reached()?;
    ensure!(pairs.len() == 3);
    // As nginx counts them, which was compared, and as the file is.
    let sizes: Vec<_> = pairs.iter().map(|pair| pair.call.response_bytes).collect();
    ensure!(
        sizes == [Some(DOWNLOAD as u64), Some(10), Some(DOWNLOAD as u64)],
        "{sizes:?}"
    );
    let ports: Vec<_> = pairs.iter().map(|pair| pair.call.client.port).collect();
    ensure!(
        ports.windows(2).all(|two| two[0] == two[1]),
        "not one connection: {ports:?}"
    );
    Ok(())
}

#[test]
fn a_50_mb_download_by_sendfile_has_its_exact_size() -> Result<()> {
    download(false)
}

#[test]
fn a_50_mb_download_over_tls_has_its_exact_size() -> Result<()> {
    download(true)
}

fn upload(script: Script, programs: &[&str]) -> Result<()> {
    let Some(_turn) = live(programs) else {
        return Ok(());
    };
    let server = script.start()?;
    let agent = Agent::start()?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), vec![b'u'; UPLOAD])?;
    let name = file.path().display().to_string();
    let (up, next) = (server.url("/up"), server.url("/bytes/7"));
    curl(&[
        "-T",
        &name,
        "-H",
        "Transfer-Encoding: chunked",
        &up,
        "--next",
        "-k",
        "-sS",
        &next,
    ])?;
    let pairs = Agreement::of(&agent, &server.log, server.port).reached()?;
    let rows: Vec<_> = pairs
        .iter()
        .map(|pair| {
            (
                pair.call.method.as_str(),
                pair.call.status,
                pair.call.request_bytes,
            )
        })
        .collect();
    ensure!(
        rows == [
            ("PUT", Some(201), Some(UPLOAD as u64)),
            ("GET", Some(200), Some(0))
        ],
        "{rows:?}"
    );
    Ok(())
}

#[test]
fn a_chunked_upload_has_its_exact_size_at_node() -> Result<()> {
    upload(Script::node(), &["node"])
}

#[test]
fn a_chunked_upload_over_tls_has_its_exact_size_at_node() -> Result<()> {
    upload(Script::node().with_tls(), &["node", "openssl"])
}

#[test]
fn a_chunked_upload_over_tls_has_its_exact_size_at_python() -> Result<()> {
    upload(
        Script::python().keeping_alive().with_tls(),
        &["python3", "openssl"],
    )
}
