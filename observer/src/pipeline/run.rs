//! The pipeline itself.

use std::sync::Arc;

use super::{Counts, Output, PipelineSettings};
use crate::call::{Calls, Fingerprints, OpenCalls, TrustedProxies};
use crate::protocol::{Http, Message, ProtocolShared};
use crate::record::{Recorder, Secrets};
use crate::stream::{
    Bytes, Chunk, Conn, ConnId, Direction, Input, Segment, StreamPair, StreamShared, Table,
};

/// From captured bytes to calls.
#[derive(Debug)]
pub struct Pipeline {
    connections: Table<Observed>,
    shared: Shared,
    settings: PipelineSettings,
    /// Some connection may hold back bytes.
    holding: bool,
    /// The latest time told.
    now_ns: u64,
}

/// All state of one connection.
#[derive(Debug)]
struct Observed {
    conn: Conn,
    stream: StreamPair,
    http: Option<Http>,
    open: OpenCalls,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    stream: StreamShared,
    protocol: ProtocolShared,
    calls: Calls,
    recorder: Option<Box<Recorder>>,
}

impl Pipeline {
    /// A pipeline that knows no connection.
    pub fn new(settings: PipelineSettings) -> Self {
        let mut protocol = ProtocolShared::default();
        protocol.body_peek = settings.body_peek;
        Self {
            connections: Table::new(settings.max_connections),
            shared: Shared {
                stream: StreamShared::default(),
                protocol,
                calls: Calls::new(settings.clock_offset_ns, settings.both_sides),
                recorder: None,
            },
            settings,
            holding: false,
            now_ns: 0,
        }
    }

    /// Corrects the distance of the clocks: Unix time minus monotonic time, nanoseconds.
    pub fn set_clock_offset(&mut self, clock_offset_ns: i64) {
        self.settings.clock_offset_ns = clock_offset_ns;
        self.shared.calls.clock_offset_ns = clock_offset_ns;
    }

    /// Makes the fingerprints of credentials with these keys from now on. Without it nobody can
    /// compare those of two runs.
    pub fn set_fingerprints(&mut self, fingerprints: Fingerprints) {
        self.shared.calls.set_fingerprints(fingerprints);
    }

    /// Tells the values of these keys of queries, unless they look like secrets.
    pub fn show_query_values(&mut self, keys: Arc<[Box<str>]>) {
        self.shared.calls.show_query_values(keys);
    }

    /// Believes these proxies when they name clients and users.
    pub fn trust(&mut self, proxies: Arc<TrustedProxies>) {
        self.shared.calls.trust(proxies);
    }

    /// Says whether the source can leave out bytes that are not needed, and returns what was said
    /// before. If it cannot, [`Output::Skip`] does not come, and what is missing is a loss.
    pub fn skip_bodies(&mut self, can: bool) -> bool {
        std::mem::replace(&mut self.shared.protocol.skip_bodies, can)
    }

    /// Says how much longer than live missing bytes are waited for, nanoseconds, and returns what
    /// was said before.
    pub fn set_patience(&mut self, patience_ns: u64) -> u64 {
        std::mem::replace(&mut self.shared.stream.patience_ns, patience_ns)
    }

    /// Records what comes from now on; [`Self::take_recorded`] has to be called now and then.
    pub fn record(&mut self, secrets: Secrets) {
        self.shared.protocol.tell_passed = secrets == Secrets::Redacted;
        self.shared.recorder = Some(Box::new(Recorder::new(secrets)));
    }

    /// Lines of the transcript that are complete.
    pub fn take_recorded(&mut self) -> Vec<u8> {
        let recorder = self.shared.recorder.as_mut();
        recorder
            .map(|recorder| recorder.take_lines())
            .unwrap_or_default()
    }

    /// Connections that were not recorded because too many were open.
    pub fn not_recorded(&self) -> u64 {
        let recorder = self.shared.recorder.as_ref();
        recorder.map_or(0, |recorder| recorder.over_limit())
    }

    /// Records nothing of this connection that is not written yet.
    pub fn forget_recorded(&mut self, conn: ConnId) {
        if let Some(recorder) = &mut self.shared.recorder {
            recorder.forget(conn);
        }
    }

    /// Gives a connection the name that its source has for it.
    pub fn set_label(&mut self, conn: ConnId, label: Arc<str>, out: &mut impl FnMut(Output)) {
        self.learn(conn, out, |conn| conn.label = Some(label));
    }

