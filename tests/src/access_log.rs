//! A server's own record of the calls it answered. Every server of these tests writes the same
//! format: one JSON object a line, with the fields of [`Logged`].

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One call, as the server that answered it wrote it down.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Logged {
    /// As received.
    pub method: String,
    /// Target as received, with its query.
    pub uri: String,
    /// As sent.
    pub status: u16,
    /// Body bytes sent, if the server counts them.
    pub response_bytes: Option<u64>,
    /// Body bytes received, if the server counts them.
    pub request_bytes: Option<u64>,
    /// Port of the client's end.
    pub client_port: Option<u16>,
    /// Port it came in at.
    pub server_port: u16,
    /// Process that answered.
    pub pid: Option<u32>,
}

impl Logged {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.uri
            .split_once('?')
            .map_or(self.uri.as_str(), |(path, _)| path)
    }
}

/// The log of one server.
#[derive(Clone, Debug)]
pub struct AccessLog {
    path: PathBuf,
}

impl AccessLog {
    /// The log in this file.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// All calls that came in at `port`, as far as their lines are complete.
    pub fn entries(&self, port: u16) -> Result<Vec<Logged>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("cannot read the access log"),
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut entries = Vec::new();
        for line in complete.lines() {
            let entry: Logged = serde_json::from_str(line)
                .with_context(|| format!("not a line of an access log: {line}"))?;
            if entry.server_port == port {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}
