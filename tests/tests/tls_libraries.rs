//! Every TLS library, with a real program as server and as client: each call that was made or
//! served is seen at that end exactly once. Each test prints a row; `cargo xtask test tls` collects
//! them in a table.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use observer_tests::running::run_ok;
use observer_tests::tls_row::{End, Row, paths, serve};
use observer_tests::{Certificate, live, port, pypi};

const LIMIT: Duration = Duration::from_secs(45);
const CALLS: usize = 40;

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

fn urls(port: u16, paths: &[String]) -> Vec<String> {
    paths
        .iter()
        .map(|path| format!("https://127.0.0.1:{port}{path}"))
        .collect()
}

#[test]
fn gnutls() -> Result<()> {
    let Some(_turn) = live(&["gnutls-serv", "wget", "openssl"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let mut command = Command::new("gnutls-serv");
    command
        .args(["--http", "--quiet", "--port", &port.to_string()])
        .arg("--x509certfile")
        .arg(certificate.chain())
        .arg("--x509keyfile")
        .arg(certificate.key());
    let _server = serve("gnutls-serv", quiet(&mut command), port)?;
    // Loads the library before the agent looks, as a program that runs for a while has.
    let row = Row::start(port)?;
    let paths = paths("gnutls", CALLS);
    let mut command = Command::new("wget");
    command
        .args(["-q", "-O", "/dev/null", "--no-check-certificate"])
        .args(["--no-proxy", "--tries=1", "--timeout=20"])
        .args(urls(port, &paths));
    run_ok(&mut command, LIMIT)?;
    let end = |process| End {
        process,
        library: "gnutls 3.",
    };
    row.is_exactly(&paths, Some(&end("gnutls-serv")), Some(&end("wget")))
}

/// The Go program, stripped, built by each Go there is: the newest and an old one.
fn go_programs() -> Result<Vec<PathBuf>> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/go/main.go");
    let folder = pypi::folder().context("no folder for programs")?;
    let old = PathBuf::from("/usr/lib/go-1.19/bin/go");
    let mut built = Vec::new();
    for (name, go) in [
        ("gotls", pypi::program("go")),
        ("gotls-old", old.is_file().then_some(old)),
    ] {
        let Some(go) = go else { continue };
        let program = folder.join(name);
        let mut command = Command::new(go);
        command
            .args(["build", "-ldflags", "-s -w", "-o"])
            .arg(&program)
            .arg(&source)
            .env("GOCACHE", folder.join("go-cache"))
            .env("GO111MODULE", "off")
            .env("GOTOOLCHAIN", "local")
            .env("CGO_ENABLED", "0");
        run_ok(&mut command, Duration::from_secs(300))?;
        built.push(program);
    }
    Ok(built)
}

#[test]
fn go_on_both_ends_stripped() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:go"]) else {
        return Ok(());
    };
    let certificate = Certificate::new()?;
    for program in go_programs()? {
        let port = port::free();
        let mut command = Command::new(&program);
        command
            .args(["-address", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(certificate.chain())
            .arg("-key")
            .arg(certificate.key());
        let _server = serve("the Go server", quiet(&mut command), port)?;
        let row = Row::start(port)?;
        let mut asked = Vec::new();
        for (name, extra) in [("h2", None), ("h1", Some("-http1"))] {
            let paths = paths(name, CALLS);
            let mut command = Command::new(&program);
            command
                .args(["-get", &format!("https://127.0.0.1:{port}")])
                .args(["-paths", &paths.join(",")])
                .args(extra);
            run_ok(&mut command, LIMIT)?;
            asked.extend(paths);
        }
        let end = End {
            process: if program.ends_with("gotls") {
                "gotls"
            } else {
                "gotls-old"
            },
            library: "go crypto/tls 1.",
        };
        row.is_exactly(&asked, Some(&end), Some(&end))?;
    }
    Ok(())
}

#[test]
fn caddy_which_is_stripped_go() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:caddy"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let settings = folder.path().join("Caddyfile");
    std::fs::write(
        &settings,
        format!(
            "{{\n admin off\n auto_https off\n}}\nhttps://127.0.0.1:{port} {{\n tls {} {}\n respond \"hello\"\n}}\n",
            certificate.chain().display(),
            certificate.key().display()
        ),
    )?;
    let mut command = Command::new(pypi::program("caddy").context("no caddy")?);
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(&settings)
        .env("HOME", folder.path());
    let _server = serve("caddy", quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let paths = paths("caddy", CALLS);
    many(port, &paths)?;
    let server = End {
        process: "caddy",
        library: "go crypto/tls 1.",
    };
    row.is_exactly(&paths, Some(&server), None)
}

/// curl asks for all of these, on one connection in order.
fn many(port: u16, paths: &[String]) -> Result<()> {
    let mut command = Command::new("curl");
    command.args(["-sS", "-k", "--noproxy", "*", "--max-time", "40"]);
    for url in urls(port, paths) {
        command.args(["-o", "/dev/null", &url]);
    }
    run_ok(&mut command, LIMIT).map(drop)
}
