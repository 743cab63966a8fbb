//! One line of a transcript: one connection.

use std::borrow::Cow;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Wrong;
use crate::stream::Direction;

/// A connection as recorded. Fields that are not listed are for other readers.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub chunks: Vec<ChunkLine<'a>>,
    #[serde(borrow, default)]
    client: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    server: Option<Cow<'a, str>>,
    /// `client`: the end observed is the client's; else the server's.
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    /// The TLS library that the bytes are plaintext of.
    #[serde(borrow, default)]
    pub tls: Option<Cow<'a, str>>,
    /// The connection was open before it was observed.
    #[serde(default)]
    pub joined: bool,
    /// It goes on in a later line with the same `id`.
    #[serde(default)]
    pub more: bool,
}

/// Bytes that went one way, or so many that are missing.
#[derive(Debug, Deserialize)]
pub(super) struct ChunkLine<'a> {
    #[serde(borrow)]
    d: Cow<'a, str>,
    #[serde(borrow, default)]
    b: Option<Cow<'a, str>>,
    #[serde(default)]
    gap: Option<u64>,
    #[serde(default)]
    left_out: Option<u64>,
    #[serde(default)]
    t_ms: Option<f64>,
}

/// What a chunk holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    Gap(u64),
    LeftOut(u64),
}

impl<'a> Line<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, Wrong> {
        let text = std::str::from_utf8(text).map_err(|_| Wrong::NotText)?;
        serde_json::from_str(text).map_err(|error| {
            // Not the message itself: it quotes what it did not expect.
            let column = error.column();
            match error.classify() {
                serde_json::error::Category::Data => Wrong::NotConnection { column },
                _ => Wrong::NotJson { column },
            }
        })
    }

    /// The end observed is the client's.
    pub(super) fn at_client(&self) -> bool {
        self.role.as_deref() == Some("client")
    }

    /// Client and server, if both are given.
    pub(super) fn ends(&self) -> Result<Option<(SocketAddr, SocketAddr)>, Wrong> {
        let address = |text: &Option<Cow<'_, str>>, field| match text {
            Some(text) => text.parse().map(Some).map_err(|_| Wrong::Address { field }),
            None => Ok(None),
        };
        let (client, server) = (
            address(&self.client, "client")?,
            address(&self.server, "server")?,
        );
        Ok(client.zip(server))
    }
}

impl ChunkLine<'_> {
    /// `chunk` is its number in the line, from 1.
    pub(super) fn direction(&self, chunk: usize) -> Result<Direction, Wrong> {
        match self.d.as_ref() {
            "c" => Ok(Direction::Inbound),
            "s" => Ok(Direction::Outbound),
            _ => Err(Wrong::Direction { chunk }),
        }
    }

    pub(super) fn content(&self, chunk: usize) -> Result<Content, Wrong> {
        match (&self.b, self.gap, self.left_out) {
            (Some(text), None, None) => STANDARD
                .decode(text.as_bytes())
                .map(Content::Bytes)
                .map_err(|_| Wrong::Base64 { chunk }),
            (None, Some(gap), None) => Ok(Content::Gap(gap)),
            (None, None, Some(len)) => Ok(Content::LeftOut(len)),
            _ => Err(Wrong::Content { chunk }),
        }
    }

    /// Nanoseconds, if told.
    pub(super) fn time_ns(&self, chunk: usize) -> Result<Option<u64>, Wrong> {
        let Some(t_ms) = self.t_ms else {
            return Ok(None);
        };
        let time_ns = t_ms * 1e6;
        // 2^63 ns are 292 years.
        if (0.0..9.2e18).contains(&time_ns) {
            Ok(Some(time_ns as u64))
        } else {
            Err(Wrong::Time { chunk })
        }
    }
}
