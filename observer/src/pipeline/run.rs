//! The pipeline itself.

use std::sync::Arc;

use super::observed::{Observed, Shared};
use super::{Counts, Output, PipelineSettings};
use crate::call::{Calls, Fingerprints, TrustedProxies};
use crate::decrypt::{DecryptCounts, DecryptShared, KeyLog};
use crate::protocol::ProtocolShared;
use crate::record::{Recorder, Secrets};
use crate::stream::{Bytes, Conn, ConnId, Input, Segment, StreamShared, Table};

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

impl Pipeline {
    /// A pipeline that knows no connection.
    pub fn new(settings: PipelineSettings) -> Self {
        let mut protocol = ProtocolShared::default();
        protocol.body_peek = settings.body_peek;
        Self {
            connections: Table::new(settings.max_connections),
            shared: Shared {
                stream: StreamShared::default(),
                decrypt: None,
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

    /// Opens TLS connections that begin from now on and whose secrets are among these. For sources
    /// that bring what was on the wire, and cannot leave out bytes.
    pub fn set_key_log(&mut self, keys: Arc<KeyLog>) {
        self.shared.decrypt = Some(Box::new(DecryptShared::new(keys)));
    }

    /// What opening TLS connections met, if secrets were given.
    pub fn decrypt_counts(&self) -> Option<DecryptCounts> {
        self.shared.decrypt.as_ref().map(|decrypt| decrypt.counts)
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
                self.know(conn, time_ns, out);
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
    /// segments held back, TLS records and heads that are not whole, HTTP/2 connections, calls under way.
    pub fn buffered_bytes(&self) -> usize {
        let Shared {
            stream,
            decrypt,
            protocol,
            calls,
            recorder,
        } = &self.shared;
        let recorded = recorder.as_ref().map_or(0, |recorder| recorder.memory());
        let records = decrypt.as_ref().map_or(0, |decrypt| decrypt.bytes);
        let heads = protocol.head_bytes + protocol.h2_bytes;
        stream.held_bytes + records + heads + calls.open_bytes() + recorded
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
        self.know(id, self.now_ns, out);
        if let Some(observed) = self.connections.peek(id) {
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
        self.know(id, time_ns, out);
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
        self.know(id, time_ns, out);
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

    /// Makes the state of a connection if it is new.
    fn know(&mut self, id: ConnId, now_ns: u64, out: &mut impl FnMut(Output)) {
        if self.connections.get(id, now_ns).is_none() {
            self.shared.stream.counts.connections += 1;
            if let Some((_, evicted)) = self.connections.insert(id, now_ns, Observed::new(id)) {
                self.shared.stream.counts.evicted += 1;
                evicted.close(now_ns, &mut self.shared, out);
            }
        }
    }
}
