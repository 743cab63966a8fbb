//! Opens one TLS connection.

use std::fmt;
use std::sync::Arc;

use super::handshake::{self, Handshake};
use super::key_log::Random;
use super::keys;
use super::opened::Opened;
use super::protection::Protection;
use super::record::{
    CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, MAX_RECORD, begins_tls, clear_messages, header,
};
use super::shared::DecryptShared;
use super::side::{Candidate, Side};
use super::suite::Suite;
use crate::stream::{Chunk, Direction, Piece, Tls, TlsHello, TlsVersion};

/// Most that is kept of a direction before the hellos are read: a client with a post-quantum key
/// sends two KiB, and early data may follow.
const MAX_OPENING: usize = 64 << 10;

/// Records in a row that are not opened before a direction is given up: early data that was not
/// accepted are as many as fit in 16 KiB, as a rule.
const MAX_FAILED: u32 = 64;

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// What it is is not known yet.
    #[default]
    Opening,
    /// It cannot be opened: its bytes are passed on as they are.
    Passing,
    /// Its secrets are known.
    Keyed {
        client: Direction,
        random: Random,
        suite: Option<Suite>,
    },
}

/// One connection.
#[derive(Default)]
pub struct Decrypter {
    inbound: Side,
    outbound: Side,
    stage: Stage,
    accounted: usize,
}

impl fmt::Debug for Decrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypter").finish_non_exhaustive()
    }
}

impl Decrypter {
    /// Takes the next piece of the connection.
    pub fn push(
        &mut self,
        chunk: &Chunk<'_>,
        shared: &mut DecryptShared,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let Chunk {
            direction,
            time_ns,
            piece,
            ..
        } = *chunk;
        match (self.stage, piece) {
            (Stage::Passing, _) => out(Opened::Chunk(*chunk)),
            (Stage::Opening, Piece::Data(bytes)) => self.open(chunk, bytes, shared, out),
            (Stage::Opening, _) => {
                self.pass_on(time_ns, out);
                out(Opened::Chunk(*chunk));
            }
            (Stage::Keyed { .. }, Piece::Data(bytes)) => {
                self.data(direction, time_ns, bytes, shared, out);
            }
            (Stage::Keyed { .. }, Piece::Gap(len) | Piece::Skipped(len)) => {
                self.gap(direction, time_ns, len, shared, out);
            }
            (Stage::Keyed { .. }, Piece::End) => {
                let at = self.side(direction).at;
                out(Opened::Chunk(Chunk { at, ..*chunk }));
            }
        }
        let memory = self.inbound.memory() + self.outbound.memory();
        shared.account(std::mem::replace(&mut self.accounted, memory), memory);
        if memory > 0 && shared.is_over_budget() {
            shared.counts.over_budget += 1;
            self.pass_on(time_ns, out);
            self.close(shared);
        }
    }

