//! The server under load: one nginx worker on loopback, tiny answers, HTTP and
//! HTTPS, no access log.
//!
//! In: a folder for its files. Out: two ports and its own count of requests. It
//! never touches an nginx that runs already.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::http;

/// The path of the tiny answer.
pub const PATH: &str = "/tiny";

/// How long nginx may take to answer its first request.
const START: Duration = Duration::from_secs(10);

/// An nginx of our own, stopped when dropped.
pub struct Nginx {
    master: Child,
    worker: u32,
    /// Requests for the count itself, which nginx counts as well.
    counted: Cell<u64>,
    /// Where it serves HTTP.
    pub http: u16,
    /// Where it serves HTTPS.
    pub https: u16,
}

impl Nginx {
    /// Starts it, its worker bound to the first CPU when there are several.
    pub fn start(folder: &Path, pinned: bool) -> Result<Self> {
        let (key, certificate) = certificate(folder)?;
        let (http, https) = (http::free_port()?, http::free_port()?);
        let affinity = if pinned {
            "worker_cpu_affinity 01;"
        } else {
            ""
        };
        let configuration = format!(
            "daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; user root;
worker_processes 1; {affinity}
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 60s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    location = {PATH} {{ default_type text/plain; return 200 \"ok\\n\"; }}
    location = /count {{ stub_status; }}
    location /bodies/ {{ sendfile on; root {folder}; }}
  }}
}}
",
            folder = folder.display(),
            certificate = certificate.display(),
            key = key.display(),
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).with_context(|| format!("write {}", file.display()))?;
        let master = Command::new(super::overhead::program("nginx")?)
            .arg("-c")
            .arg(&file)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start nginx")?;
        let mut nginx = Self {
            master,
            worker: 0,
            counted: Cell::new(0),
            http,
            https,
        };
        nginx.wait_until_it_answers(folder)?;
        nginx.worker = only_child(nginx.master.id())?;
        Ok(nginx)
    }

    /// The process that serves.
    pub fn worker(&self) -> u32 {
        self.worker
    }

    /// Requests it has answered so far, those for the count itself left out.
    pub fn requests(&self) -> Result<u64> {
        let (_, body) = http::get(self.http, "/count")?;
        self.counted.set(self.counted.get() + 1);
        requests_in(&body)
            .and_then(|all| all.checked_sub(self.counted.get()))
            .context("nginx's stub_status has no count of requests")
    }

    fn wait_until_it_answers(&mut self, folder: &Path) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < START {
            if http::get(self.http, PATH).is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            if let Some(status) = self.master.try_wait().context("ask for nginx")? {
                let log = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
                bail!("nginx ended at once ({status}): {}", log.trim_end());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("nginx did not answer within {} s", START.as_secs());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = self.master.id().to_string();
        let asked = Command::new("kill").args(["-QUIT", &pid]).status();
        if !asked.is_ok_and(|status| status.success()) {
            // It may be gone already; then there is nothing left to end.
            let _gone = self.master.kill();
        }
        let _status = self.master.wait();
    }
}

/// A key and a certificate that nobody trusts, good for a day.
pub(super) fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("start openssl")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("openssl made no certificate: {}", said.trim_end());
    }
    Ok((key, certificate))
}

/// The one child of nginx's master: its worker.
fn only_child(master: u32) -> Result<u32> {
    let path = format!("/proc/{master}/task/{master}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let mut children = text.split_ascii_whitespace();
    let (Some(child), None) = (children.next(), children.next()) else {
        bail!("nginx was to have one worker, it has: {text}");
    };
    child.parse().with_context(|| format!("read {path}"))
}

/// The third number below `server accepts handled requests`.
fn requests_in(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    lines.find(|line| line.contains("accepts handled requests"))?;
    lines.next()?.split_ascii_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::requests_in;

    #[test]
    fn the_count_of_requests_is_the_third_number() {
        let status = "Active connections: 1 \nserver accepts handled requests\n 3 3 42 \n\
                      Reading: 0 Writing: 1 Waiting: 0 \n";
        assert_eq!(requests_in(status), Some(42));
    }
}
