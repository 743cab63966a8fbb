//! nginx with several workers, over HTTP and HTTPS, with its own access log.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::access_log::AccessLog;
use crate::certificate::Certificate;
use crate::running::{self, Running};
use crate::{port, prerequisites, wait};

const START_LIMIT: Duration = Duration::from_secs(10);

/// A running nginx. Serves files of [`Nginx::root`], and under `/status/N` answers with status N.
#[derive(Debug)]
pub struct Nginx {
    /// Port of HTTP, on 127.0.0.1 and `::1`.
    pub http: u16,
    /// Port of HTTPS, on 127.0.0.1 and `::1`.
    pub https: u16,
    /// Port of HTTP/2 without TLS, on 127.0.0.1.
    pub h2c: u16,
    /// Port of HTTP/2 over TLS, on 127.0.0.1.
    pub h2: u16,
    /// What it wrote down.
    pub log: AccessLog,
    running: Running,
    folder: TempDir,
    _certificate: Certificate,
}

impl Nginx {
    /// With so many workers.
    pub fn start(workers: u32) -> Result<Self> {
        Self::start_with(workers, "")
    }

    /// With more locations, in nginx's own words.
    pub fn start_with(workers: u32, locations: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let certificate = Certificate::new()?;
        let [http, https, h2c, h2] = [(); 4].map(|()| port::free());
        fs::create_dir(folder.path().join("root"))?;
        let file = folder.path().join("nginx.conf");
        fs::write(
            &file,
            settings(
                folder.path(),
                &certificate,
                workers,
                [http, https, h2c, h2],
                locations,
            ),
        )?;
        let program = prerequisites::program("nginx").context("no nginx")?;
        let running = Running::start(
            "nginx",
            Command::new(program)
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(folder.path().join("stderr"))?),
        )?;
        let log = AccessLog::at(folder.path().join("access.log"));
        let mut nginx = Self {
            http,
            https,
            h2c,
            h2,
            log,
            running,
            folder,
            _certificate: certificate,
        };
        nginx.wait_ready(workers as usize)?;
        Ok(nginx)
    }

    fn wait_ready(&mut self, workers: usize) -> Result<()> {
        let (http, https, pid) = (self.http, self.https, self.running.pid());
        let running = &mut self.running;
        let ready = wait::until("nginx to listen", START_LIMIT, || {
            if let Ok(Some(status)) = running.ended() {
                return Some(Err(status));
            }
            let listens = [http, https]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok());
            (listens && running::children(pid).len() == workers).then_some(Ok(()))
        })?;
        if let Err(status) = ready {
            let said = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            bail!("nginx ended with {status}: {said}");
        }
        Ok(())
    }

    /// Puts a file of so many bytes in the document root.
    pub fn file(&self, name: &str, bytes: usize) -> Result<()> {
        Ok(fs::write(self.root().join(name), vec![b'x'; bytes])?)
    }

    /// The document root.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// URL of a path over HTTP.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// URL of a path over HTTPS.
    pub fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.https)
    }

    /// Its workers.
    pub fn workers(&self) -> Vec<u32> {
        running::children(self.running.pid())
    }

    /// The process that started the workers.
    pub fn master(&self) -> u32 {
        self.running.pid()
    }
}

fn settings(
    folder: &Path,
    certificate: &Certificate,
    workers: u32,
    [http, https, h2c, h2]: [u16; 4],
    locations: &str,
) -> String {
    let folder = folder.display();
    let (chain, key) = (certificate.chain(), certificate.key());
    let (chain, key) = (chain.display(), key.display());
    // The files belong to root, and so must the workers that read them.
    let user = if prerequisites::is_root() {
        "user root;"
    } else {
        ""
    };
    let v6 = |port: u16, tls: &str| {
        if prerequisites::has_ipv6() {
            format!("listen [::1]:{port}{tls};")
        } else {
            String::new()
        }
    };
    let (http_v6, https_v6) = (v6(http, ""), v6(https, " ssl"));
    let statuses: String = [
        200, 201, 204, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503,
    ]
    .iter()
    .map(|status| match status {
        204 => "location = /status/204 { return 204; }\n".to_owned(),
        401 => "location = /status/401 { add_header WWW-Authenticate 'Basic realm=\"x\"' \
                    always; return 401 'status 401'; }\n"
            .to_owned(),
        other => format!("location = /status/{other} {{ return {other} 'status {other}'; }}\n"),
    })
    .collect();
    format!(
        r#"
daemon off;
{user}
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 2048; }}
http {{
  log_format exact escape=json '{{"method":"$request_method","uri":"$request_uri",'
    '"status":$status,"response_bytes":$body_bytes_sent,"client_port":$remote_port,'
    '"server_port":$server_port,"pid":$pid}}';
  access_log {folder}/access.log exact;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 100m;
  types {{ text/plain txt; application/json json; }}
  default_type application/octet-stream;
  sendfile on;
  keepalive_timeout 60s;
  server {{
    listen 127.0.0.1:{http} reuseport;
    {http_v6}
    listen 127.0.0.1:{https} ssl reuseport;
    {https_v6}
    listen 127.0.0.1:{h2c} http2 reuseport;
    listen 127.0.0.1:{h2} ssl http2 reuseport;
    ssl_certificate {chain};
    ssl_certificate_key {key};
    root {folder}/root;
    location = /redirect {{ return 302 /moved; }}
    location = /moved {{ return 200 'here'; }}
    location = /accept {{ return 200 'taken'; }}
    {statuses}
    {locations}
  }}
}}
"#
    )
}
