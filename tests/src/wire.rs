//! A client that sends what a test tells it to, byte for byte, and keeps its connection open:
//! for connections that outlive the start of the agent, and for input no decent client sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::running::Running;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// One connection.
pub struct Wire {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
    /// Over TLS: the program that holds the connection.
    client: Option<Running>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Plain TCP to a loopback port.
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let reader = BufReader::new(Box::new(stream.try_clone()?) as Box<dyn Read + Send>);
        Ok(Self {
            reader,
            writer: Box::new(stream),
            client: None,
        })
    }

    /// TLS to a loopback port, by `openssl s_client`, whose standard streams are the connection.
    pub fn connect_tls(port: u16) -> Result<Self> {
        let mut client = Running::start(
            "openssl s_client",
            Command::new("timeout")
                .args(["60", "openssl", "s_client", "-quiet", "-connect"])
                .arg(format!("127.0.0.1:{port}"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        )?;
        let stdin = client.child().stdin.take().context("no standard input")?;
        let stdout = client.child().stdout.take().context("no standard output")?;
        let reader = BufReader::new(Box::new(stdout) as Box<dyn Read + Send>);
        Ok(Self {
            reader,
            writer: Box::new(stdin),
            client: Some(client),
        })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes)?;
        Ok(self.writer.flush()?)
    }

    /// Sends a GET and reads the whole answer; returns its status.
    pub fn get(&mut self, path: &str) -> Result<u16> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        self.answer()
    }

    /// Reads one answer that has a `Content-Length` (or a status without body).
    pub fn answer(&mut self) -> Result<u16> {
        let (status, length) = self.answer_to_head()?;
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(status)
    }

    /// Reads an answer that has no body whatever length it states, which is given too.
    pub fn answer_to_head(&mut self) -> Result<(u16, usize)> {
        let mut status = None;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                bail!("the connection ended instead of an answer");
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if status.is_none() {
                status = Some(line.split(' ').nth(1).context("no status")?.parse()?);
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        Ok((status.context("an empty answer")?, length))
    }

    /// Reads until the other end closes, at most so many bytes.
    pub fn read_to_end(&mut self, limit: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset is as good an end as any here.
        let _ = (&mut self.reader).take(limit).read_to_end(&mut bytes);
        bytes
    }
}
