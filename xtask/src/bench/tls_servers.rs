//! Servers with each TLS library, with tiny answers to everything.
//!
//! In: a folder with a certificate, and a port. Out: the command that serves there, where the
//! program is here. It starts nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::nginx::PATH;
use crate::packages;
use crate::pypi;

/// What a server is given.
pub struct Place<'a> {
    /// Folder of the workspace, below which programs of the Python package index lie.
    pub workspace: &'a Path,
    /// For its files.
    pub folder: &'a Path,
    /// Its certificate.
    pub chain: &'a Path,
    /// The key of that.
    pub key: &'a Path,
    /// Where it serves, on 127.0.0.1.
    pub port: u16,
}

/// A server of one TLS library.
pub struct Server {
    /// Its name.
    pub name: &'static str,
    /// Its TLS library, and how that is in it.
    pub library: &'static str,
    command: fn(&Place<'_>) -> Result<Option<Command>>,
}

impl Server {
    /// The command; `None` where the program is not here.
    pub fn command(&self, place: &Place<'_>) -> Result<Option<Command>> {
        (self.command)(place)
    }
}

const fn server(
    name: &'static str,
    library: &'static str,
    command: fn(&Place<'_>) -> Result<Option<Command>>,
) -> Server {
    Server {
        name,
        library,
        command,
    }
}

/// In the order of the table.
pub const SERVERS: [Server; 8] = [
    server("nginx", "OpenSSL, shared", nginx),
    server("haproxy", "OpenSSL, shared", haproxy),
    server("node", "OpenSSL, inside", node),
    server("envoy", "BoringSSL, stripped", envoy),
    server("caddy", "Go crypto/tls", caddy),
    server("lighttpd+gnutls", "GnuTLS", |at| lighttpd(at, "gnutls")),
    server("lighttpd+wolfssl", "wolfSSL", |at| lighttpd(at, "wolfssl")),
    server("lighttpd+mbedtls", "Mbed TLS", |at| lighttpd(at, "mbedtls")),
];

fn write(place: &Place<'_>, name: &str, text: &str) -> Result<PathBuf> {
    let file = place.folder.join(name);
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

/// A program of the system.
fn here(name: &str) -> Result<Option<Command>> {
    if !packages::has(name) {
        return Ok(None);
    }
    Ok(Some(Command::new(super::overhead::program(name)?)))
}

fn nginx(place: &Place<'_>) -> Result<Option<Command>> {
    let Some(mut command) = here("nginx")? else {
        return Ok(None);
    };
    let Place {
        folder,
        chain,
        key,
        port,
        workspace: _,
    } = place;
    let (folder, chain, key) = (folder.display(), chain.display(), key.display());
    let text = format!(
        "daemon off; pid {folder}/tls-nginx.pid; error_log {folder}/tls-error.log; user root;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/tls-body;
  proxy_temp_path {folder}/tls-proxy; fastcgi_temp_path {folder}/tls-fastcgi;
  uwsgi_temp_path {folder}/tls-uwsgi; scgi_temp_path {folder}/tls-scgi;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {chain}; ssl_certificate_key {key};
    location / {{ return 200 \"ok\\n\"; }}
  }}
}}
"
    );
    let file = write(place, "tls-nginx.conf", &text)?;
    command.arg("-c").arg(file).args(["-e", "stderr"]);
    Ok(Some(command))
}

fn haproxy(place: &Place<'_>) -> Result<Option<Command>> {
    let Some(mut command) = here("haproxy")? else {
        return Ok(None);
    };
    let mut both = fs::read(place.chain).context("read the certificate")?;
    both.extend(fs::read(place.key).context("read the key")?);
    let pem = place.folder.join("both.pem");
    fs::write(&pem, both).context("write the certificate with its key")?;
    let text = format!(
        "global\n nbthread 1\ndefaults\n mode http\n timeout client 60s\n timeout server 60s\n \
         timeout connect 5s\nfrontend bench\n bind 127.0.0.1:{} ssl crt {}\n \
         http-request return status 200 content-type text/plain string ok\n",
        place.port,
        pem.display()
    );
    let file = write(place, "haproxy.cfg", &text)?;
    command.args(["-db", "-f"]).arg(file);
    Ok(Some(command))
}

fn node(place: &Place<'_>) -> Result<Option<Command>> {
    let Some(mut command) = here("node")? else {
        return Ok(None);
    };
    let text = format!(
        "const fs = require('fs');\n\
         const files = {{ cert: fs.readFileSync('{}'), key: fs.readFileSync('{}') }};\n\
         require('https').createServer(files, (q, a) => a.end('ok\\n')).listen({}, '127.0.0.1');\n",
        place.chain.display(),
        place.key.display(),
        place.port
    );
    command.arg(write(place, "server.js", &text)?);
    Ok(Some(command))
}

fn envoy(place: &Place<'_>) -> Result<Option<Command>> {
    let found = pypi::package_file(place.workspace, "envoy/_bin/envoy");
    let Some(program) = found else {
        return Ok(None);
    };
    let text = include_str!("../../../tests/programs/envoy.yaml")
        .replace("{port}", &place.port.to_string())
        .replace("{chain}", &place.chain.display().to_string())
        .replace("{key}", &place.key.display().to_string());
    let mut command = Command::new(program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "off"]);
    command.arg("-c").arg(write(place, "envoy.yaml", &text)?);
    Ok(Some(command))
}

fn caddy(place: &Place<'_>) -> Result<Option<Command>> {
    let program = pypi::folder(place.workspace).join("bin").join("caddy");
    if !program.is_file() {
        return Ok(None);
    }
    let text = format!(
        "{{\n admin off\n auto_https off\n}}\nhttps://127.0.0.1:{} {{\n tls {} {}\n respond \"ok\"\n}}\n",
        place.port,
        place.chain.display(),
        place.key.display()
    );
    let file = write(place, "Caddyfile", &text)?;
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]);
    command.arg(file).env("HOME", place.folder);
    Ok(Some(command))
}

fn lighttpd(place: &Place<'_>, module: &str) -> Result<Option<Command>> {
    let there = Path::new("/usr/lib/lighttpd").join(format!("mod_{module}.so"));
    let (Some(mut command), true) = (here("lighttpd")?, there.is_file()) else {
        return Ok(None);
    };
    let text = format!(
        "server.modules = (\"mod_{module}\")\nserver.bind = \"127.0.0.1\"\nserver.port = {}\n\
         server.document-root = \"{}\"\nserver.max-keep-alive-requests = 1000000000\n\
         ssl.engine = \"enable\"\nssl.pemfile = \"{}\"\nssl.privkey = \"{}\"\n",
        place.port,
        place.folder.display(),
        place.chain.display(),
        place.key.display()
    );
    write(place, PATH.trim_start_matches('/'), "ok\n")?;
    let file = write(place, &format!("lighttpd-{module}.conf"), &text)?;
    command.arg("-D").arg("-f").arg(file);
    Ok(Some(command))
}
