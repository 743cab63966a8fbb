//! Apache httpd (event MPM), over HTTP and HTTPS, with its own access log.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::access_log::AccessLog;
use crate::certificate::Certificate;
use crate::running::Running;
use crate::{port, prerequisites, wait};

const START_LIMIT: Duration = Duration::from_secs(10);
/// Where distributions put Apache's modules.
const MODULES: [&str; 3] = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
];

/// A running Apache.
#[derive(Debug)]
pub struct Apache {
    /// Port of HTTP on 127.0.0.1.
    pub http: u16,
    /// Port of HTTPS on 127.0.0.1.
    pub https: u16,
    /// What it wrote down.
    pub log: AccessLog,
    running: Running,
    folder: TempDir,
    _certificate: Certificate,
}

impl Apache {
    /// With two child processes of several threads each.
    pub fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let certificate = Certificate::new()?;
        let (http, https) = (port::free(), port::free());
        fs::create_dir(folder.path().join("root"))?;
        let file = folder.path().join("httpd.conf");
        fs::write(&file, settings(folder.path(), &certificate, http, https)?)?;
        let program = prerequisites::program("apache2").context("no apache2")?;
        let running = Running::start(
            "apache2",
            Command::new(program)
                .args(["-D", "FOREGROUND", "-f"])
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(folder.path().join("stderr"))?),
        )?;
        let log = AccessLog::at(folder.path().join("access.log"));
        let mut apache = Self {
            http,
            https,
            log,
            running,
            folder,
            _certificate: certificate,
        };
        apache.wait_ready()?;
        Ok(apache)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let (http, https) = (self.http, self.https);
        let running = &mut self.running;
        let ready = wait::until("apache2 to listen", START_LIMIT, || {
            if let Ok(Some(status)) = running.ended() {
                return Some(Err(status));
            }
            let listens = [http, https]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok());
            listens.then_some(Ok(()))
        })?;
        if let Err(status) = ready {
            let said = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            let log = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
            bail!("apache2 ended with {status}: {said}{log}");
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

    /// The process that started the others.
    pub fn master(&self) -> u32 {
        self.running.pid()
    }
}

fn settings(folder: &Path, certificate: &Certificate, http: u16, https: u16) -> Result<String> {
    let modules = MODULES
        .iter()
        .find(|folder| Path::new(folder).is_dir())
        .context("no folder of Apache modules")?;
    let load: String = ["mpm_event", "authz_core", "ssl", "socache_shmcb", "alias"]
        .iter()
        .map(|name| format!("LoadModule {name}_module {modules}/mod_{name}.so\n"))
        .collect();
    let folder = folder.display();
    let (chain, key) = (certificate.chain(), certificate.key());
    let (chain, key) = (chain.display(), key.display());
    let user = if prerequisites::is_root() {
        "User www-data\nGroup www-data"
    } else {
        ""
    };
    // The document root must be readable for that user.
    let root = Path::new(&folder.to_string()).join("root");
    open_to_all(root.parent().context("no parent")?)?;
    open_to_all(&root)?;
    let root = root.display();
    Ok(format!(
        r#"
{load}
ServerRoot {folder}
ServerName localhost
{user}
PidFile {folder}/pid
ErrorLog {folder}/error.log
DefaultRuntimeDir {folder}
StartServers 2
ServerLimit 2
ThreadsPerChild 8
ThreadLimit 8
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
KeepAlive On
MaxKeepAliveRequests 1000
KeepAliveTimeout 30
LogFormat "{{\"method\":\"%m\",\"uri\":\"%U%q\",\"status\":%>s,\"response_bytes\":%B,\"client_port\":%{{remote}}p,\"server_port\":%{{local}}p,\"pid\":%P}}" exact
CustomLog {folder}/access.log exact
Listen 127.0.0.1:{http}
Listen 127.0.0.1:{https}
DocumentRoot {root}
<Directory {root}>
  Require all granted
</Directory>
<Location /forbidden>
  Require all denied
</Location>
Redirect 302 /redirect /moved.txt
<VirtualHost 127.0.0.1:{https}>
  SSLEngine on
  SSLCertificateFile {chain}
  SSLCertificateKeyFile {key}
</VirtualHost>
"#
    ))
}

fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(
        folder,
        fs::Permissions::from_mode(0o755),
    )?)
}
