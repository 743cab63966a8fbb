//! Servers whose TLS libraries are not OpenSSL's shared ones, or use it in another way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::certificate::Certificate;
use crate::running::{Running, run_ok};
use crate::tls_row::serve;

/// Without standard streams.
pub fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// The Go program, stripped, built by each Go there is: the newest and an old one.
pub fn go_programs() -> Result<Vec<PathBuf>> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/go/main.go");
    let folder = crate::pypi::folder().context("no folder for programs")?;
    let old = PathBuf::from("/usr/lib/go-1.19/bin/go");
    let mut built = Vec::new();
    for (name, go) in [
        ("gotls", crate::pypi::program("go")),
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

/// The Go program as server.
pub fn go_server(program: &Path, certificate: &Certificate, port: u16) -> Result<Running> {
    let mut command = Command::new(program);
    command
        .args(["-address", &format!("127.0.0.1:{port}")])
        .arg("-cert")
        .arg(certificate.chain())
        .arg("-key")
        .arg(certificate.key());
    serve("the Go server", quiet(&mut command), port)
}

/// Envoy, with a static BoringSSL without symbols, that answers `hello` to everything.
pub fn envoy_server(folder: &Path, certificate: &Certificate, port: u16) -> Result<Running> {
    let settings = folder.join("envoy.yaml");
    std::fs::write(
        &settings,
        include_str!("../programs/envoy.yaml")
            .replace("{port}", &port.to_string())
            .replace("{chain}", &certificate.chain().display().to_string())
            .replace("{key}", &certificate.key().display().to_string()),
    )?;
    let program = crate::pypi::package_file("envoy/_bin/envoy").context("no envoy")?;
    let mut command = Command::new(program);
    command
        .args(["--concurrency", "1", "--disable-hot-restart"])
        .args(["-l", "off", "-c"])
        .arg(&settings);
    serve("envoy", quiet(&mut command), port)
}

/// lighttpd with one of its TLS modules, that answers `hello` to the paths given.
pub fn lighttpd_server(
    folder: &Path,
    module: &str,
    certificate: &Certificate,
    port: u16,
    paths: &[String],
) -> Result<Running> {
    let root = folder.join("root");
    for path in paths {
        let file = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap_or(&root))?;
        std::fs::write(file, "hello")?;
    }
    let settings = folder.join("lighttpd.conf");
    std::fs::write(
        &settings,
        format!(
            "server.modules = (\"mod_{module}\")\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
             server.document-root = \"{}\"\nserver.max-keep-alive-requests = 1000\n\
             ssl.engine = \"enable\"\nssl.pemfile = \"{}\"\nssl.privkey = \"{}\"\n",
            root.display(),
            certificate.chain().display(),
            certificate.key().display(),
        ),
    )?;
    let mut command = Command::new("lighttpd");
    command.arg("-D").arg("-f").arg(&settings);
    serve("lighttpd", quiet(&mut command), port)
}

/// A Node that answers `hello` to everything.
pub fn node_server(node: &Path, certificate: &Certificate, port: u16) -> Result<Running> {
    let code = "const fs = require('fs'); const [cert, key, port] = process.argv.slice(1); \
                require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, \
                (asked, answer) => answer.end('hello')).listen(Number(port), '127.0.0.1');";
    let mut command = Command::new(node);
    command.args(["-e", code]).arg(certificate.chain());
    command.arg(certificate.key()).arg(port.to_string());
    serve("node", quiet(&mut command), port)
}

/// HAProxy that answers `hello` to everything.
pub fn haproxy_server(folder: &Path, certificate: &Certificate, port: u16) -> Result<Running> {
    let both = folder.join("both.pem");
    let mut pem = std::fs::read(certificate.chain())?;
    pem.extend(std::fs::read(certificate.key())?);
    std::fs::write(&both, pem)?;
    let settings = folder.join("haproxy.cfg");
    std::fs::write(
        &settings,
        format!(
            "global\n nbthread 2\ndefaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\nfrontend tests\n bind 127.0.0.1:{port} ssl crt {} alpn h2,http/1.1\n http-request return status 200 content-type text/plain string hello\n",
            both.display()
        ),
    )?;
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&settings);
    serve("haproxy", quiet(&mut command), port)
}