    /// The connection is gone: frees what was kept.
    pub fn close(&mut self, shared: &mut DecryptShared) {
        self.inbound.give_up();
        self.outbound.give_up();
        shared.account(std::mem::take(&mut self.accounted), 0);
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    /// Looks for the hello of the client.
    fn open(
        &mut self,
        chunk: &Chunk<'_>,
        bytes: &[u8],
        shared: &mut DecryptShared,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let Chunk {
            direction, time_ns, ..
        } = *chunk;
        let side = self.side(direction);
        if side.buffer.is_empty() {
            side.start = chunk.at;
        }
        side.buffer.extend_from_slice(bytes);
        if !begins_tls(&side.buffer) || side.buffer.len() > MAX_OPENING {
            self.pass_on(time_ns, out);
            return;
        }
        let mut messages = clear_messages(&side.buffer);
        let Handshake::Client(random) = handshake::first(&mut messages) else {
            return;
        };
        if shared.keys.of(&random).is_none() {
            shared.counts.without_secrets += 1;
            self.pass_on(time_ns, out);
            return;
        }
        self.stage = Stage::Keyed {
            client: direction,
            random,
            suite: None,
        };
        for direction in [direction, opposite(direction)] {
            self.data(direction, time_ns, &[], shared, out);
        }
    }

    /// From now on everything is passed on as it is, what was kept first.
    fn pass_on(&mut self, time_ns: u64, out: &mut impl FnMut(Opened<'_>)) {
        if matches!(self.stage, Stage::Keyed { .. }) {
            return;
        }
        self.stage = Stage::Passing;
        for direction in [Direction::Inbound, Direction::Outbound] {
            let side = self.side(direction);
            let (kept, at) = (std::mem::take(&mut side.buffer), side.start);
            if !kept.is_empty() {
                out(Opened::Chunk(Chunk {
                    direction,
                    time_ns,
                    at,
                    piece: Piece::Data(&kept),
                    skips: None,
                }));
            }
        }
    }

    fn data(
        &mut self,
        direction: Direction,
        time_ns: u64,
        bytes: &[u8],
        shared: &mut DecryptShared,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let chosen = self.suite().is_some();
        let side = self.side(direction);
        if side.lost {
            return;
        }
        let passed = side.pass.min(bytes.len());
        side.pass -= passed;
        let mut buffer = std::mem::take(&mut side.buffer);
        buffer.extend_from_slice(bytes.get(passed..).unwrap_or_default());
        let mut rest = &buffer[..];
        while let Some((head, after)) = rest.split_first_chunk::<5>() {
            let Some((kind, len)) = header(*head) else {
                shared.counts.directions_lost += 1;
                self.side(direction).give_up();
                return;
            };
            // What the client sends early is opened when it is known what the server chose.
            if kind == DATA && self.suite().is_none() {
                break;
            }
            let Some((payload, after)) = after.split_at_checked(len) else {
                break;
            };
            rest = after;
            self.record(direction, time_ns, *head, payload, shared, out);
        }
        let side = self.side(direction);
        if side.lost {
            return;
        }
        let done = buffer.len() - rest.len();
        buffer.drain(..done);
        if buffer.len() > MAX_OPENING {
            shared.counts.directions_lost += 1;
            side.give_up();
            return;
        }
        buffer.shrink_to(MAX_RECORD);
        side.buffer = buffer;
        if !chosen && self.suite().is_some() {
            self.data(opposite(direction), time_ns, &[], shared, out);
        }
    }

    fn suite(&self) -> Option<Suite> {
        match self.stage {
            Stage::Keyed { suite, .. } => suite,
            Stage::Opening | Stage::Passing => None,
        }
    }

    /// A record is whole.
    fn record(
        &mut self,
        direction: Direction,
        time_ns: u64,
        head: [u8; 5],
        payload: &[u8],
        shared: &mut DecryptShared,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let suite = self.suite();
        let side = self.side(direction);
        let [kind, ..] = head;
        let modern = suite.is_some_and(|suite| suite.version == TlsVersion::Tls13);
        if side.candidates.is_empty() {
            match kind {
                CHANGE_CIPHER_SPEC => {
                    if let Some(protection) = side.pending.take() {
                        let secret = None;
                        side.expect(Candidate { protection, secret });
                    }
                }
                HANDSHAKE if suite.is_none() => self.clear(direction, payload, shared, out),
                _ => {}
            }
            return;
        }
        if modern && kind != DATA {
            // For the eyes of middleboxes (RFC 8446 §D.4), or an alert before there were keys.
            return;
        }
        let Some(mut content) = side.open(head, payload) else {
            shared.counts.records_failed += 1;
            side.failed += 1;
            // What was sent early and not accepted is no loss.
            let begun = !modern || side.opened;
            if side.failed > MAX_FAILED {
                shared.counts.directions_lost += 1;
                side.give_up();
            } else if begun {
                // It has a number, most likely under the newest key.
                if let Some(newest) = side.candidates.last_mut() {
                    newest.protection.skip();
                }
                if kind == DATA {
                    self.missing(direction, time_ns, payload.len(), out);
                }
            }
            return;
        };
        shared.counts.records += 1;
        side.failed = 0;
        side.opened = true;
        let kind = if modern {
            // Zeros pad it, and before them stands what it is (RFC 8446 §5.2).
            let end = content.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            let kind = content.get(end).copied().unwrap_or(0);
            content.truncate(end);
            kind
        } else {
            kind
        };
        match (kind, suite) {
            (DATA, _) if !content.is_empty() => {
                let at = side.at;
                side.at = at.saturating_add(content.len() as u64);
                out(Opened::Chunk(Chunk {
                    direction,
                    time_ns,
                    at,
                    piece: Piece::Data(&content),
                    skips: None,
                }));
            }
            (HANDSHAKE, Some(suite)) if handshake::updates_key(&content) => {
                let current = side.candidates.first();
                let Some(secret) = current.and_then(|current| current.secret.as_ref()) else {
                    return;
                };
                let secret = keys::next_secret(suite, secret);
                if let Some(protection) = Protection::new(suite, keys::of_secret(suite, &secret)) {
                    let secret = Some(secret);
                    side.expect(Candidate { protection, secret });
                }
            }
            _ => {}
        }
    }

    /// Handshake messages in the clear, before it is known what the server chose.
    fn clear(
        &mut self,
        direction: Direction,
        payload: &[u8],
        shared: &mut DecryptShared,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let side = self.side(direction);
        if side.messages.len() + payload.len() > MAX_OPENING {
            shared.counts.directions_lost += 1;
            side.give_up();
            return;
        }
        side.messages.extend_from_slice(payload);
        loop {
            match handshake::first(&mut self.side(direction).messages) {
                Handshake::Incomplete => return,
                Handshake::Server {
                    random,
                    version,
                    suite,
                } => {
                    self.side(direction).messages = Vec::new();
                    self.chosen(random, version, suite, shared, out);
                    return;
                }
                Handshake::Client(_) | Handshake::Other => {}
            }
        }
    }

    /// The server chose.
    fn chosen(
        &mut self,
        server_random: Random,
        version: Option<TlsVersion>,
        number: u16,
        shared: &mut DecryptShared,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let Stage::Keyed {
            client,
            random,
            suite: chosen,
        } = &mut self.stage
        else {
            return;
        };
        let (client, random) = (*client, *random);
        let Some(suite) = version.and_then(|version| Suite::of(version, number)) else {
            shared.counts.unsupported += 1;
            self.inbound.give_up();
            self.outbound.give_up();
            return;
        };
        *chosen = Some(suite);
        let server = opposite(client);
        let secrets = shared.keys.of(&random);
        let mut known = false;
        if suite.version == TlsVersion::Tls13 {
            let of_client = secrets.map(|secrets| &secrets.client);
            let of_server = secrets.map(|secrets| &secrets.server);
            for (direction, secrets) in [(client, of_client), (server, of_server)] {
                for secret in secrets.into_iter().flatten().flatten() {
                    let protection = Protection::new(suite, keys::of_secret(suite, secret));
                    let secret = Some(secret.clone());
                    if let Some(protection) = protection {
                        known = true;
                        let candidate = Candidate { protection, secret };
                        self.side(direction).expect(candidate);
                    }
                }
            }
        } else if let Some(master) = secrets.and_then(|secrets| secrets.master.as_ref()) {
            let iv_len = Protection::iv_len(suite);
            let keys = keys::of_master(suite, iv_len, master, &server_random, &random);
            for (direction, keys) in [client, server].into_iter().zip(keys) {
                self.side(direction).pending = Protection::new(suite, keys);
            }
            known = true;
        }
        if !known {
            shared.counts.without_secrets += 1;
            self.inbound.give_up();
            self.outbound.give_up();
            return;
        }
        shared.counts.opened += 1;
        out(Opened::Tls {
            tls: Arc::new(Tls {
                library: "key log".to_owned(),
                version: Some(suite.version.as_str().to_owned()),
            }),
            hello: Arc::new(TlsHello {
                version: Some(suite.version),
                cipher: Some(number),
                ..TlsHello::default()
            }),
        });
    }

    /// Bytes are missing.
    fn gap(
        &mut self,
        direction: Direction,
        time_ns: u64,
        len: u64,
        shared: &mut DecryptShared,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let side = self.side(direction);
        if side.lost {
            return;
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if let Some(left) = side.pass.checked_sub(len)
            && side.pass > 0
        {
            side.pass = left;
            return;
        }
        let record = side.buffer.first_chunk::<5>();
        let record = record.and_then(|head| header(*head)).map(|(_, len)| len);
        let left = record.and_then(|record| (5 + record).checked_sub(side.buffer.len() + len));
        let (Some(record), Some(left), Some(current)) = (record, left, side.candidates.first_mut())
        else {
            shared.counts.directions_lost += 1;
            let begun = !side.candidates.is_empty();
            side.give_up();
            if begun {
                self.missing(direction, time_ns, len, out);
            }
            return;
        };
        current.protection.skip();
        side.buffer.clear();
        side.pass = left;
        self.missing(direction, time_ns, record, out);
    }

    /// A record with a payload of so many bytes was not opened.
    fn missing(
        &mut self,
        direction: Direction,
        time_ns: u64,
        payload: usize,
        out: &mut impl FnMut(Opened<'_>),
    ) {
        let side = self.side(direction);
        let current = side.candidates.first();
        let len = current.map_or(payload as u64, |current| {
            current.protection.plain_len(payload)
        });
        let at = side.at;
        side.at = at.saturating_add(len);
        if len > 0 {
            out(Opened::Chunk(Chunk {
                direction,
                time_ns,
                at,
                piece: Piece::Gap(len),
                skips: None,
            }));
        }
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}
