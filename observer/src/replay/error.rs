//! Why a file cannot be replayed.

use std::io;
use std::path::PathBuf;

/// Why a file cannot be replayed. Names the file and the line, never their content.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be opened.
    #[error("{}: cannot open: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading stopped.
    #[error("{}: line {line}: cannot read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A capture file cannot be read on.
    #[error("{}: packet {packet}: {wrong}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// Packet, from 1; 0: before the first one.
        packet: u64,
        /// What is wrong.
        wrong: CaptureWrong,
    },
    /// A line is no transcript of a connection.
    #[error("{}: line {line}: {wrong}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong with it.
        wrong: Wrong,
    },
}

/// What is wrong with a capture file.
#[derive(Debug, thiserror::Error)]
pub enum CaptureWrong {
    /// Reading stopped.
    #[error("cannot read: {0}")]
    Read(io::Error),
    /// Neither pcap nor pcapng.
    #[error("is neither pcap nor pcapng")]
    Format,
    /// A length makes no sense.
    #[error("has a length that makes no sense; the file is damaged")]
    Length,
    /// A packet of an interface that was not described.
    #[error("is of an interface that the file does not describe")]
    Interface,
    /// More interfaces than the bound.
    #[error("describes too many interfaces")]
    Interfaces,
    /// A type of link that is not read.
    #[error(
        "has link type {0}, which is not read; Ethernet, raw IP, PPP, HDLC, NFLOG, BSD loopback and Linux cooked captures are"
    )]
    Link(u16),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Longer than [`super::MAX_LINE`].
    #[error("longer than {} MiB; split the connection over several lines", super::MAX_LINE >> 20)]
    TooLong,
    /// Not UTF-8 text.
    #[error("is not UTF-8 text")]
    NotText,
    /// Not JSON.
    #[error("is not JSON (column {column}); a transcript has one object a line")]
    NotJson {
        /// Column, from 1.
        column: usize,
    },
    /// JSON of another shape.
    #[error(
        "is not a connection (column {column}); wanted {{\"id\":\"…\",\"chunks\":[{{\"d\":\"c\"|\"s\",\"b\":\"<base64>\"}}|{{\"d\":…,\"gap\":N}}|{{\"d\":…,\"left_out\":N}}]}}"
    )]
    NotConnection {
        /// Column, from 1.
        column: usize,
    },
    /// `d` is neither `c` nor `s`.
    #[error("chunk {chunk}: \"d\" must be \"c\" (client to server) or \"s\" (server to client)")]
    Direction {
        /// Chunk, from 1.
        chunk: usize,
    },
    /// `b` is not base64.
    #[error("chunk {chunk}: \"b\" is not base64 (RFC 4648 §4)")]
    Base64 {
        /// Chunk, from 1.
        chunk: usize,
    },
    /// Not exactly one of `b`, `gap` and `left_out`.
    #[error("chunk {chunk}: wanted one of \"b\", \"gap\" and \"left_out\"")]
    Content {
        /// Chunk, from 1.
        chunk: usize,
    },
    /// An address is not `ip:port`.
    #[error("\"{field}\" is not an address of the form ip:port")]
    Address {
        /// Which.
        field: &'static str,
    },
    /// Times are so large that they cannot be counted in nanoseconds.
    #[error("chunk {chunk}: \"t_ms\" is out of range")]
    Time {
        /// Chunk, from 1.
        chunk: usize,
    },
}