    /// Takes the next input.
    pub fn push(&mut self, input: Input<'_>, out: &mut impl FnMut(Output)) {
        match input {
            Input::Segment(segment) => self.segment(&segment, out),
            Input::Bytes(bytes) => self.bytes(&bytes, out),
            Input::Peer { conn, flow } => {
                self.learn(conn, out, |conn| conn.flow = Some(flow));
                self.placed(conn, out);
            }
            Input::Tls { conn, tls } => self.learn(conn, out, |conn| conn.tls = Some(tls)),
            Input::Hello { conn, hello } => self.learn(conn, out, |conn| conn.hello = Some(hello)),
            Input::Owner { conn, process } => {
                self.learn(conn, out, |conn| conn.process = Some(process));
                self.placed(conn, out);
            }
            Input::OwnerFollows { conn } => {
                self.learn(conn, out, |conn| conn.awaits_process = true);
            }
            Input::LeftOut {
                conn,
                time_ns,
                direction,
                offset,
                len,
            } => {
                self.observed(conn, time_ns, out);
                if let Some(observed) = self.connections.peek(conn) {
                    observed.begin(offset > 0, false, &mut self.shared);
                    observed.run(&mut self.shared, out, |stream, shared, mut sink| {
                        stream.left_out(direction, time_ns, offset, len, shared, &mut sink);
                    });
                }
            }
            Input::End {
                conn,
                time_ns,
                direction,
            } => {
                if let Some(observed) = self.connections.get(conn, time_ns) {
                    observed.run(&mut self.shared, out, |stream, shared, mut sink| {
                        stream.end(direction, time_ns, shared, &mut sink);
                    });
                }
            }
            Input::Closed { conn, time_ns } => {
                if let Some(observed) = self.connections.remove(conn) {
                    observed.close(time_ns, &mut self.shared, out);
                }
            }
        }
    }

