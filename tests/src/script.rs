//! Servers that are a short program of their own: Python's `http.server` and Node's `http`.
//!
//! Both answer the same paths: `/bytes/N` with N bytes, `/status/N` with status N, an upload to
//! any path with the number of bytes received; and both write the common access log.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::access_log::AccessLog;
use crate::certificate::Certificate;
use crate::port;
use crate::running::Running;

const START_LIMIT: Duration = Duration::from_secs(10);

/// How to start such a server.
#[derive(Clone, Debug)]
pub struct Script {
    program: Vec<String>,
    address: String,
    arguments: Vec<String>,
    tls: bool,
}

/// One that runs.
#[derive(Debug)]
pub struct ScriptServer {
    /// Where it listens.
    pub port: u16,
    /// What it wrote down.
    pub log: AccessLog,
    address: String,
    tls: bool,
    running: Running,
    stdin: ChildStdin,
    said: mpsc::Receiver<String>,
    folder: TempDir,
    _certificate: Option<Certificate>,
}

impl Script {
    /// Python's `http.server`, which speaks HTTP/1.0 and closes after each answer.
    pub fn python() -> Self {
        Self::of("python3", "server.py")
    }

    /// Node's `http` or `https`: with TLS the OpenSSL inside the executable.
    pub fn node() -> Self {
        Self::of("node", "server.js")
    }

    /// A server of SOAP, JSON-RPC, GraphQL and WebSocket.
    pub fn operations() -> Self {
        Self::of("python3", "operations.py")
    }

    fn of(program: &str, file: &str) -> Self {
        Self {
            program: vec![
                program.to_owned(),
                programs().join(file).display().to_string(),
            ],
            address: "127.0.0.1".to_owned(),
            arguments: Vec::new(),
            tls: false,
        }
    }

    /// Over TLS.
    pub fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// With HTTP/1.1 and keep-alive (Python; Node always does).
    pub fn keeping_alive(self) -> Self {
        self.with("--keep-alive")
    }

    /// Opens its port, and with TLS loads the library, only when told to by
    /// [`ScriptServer::go`].
    pub fn waiting(self) -> Self {
        self.with("--wait")
    }

    /// On this address instead of 127.0.0.1.
    pub fn on(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// By this program in front, such as `ip netns exec NAME`.
    pub fn inside(mut self, prefix: &[&str]) -> Self {
        self.program
            .splice(0..0, prefix.iter().map(|&word| word.to_owned()));
        self
    }

    fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts it and waits until it listens (or waits to be told to).
    pub fn start(self) -> Result<ScriptServer> {
        let Self {
            program,
            address,
            arguments,
            tls,
        } = self;
        let folder = TempDir::new()?;
        let port = port::free();
        let certificate = if tls { Some(Certificate::new()?) } else { None };
        let log = folder.path().join("access.log");
        let (name, before) = program.split_first().context("no program")?;
        let mut command = Command::new(name);
        command
            .args(before)
            .args(["--address", &address, "--port", &port.to_string()]);
        command.arg("--log").arg(&log).args(&arguments);
        if let Some(certificate) = &certificate {
            command
                .arg("--cert")
                .arg(certificate.chain())
                .arg("--key")
                .arg(certificate.key());
        }
        command
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("stderr"))?);
        let mut running = Running::start(name, &mut command)?;
        let stdin = running.child().stdin.take().context("no standard input")?;
        let stdout = running
            .child()
            .stdout
            .take()
            .context("no standard output")?;
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let log = AccessLog::at(log);
        let server = ScriptServer {
            port,
            log,
            address,
            tls,
            running,
            stdin,
            said,
            folder,
            _certificate: certificate,
        };
        let waits = arguments.iter().any(|argument| argument == "--wait");
        server.expect(if waits { "waiting" } else { "listening" })?;
        Ok(server)
    }
}

impl ScriptServer {
    /// Tells a waiting server to open its port, and waits until it has.
    pub fn go(&mut self) -> Result<()> {
        writeln!(self.stdin, "go")?;
        self.expect("listening")
    }

    fn expect(&self, word: &str) -> Result<()> {
        match self.said.recv_timeout(START_LIMIT) {
            Ok(line) if line == word => Ok(()),
            other => {
                let stderr = std::fs::read_to_string(self.folder.path().join("stderr"));
                bail!("the server said {other:?} instead of {word:?}: {}", stderr?)
            }
        }
    }

    /// URL of a path.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}{path}", self.address, self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}

/// The folder of the server programs.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}
