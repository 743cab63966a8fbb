//! Keeps what of connections is not written yet.

use std::collections::HashMap;

use super::recording::Recording;
use crate::protocol::{Message, Verdict};
use crate::stream::{Chunk, Conn, ConnId, Direction, Piece};

/// Bytes of a connection that are kept before they are written as a part of it: few enough that
/// a stop in the middle loses little, enough for the calls of a usual connection.
pub const MAX_PART: usize = 64 << 10;

/// Memory of all connections together, bytes; over it, all are written.
pub const MOST_KEPT: usize = 16 << 20;

/// Connections that are kept at once; the pipeline knows as many.
const MOST_CONNECTIONS: usize = 65_536;

/// What becomes of bodies, credentials and values of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are left out: messages are written anew from what may be shown.
    Redacted,
    /// All bytes are written as they were.
    Kept,
}

/// Makes lines of a transcript.
#[derive(Debug)]
pub struct Recorder {
    secrets: Secrets,
    /// `None`: nothing of this connection is recorded.
    open: HashMap<ConnId, Option<(Conn, Recording)>>,
    kept: usize,
    ready: Vec<(ConnId, Vec<u8>)>,
    ready_bytes: usize,
    over_limit: u64,
}

impl Recorder {
    /// Nothing is recorded yet.
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            open: HashMap::new(),
            kept: 0,
            ready: Vec::new(),
            ready_bytes: 0,
            over_limit: 0,
        }
    }

    /// What becomes of secrets.
    pub fn secrets(&self) -> Secrets {
        self.secrets
    }

    /// Lines that are complete.
    pub fn take_lines(&mut self) -> Vec<u8> {
        self.ready_bytes = 0;
        let lines = self.ready.drain(..).map(|(_, line)| line);
        lines.collect::<Vec<_>>().concat()
    }

    /// Connections that were not recorded because too many were open.
    pub fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// Memory it takes, bytes.
    pub fn memory(&self) -> usize {
        self.kept + self.ready_bytes
    }

    /// Takes the next piece of a connection.
    pub fn chunk(&mut self, conn: &Conn, chunk: &Chunk<'_>) {
        if self.secrets == Secrets::Redacted {
            return;
        }
        let Chunk {
            direction,
            time_ns,
            at: _,
            piece,
            skips: _,
        } = *chunk;
        self.change(conn, |recording| match piece {
            Piece::Data(bytes) => recording.bytes(direction, time_ns, bytes),
            Piece::Gap(len) => recording.gap(direction, time_ns, len),
            Piece::Skipped(len) => recording.left_out(direction, time_ns, len),
            // Says when it was; the line ends both directions.
            Piece::End => recording.bytes(direction, time_ns, &[]),
        });
    }

    /// Takes what the protocol made of the piece at hand, whose time this is.
    pub fn message(&mut self, conn: &Conn, time_ns: u64, message: &Message<'_>) {
        match message {
            Message::Verdict(verdict) if !verdict.is_http() && *verdict != Verdict::Upgraded => {
                self.forget(conn.id);
            }
            Message::Skip { .. } | Message::Disputed | Message::Content { .. } => {}
            message if self.secrets == Secrets::Redacted => {
                self.change(conn, |recording| recording.message(time_ns, message));
            }
            _ => {}
        }
    }

    /// A piece was read; `requests`: the direction in which requests go, if known now. Writes
    /// what is enough for a part. `offset_ns`: Unix time minus the time of pieces.
    pub fn settle(&mut self, conn: &Conn, requests: Option<Direction>, offset_ns: i64) {
        let Some(Some((_, recording))) = self.open.get_mut(&conn.id) else {
            return;
        };
        recording.requests = requests.or(recording.requests);
        if recording.len() > MAX_PART {
            self.part(conn, offset_ns);
        }
        if self.kept > MOST_KEPT {
            let open = self.open.values().flatten();
            let all: Vec<Conn> = open.map(|(conn, _)| conn.clone()).collect();
            for conn in all {
                self.part(&conn, offset_ns);
            }
        }
    }

    fn part(&mut self, conn: &Conn, offset_ns: i64) {
        let Some(Some((known, recording))) = self.open.get_mut(&conn.id) else {
            return;
        };
        let before = recording.memory();
        if recording.requests.is_none() {
            // Whether it is HTTP is not known.
            recording.lose();
        } else if !recording.is_empty() {
            let line = recording.write(conn, offset_ns, true);
            self.ready_bytes += line.len();
            self.ready.push((conn.id, line));
            known.clone_from(conn);
        }
        self.kept = self.kept.saturating_sub(before) + recording.memory();
    }

    /// Records nothing of a connection: neither what is not taken yet nor what comes.
    pub fn forget(&mut self, conn: ConnId) {
        if self.open.len() < MOST_CONNECTIONS || self.open.contains_key(&conn) {
            let known = self.open.insert(conn, None).flatten();
            let freed = known.map_or(0, |(_, recording)| recording.memory());
            self.kept = self.kept.saturating_sub(freed);
        }
        self.ready.retain(|(own, _)| *own != conn);
        self.ready_bytes = self.ready.iter().map(|(_, line)| line.len()).sum();
    }

    /// The connection is gone: writes the rest of it.
    pub fn close(&mut self, conn: &Conn, offset_ns: i64) {
        if let Some(Some((_, mut recording))) = self.open.remove(&conn.id) {
            self.kept = self.kept.saturating_sub(recording.memory());
            if recording.requests.is_some() {
                let line = recording.write(conn, offset_ns, false);
                self.ready_bytes += line.len();
                self.ready.push((conn.id, line));
            }
        }
    }

    fn change(&mut self, conn: &Conn, change: impl FnOnce(&mut Recording)) {
        if !self.open.contains_key(&conn.id) && self.open.len() >= MOST_CONNECTIONS {
            self.over_limit += 1;
            return;
        }
        let Some((_, recording)) = self
            .open
            .entry(conn.id)
            .or_insert_with(|| Some((conn.clone(), Recording::default())))
        else {
            return;
        };
        let before = recording.memory();
        change(recording);
        self.kept = self.kept.saturating_sub(before) + recording.memory();
    }
}
