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

/// A static BoringSSL without symbols, as server.
#[test]
fn envoy_which_is_stripped_boringssl() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:envoy/_bin/envoy"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let settings = folder.path().join("envoy.yaml");
    std::fs::write(
        &settings,
        include_str!("../programs/envoy.yaml")
            .replace("{port}", &port.to_string())
            .replace("{chain}", &certificate.chain().display().to_string())
            .replace("{key}", &certificate.key().display().to_string()),
    )?;
    let program = pypi::package_file("envoy/_bin/envoy").context("no envoy")?;
    let mut command = Command::new(program);
    command
        .args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "off",
            "-c",
        ])
        .arg(&settings);
    let _server = serve("envoy", quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let mut asked = paths("envoy", CALLS);
    many(port, &asked)?;
    // A new connection each: objects lie where others lay before.
    for path in paths("envoy-again", CALLS) {
        many(port, std::slice::from_ref(&path))?;
        asked.push(path);
    }
    let server = End {
        process: "envoy",
        library: "boringssl",
    };
    row.is_exactly(&asked, Some(&server), None)
}

/// One of `programs/rows.py`.
fn python(what: &str, kind: &str, port: u16, certificate: &Certificate) -> Result<Command> {
    let mut command = Command::new(pypi::program("python").context("no python")?);
    command
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/rows.py"))
        .args([what, kind, &port.to_string()])
        .arg(certificate.chain())
        .env("GRPC_VERBOSITY", "ERROR");
    if what == "serve" {
        command.arg(certificate.key());
    }
    Ok(command)
}

/// Serves and asks with Python programs, both ends observed.
fn python_row(kind: &str, asks: bool, paths: &[String], library: &'static str) -> Result<()> {
    let (certificate, port) = (Certificate::new()?, port::free());
    let mut command = python("serve", kind, port, &certificate)?;
    let _server = serve(kind, quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let end = End {
        process: "python",
        library,
    };
    if asks {
        let mut command = python("ask", kind, port, &certificate)?;
        run_ok(command.args(paths).stdin(Stdio::null()), LIMIT)?;
        row.is_exactly(paths, Some(&end), Some(&end))
    } else {
        many(port, paths)?;
        row.is_exactly(paths, Some(&end), None)
    }
}

/// BoringSSL in a shared object without its symbols; HTTP/2 over memory buffers.
#[test]
fn grpcio_which_is_stripped_boringssl() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:grpc"]) else {
        return Ok(());
    };
    let paths = vec!["/rows.Rows/Get".to_owned(); CALLS];
    python_row("grpc", true, &paths, "boringssl")
}

#[test]
fn aiohttp_with_memory_buffers() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:aiohttp"]) else {
        return Ok(());
    };
    python_row("aiohttp", true, &paths("aiohttp", CALLS), "openssl ")
}

#[test]
fn uvicorn_with_memory_buffers() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:uvicorn"]) else {
        return Ok(());
    };
    python_row("uvicorn", false, &paths("uvicorn", CALLS), "openssl ")
}

#[test]
fn haproxy() -> Result<()> {
    let Some(_turn) = live(&["openssl", "haproxy"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let both = folder.path().join("both.pem");
    let mut pem = std::fs::read(certificate.chain())?;
    pem.extend(std::fs::read(certificate.key())?);
    std::fs::write(&both, pem)?;
    let settings = folder.path().join("haproxy.cfg");
    std::fs::write(
        &settings,
        format!(
            "global\n nbthread 2\ndefaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\nfrontend tests\n bind 127.0.0.1:{port} ssl crt {} alpn h2,http/1.1\n http-request return status 200 content-type text/plain string hello\n",
            both.display()
        ),
    )?;
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&settings);
    let _server = serve("haproxy", quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let paths = paths("haproxy", CALLS);
    many(port, &paths)?;
    let server = End {
        process: "haproxy",
        library: "openssl ",
    };
    row.is_exactly(&paths, Some(&server), None)
}

/// A server and a client that use Ruby's OpenSSL.
#[test]
fn ruby_at_both_ends() -> Result<()> {
    let Some(_turn) = live(&["openssl", "ruby"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/rows.rb");
    let ruby = |what: &str| {
        let mut command = Command::new("ruby");
        command.arg(&script).args([what, &port.to_string()]);
        command
    };
    let mut command = ruby("serve");
    command.arg(certificate.chain()).arg(certificate.key());
    let _server = serve("ruby", quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let paths = paths("ruby", CALLS);
    run_ok(ruby("ask").args(&paths), LIMIT)?;
    let end = End {
        process: "ruby",
        library: "openssl ",
    };
    row.is_exactly(&paths, Some(&end), Some(&end))
}

/// PHP asks nginx.
#[test]
fn php_as_client() -> Result<()> {
    let Some(_turn) = live(&["openssl", "nginx", "php"]) else {
        return Ok(());
    };
    let nginx = observer_tests::Nginx::start(1)?;
    let port = nginx.https;
    let row = Row::start(port)?;
    let paths = vec!["/status/200".to_owned(); CALLS];
    let code = "$c = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]); foreach (array_slice($argv, 1) as $u) { file_get_contents($u, false, $c); }";
    let mut command = Command::new("php");
    command.args(["-r", code, "--"]).args(urls(port, &paths));
    run_ok(&mut command, LIMIT)?;
    let client = End {
        process: "php",
        library: "openssl ",
    };
    row.is_exactly(&paths, None, Some(&client))
}