    /// Passes time: gives up on what was waited for too long, drops idle connections. Wanted a
    /// few times a second; costs next to nothing while nothing is held back.
    pub fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Output)) {
        if self.holding {
            self.holding = false;
            for observed in self.connections.iter_mut() {
                observed.release_overdue(now_ns, &mut self.shared, out);
                self.holding |= observed.stream.holds_any();
            }
        }
        if self.shared.calls.unplaced() > 0 {
            for Observed { conn, open, .. } in self.connections.iter_mut() {
                let calls = &mut self.shared.calls;
                calls.release_unplaced(conn, open, now_ns, &mut |call| out(Output::Call(call)));
            }
        }
        while let Some((id, used_ns)) = self.connections.oldest()
            && now_ns.saturating_sub(used_ns) > self.settings.idle_ns
            && let Some(observed) = self.connections.remove(id)
        {
            self.shared.stream.counts.idle += 1;
            observed.close(now_ns, &mut self.shared, out);
        }
    }

    /// Ends every connection and tells what is left, oldest first.
    pub fn finish(&mut self, now_ns: u64, out: &mut impl FnMut(Output)) {
        while let Some((id, _)) = self.connections.oldest()
            && let Some(observed) = self.connections.remove(id)
        {
            observed.close(now_ns, &mut self.shared, out);
        }
    }

    /// Counters since the start.
    pub fn counts(&self) -> Counts {
        Counts {
            stream: self.shared.stream.counts,
            protocol: self.shared.protocol.counts,
            call: self.shared.calls.counts,
        }
    }

    /// Connections known now.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Memory that captured traffic takes now, besides the fixed state of connections, bytes:
    /// segments held back, incomplete heads, HTTP/2 connections, calls under way.
    pub fn buffered_bytes(&self) -> usize {
        let Shared {
            stream,
            protocol,
            calls,
            recorder,
        } = &self.shared;
        let recorded = recorder.as_ref().map_or(0, |recorder| recorder.memory());
        stream.held_bytes + protocol.head_bytes + protocol.h2_bytes + calls.open_bytes() + recorded
    }

    /// Tells the calls that waited for what became known of a connection.
    fn placed(&mut self, id: ConnId, out: &mut impl FnMut(Output)) {
        if self.shared.calls.unplaced() > 0
            && let Some(Observed { conn, open, .. }) = self.connections.peek(id)
        {
            let calls = &mut self.shared.calls;
            calls.placed(conn, open, &mut |call| out(Output::Call(call)));
        }
    }

    fn learn(&mut self, id: ConnId, out: &mut impl FnMut(Output), tell: impl FnOnce(&mut Conn)) {
        if let Some(observed) = self.observed(id, self.now_ns, out) {
            tell(&mut observed.conn);
        }
    }

    fn segment(&mut self, segment: &Segment<'_>, out: &mut impl FnMut(Output)) {
        let Segment {
            conn: id,
            time_ns,
            direction,
            seq,
            syn,
            fin,
            len,
            flow,
            from_start,
            ..
        } = *segment;
        self.now_ns = self.now_ns.max(time_ns);
        let carries = len > 0 || syn || fin;
        if !carries && self.connections.peek(id).is_none() {
            // An acknowledgement or a reset of what is gone is no reason to remember it.
            self.shared.stream.counts.resets += u64::from(segment.rst);
            return;
        }
        self.observed(id, time_ns, out);
        // Found again, so that only the table is borrowed.
        let Some(observed) = self.connections.peek(id) else {
            return;
        };
        let shared = &mut self.shared;
        observed.begin(!from_start, true, shared);
        observed.conn.flow.get_or_insert(flow);
        if observed.stream.holds_any() {
            observed.release_overdue(time_ns, shared, out);
            if len > 0 {
                observed.release_answered(direction, time_ns, seq, shared, out);
            }
        }
        observed.run(shared, out, |stream, shared, mut sink| {
            stream.segment(segment, shared, &mut sink);
        });
        self.holding |= observed.stream.holds_any();
    }

    fn bytes(&mut self, bytes: &Bytes<'_>, out: &mut impl FnMut(Output)) {
        let Bytes {
            conn: id,
            time_ns,
            offset,
            ..
        } = *bytes;
        self.now_ns = self.now_ns.max(time_ns);
        self.observed(id, time_ns, out);
        let Some(observed) = self.connections.peek(id) else {
            return;
        };
        let shared = &mut self.shared;
        observed.begin(offset > 0, false, shared);
        let joined = observed.conn.joined;
        observed.run(shared, out, |stream, shared, mut sink| {
            stream.bytes(bytes, joined, shared, &mut sink);
        });
        if observed.open.take_duplicate() {
            out(Output::Duplicate { conn: id });
        }
    }

    /// The state of a connection, made if it is new.
    fn observed(
        &mut self,
        id: ConnId,
        now_ns: u64,
        out: &mut impl FnMut(Output),
    ) -> Option<&mut Observed> {
        if self.connections.get(id, now_ns).is_none() {
            self.shared.stream.counts.connections += 1;
            if let Some((_, evicted)) = self.connections.insert(id, now_ns, Observed::new(id)) {
                self.shared.stream.counts.evicted += 1;
                evicted.close(now_ns, &mut self.shared, out);
            }
        }
        self.connections.peek(id)
    }
}

impl Observed {
    fn new(id: ConnId) -> Self {
        Self {
            conn: Conn::new(id),
            stream: StreamPair::default(),
            http: None,
            open: OpenCalls::default(),
        }
    }

    /// The first bytes come.
    fn begin(&mut self, midway: bool, sequenced: bool, shared: &mut Shared) {
        if self.http.is_none() {
            self.http = Some(Http::new(midway));
            self.conn.joined = midway;
            self.conn.sequenced = sequenced;
            shared.stream.counts.joined += u64::from(midway);
        }
    }

    /// Lets the stream pass chunks on, through `protocol` and `call`, to the output.
    fn run<F: FnMut(Output)>(
        &mut self,
        shared: &mut Shared,
        out: &mut F,
        pass: impl FnOnce(&mut StreamPair, &mut StreamShared, &mut dyn FnMut(Chunk<'_>) -> Option<u64>),
    ) {
        let Self {
            conn,
            stream,
            http,
            open,
        } = self;
        let Some(http) = http else { return };
        let Shared {
            stream: stream_shared,
            protocol,
            calls,
            recorder,
        } = shared;
        pass(stream, stream_shared, &mut |chunk| {
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
        });
    }

    /// Passes on what has waited too long. If responses have, requests go first, whatever they
    /// wait for: they are older, and have to be there when their responses come.
    fn release_overdue(&mut self, now_ns: u64, shared: &mut Shared, out: &mut impl FnMut(Output)) {
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
    fn release_answered(
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

    fn close(mut self, now_ns: u64, shared: &mut Shared, out: &mut impl FnMut(Output)) {
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
            http,
            mut open,
            ..
        } = self;
        let Shared {
            protocol,
            calls,
            recorder,
            stream: _,
        } = shared;
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
