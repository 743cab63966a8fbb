//! One connection on its way through the pipeline.
//!
//! In: what the stream stage is to do. Out: what becomes of the chunks it passes on, through
//! `protocol` and `call`. It never outlives its place in the table of connections.

use super::Output;
use crate::call::{Calls, OpenCalls};
use crate::decrypt::{DecryptShared, Decrypter, Opened};
use crate::protocol::{Http, Message, ProtocolShared};
use crate::record::Recorder;
use crate::stream::{Chunk, Conn, ConnId, Direction, StreamPair, StreamShared};

/// All state of one connection.
#[derive(Debug)]
pub(super) struct Observed {
    pub conn: Conn,
    pub stream: StreamPair,
    /// It may be TLS whose secrets are known.
    pub decrypter: Option<Box<Decrypter>>,
    pub http: Option<Http>,
    pub open: OpenCalls,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub stream: StreamShared,
    /// Secrets were given.
    pub decrypt: Option<Box<DecryptShared>>,
    pub protocol: ProtocolShared,
    pub calls: Calls,
    pub recorder: Option<Box<Recorder>>,
}

impl Observed {
    pub(super) fn new(id: ConnId) -> Self {
        Self {
            conn: Conn::new(id),
            stream: StreamPair::default(),
            decrypter: None,
            http: None,
            open: OpenCalls::default(),
        }
    }

    /// The first bytes come.
    pub(super) fn begin(&mut self, midway: bool, sequenced: bool, shared: &mut Shared) {
        if self.http.is_none() {
            self.http = Some(Http::new(midway));
            self.decrypter = shared.decrypt.as_ref().map(|_| Box::default());
            self.conn.joined = midway;
            self.conn.sequenced = sequenced;
            shared.stream.counts.joined += u64::from(midway);
        }
    }

    /// Lets the stream pass chunks on, through `protocol` and `call`, to the output.
    pub(super) fn run<F: FnMut(Output)>(
        &mut self,
        shared: &mut Shared,
        out: &mut F,
        pass: impl FnOnce(&mut StreamPair, &mut StreamShared, &mut dyn FnMut(Chunk<'_>) -> Option<u64>),
    ) {
        let Self {
            conn,
            stream,
            decrypter,
            http,
            open,
        } = self;
        let Some(http) = http else { return };
        let Shared {
            stream: stream_shared,
            decrypt,
            protocol,
            calls,
            recorder,
        } = shared;
        let mut read = |conn: &Conn, chunk: Chunk<'_>| {
            if let Some(recorder) = recorder {
                recorder.chunk(conn, &chunk);
            }
            let mut tell = |message: Message<'_>| {
                if let Some(recorder) = recorder {
                    recorder.message(conn, chunk.time_ns, &message);
                }
                match message {
                    Message::Skip { direction, until } => out(Output::Skip {
                        conn: conn.id,
                        direction,
                        until: conn.position(until),
                    }),
                    Message::Verdict(verdict) => out(Output::Verdict {
                        conn: conn.id,
                        verdict,
                    }),
                    message => {
                        calls.push(conn, open, &message, &mut |call| out(Output::Call(call)));
                    }
                }
            };
            let asked = http.push(&chunk, protocol, &mut tell);
            if let Some(recorder) = recorder {
                recorder.settle(conn, http.requests(), calls.clock_offset_ns);
            }
            asked
        };
        let (Some(decrypter), Some(decrypt)) = (decrypter, decrypt) else {
            pass(stream, stream_shared, &mut |chunk| read(conn, chunk));
            return;
        };
        pass(stream, stream_shared, &mut |chunk| {
            decrypter.push(&chunk, decrypt, &mut |opened| match opened {
                Opened::Tls { tls, hello } => {
                    conn.tls = Some(tls);
                    conn.hello = Some(hello);
                }
                Opened::Chunk(chunk) => {
                    // Of what was encrypted nothing can be left out.
                    let _ = read(conn, chunk);
                }
            });
            None
        });
    }

    /// Passes on what has waited too long. If responses have, requests go first, whatever they
    /// wait for: they are older, and have to be there when their responses come.
    pub(super) fn release_overdue(
        &mut self,
        now_ns: u64,
        shared: &mut Shared,
        out: &mut impl FnMut(Output),
    ) {
        let requests = self
            .http
            .as_ref()
            .and_then(Http::requests)
            .unwrap_or(Direction::Inbound);
        let responses = opposite(requests);
        let waited_ns = now_ns.saturating_sub(shared.stream.patience_ns);
        if self.stream.overdue(responses, waited_ns) && self.stream.holds(requests) {
            self.run(shared, out, |stream, shared, mut sink| {
                stream.release(requests, now_ns, shared, &mut sink);
            });
        }
        for direction in [requests, responses] {
            if self.stream.overdue(direction, waited_ns) {
                self.run(shared, out, |stream, shared, mut sink| {
                    stream.release_overdue(direction, now_ns, shared, &mut sink);
                });
            }
        }
    }

    /// A response comes in this direction. If no request is known that it may answer, then its
    /// request is among what the other direction waits for or holds back, and was received.
    pub(super) fn release_answered(
        &mut self,
        direction: Direction,
        now_ns: u64,
        seq: u32,
        shared: &mut Shared,
        out: &mut impl FnMut(Output),
    ) {
        let other = opposite(direction);
        let next = self.stream.expects(direction, seq);
        let needed = self
            .http
            .as_ref()
            .is_some_and(|http| http.needs_other(direction));
        if next && needed && self.stream.holds(other) {
            self.run(shared, out, |stream, shared, mut sink| {
                stream.release(other, now_ns, shared, &mut sink);
            });
        }
    }

    pub(super) fn close(mut self, now_ns: u64, shared: &mut Shared, out: &mut impl FnMut(Output)) {
        let requests = self
            .http
            .as_ref()
            .and_then(Http::requests)
            .unwrap_or(Direction::Inbound);
        for direction in [requests, opposite(requests)] {
            self.run(shared, out, |stream, shared, mut sink| {
                stream.end(direction, now_ns, shared, &mut sink);
            });
        }
        let Self {
            conn,
            stream: _,
            decrypter,
            http,
            mut open,
        } = self;
        let Shared {
            stream: _,
            decrypt,
            protocol,
            calls,
            recorder,
        } = shared;
        if let (Some(mut decrypter), Some(decrypt)) = (decrypter, decrypt) {
            decrypter.close(decrypt);
        }
        if let Some(mut http) = http {
            http.close(protocol, &mut |message| {
                if let Some(recorder) = recorder {
                    recorder.message(&conn, now_ns, &message);
                }
                calls.push(&conn, &mut open, &message, &mut |call| {
                    out(Output::Call(call));
                });
            });
        }
        if let Some(recorder) = recorder {
            recorder.close(&conn, calls.clock_offset_ns);
        }
        calls.close(&conn, &mut open, now_ns, &mut |call| {
            out(Output::Call(call));
        });
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}

#[cfg(test)]
mod size {
    #[test]
    fn the_state_of_a_connection_is_small() {
        // A full table of them has to fit the memory that the agent may take.
        let size = size_of::<super::Observed>();
        assert!(size <= 1024, "{size} bytes");
    }
}
