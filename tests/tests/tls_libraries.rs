//! Every TLS library, with a real program as server and as client: each call that was made or
//! served is seen at that end exactly once. Each test prints a row; `cargo xtask test tls` collects
//! them in a table.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use observer_tests::running::run_ok;
use observer_tests::tls_row::{End, Row, paths, serve};
use observer_tests::tls_servers::{envoy_server, go_programs, go_server, haproxy_server, quiet};
use observer_tests::{Certificate, live, port, pypi};

const LIMIT: Duration = Duration::from_secs(45);
const CALLS: usize = 40;

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

#[test]
fn go_on_both_ends_stripped() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:go"]) else {
        return Ok(());
    };
    let certificate = Certificate::new()?;
    for program in go_programs()? {
        let port = port::free();
        let _server = go_server(&program, &certificate, port)?;
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

#[test]
fn envoy_which_is_stripped_boringssl() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:envoy/_bin/envoy"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let _server = envoy_server(folder.path(), &certificate, port)?;
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
    let _server = haproxy_server(folder.path(), &certificate, port)?;
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

/// curl built on GnuTLS asks nginx.
#[test]
fn curl_built_on_gnutls_as_client() -> Result<()> {
    let library = "file:/usr/lib/x86_64-linux-gnu/libcurl-gnutls.so.4";
    let Some(_turn) = live(&["openssl", "nginx", "python3", library]) else {
        return Ok(());
    };
    let nginx = observer_tests::Nginx::start(1)?;
    let row = Row::start(nginx.https)?;
    let paths = vec!["/status/200".to_owned(); CALLS];
    let mut command = Command::new("python3");
    command
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/rows.py"))
        .args(["ask", "curl_gnutls", &nginx.https.to_string(), "-"])
        .args(&paths);
    run_ok(command.stdin(Stdio::null()), LIMIT)?;
    let client = End {
        process: "python3",
        library: "gnutls 3.",
    };
    row.is_exactly(&paths, None, Some(&client))
}

/// PHP asks PHP.
#[test]
fn php_at_both_ends() -> Result<()> {
    let Some(_turn) = live(&["openssl", "php"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let code = "[, $port, $chain, $key] = $argv; $c = stream_context_create(['ssl' => ['local_cert' => $chain, 'local_pk' => $key]]); $s = stream_socket_server(\"tcp://127.0.0.1:$port\", $n, $e, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN, $c); while (true) { $i = @stream_socket_accept($s, 60); if (!$i || !@stream_socket_enable_crypto($i, true, STREAM_CRYPTO_METHOD_TLS_SERVER)) continue; while (($l = fgets($i)) && trim($l) !== ''); fwrite($i, \"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nhello\"); fclose($i); }";
    let mut command = Command::new("php");
    command.args(["-r", code, "--"]).arg(port.to_string());
    command.arg(certificate.chain()).arg(certificate.key());
    let _server = serve("php", quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let paths = paths("php", CALLS);
    run_ok(&mut php_asks(&urls(port, &paths)), LIMIT)?;
    let end = End {
        process: "php",
        library: "openssl ",
    };
    row.is_exactly(&paths, Some(&end), Some(&end))
}

fn php_asks(urls: &[String]) -> Command {
    let code = "$c = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]); foreach (array_slice($argv, 1) as $u) { if (!file_get_contents($u, false, $c)) exit(1); }";
    let mut command = Command::new("php");
    command.args(["-r", code, "--"]).args(urls);
    command
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
    run_ok(&mut php_asks(&urls(port, &paths)), LIMIT)?;
    let client = End {
        process: "php",
        library: "openssl ",
    };
    row.is_exactly(&paths, None, Some(&client))
}

#[test]
fn nss() -> Result<()> {
    let Some(_turn) = live(&["openssl", "selfserv", "tstclnt", "certutil", "pk12util"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let (store, archive) = (
        format!("sql:{}", folder.path().display()),
        folder.path().join("both.p12"),
    );
    let mut command = Command::new("openssl");
    command
        .args([
            "pkcs12",
            "-export",
            "-name",
            "localhost",
            "-passout",
            "pass:tests",
        ])
        .arg("-in")
        .arg(certificate.chain())
        .arg("-inkey")
        .arg(certificate.key())
        .arg("-out")
        .arg(&archive);
    run_ok(&mut command, LIMIT)?;
    run_ok(
        Command::new("certutil").args(["-N", "--empty-password", "-d", &store]),
        LIMIT,
    )?;
    let mut command = Command::new("pk12util");
    command
        .args(["-d", &store, "-W", "tests", "-i"])
        .arg(&archive);
    run_ok(&mut command, LIMIT)?;
    let mut command = Command::new("selfserv");
    command
        .args(["-d", &store, "-n", "localhost", "-p", &port.to_string()])
        .args(["-V", "tls1.2:tls1.3"])
        .current_dir(folder.path());
    let _server = serve("selfserv", quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let paths = paths("nss", CALLS);
    for path in &paths {
        let request = folder.path().join("request");
        std::fs::write(
            &request,
            format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"),
        )?;
        let mut command = Command::new("tstclnt");
        command
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-d", &store])
            .args(["-o", "-4"])
            .arg("-A")
            .arg(&request);
        run_ok(command.stdin(Stdio::null()), LIMIT)?;
    }
    let end = |process| End {
        process,
        library: "nss 3.",
    };
    row.is_exactly(&paths, Some(&end("selfserv")), Some(&end("tstclnt")))
}
