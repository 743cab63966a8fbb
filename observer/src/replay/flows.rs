//! Feeds the TCP segments of a capture file to a pipeline, connection by connection.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::network::TcpSegment;
use crate::pipeline::{Output, Pipeline};
use crate::stream::{ConnId, Direction, Flow, Input, Segment};

/// Connections of one file that are told apart at once; the pipeline knows as many.
const MOST: usize = 65_536;

/// How often time is passed to the pipeline.
const TICK_NS: u64 = 100_000_000;

/// Ports below this are those of services, as a rule.
const FIRST_CLIENT_PORT: u16 = 1024;

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Known {
    conn: ConnId,
    /// The end that serves.
    server: SocketAddr,
    /// Sequence number of the SYN that opened it, if it was seen.
    opened: Option<u32>,
    /// It has ended: a SYN opens another one.
    ended: bool,
    /// Something other than an end came from its client, and from its server.
    spoken: [bool; 2],
}

/// The two ends, the smaller one first.
type Ends = (SocketAddr, SocketAddr);

/// The connections of one file.
#[derive(Debug, Default)]
pub(super) struct Flows {
    known: HashMap<Ends, Known>,
    order: VecDeque<(Ends, ConnId)>,
    next: u64,
    ticked_ns: u64,
    /// The latest time.
    now_ns: u64,
}

impl Flows {
    /// Connections seen.
    pub(super) fn count(&self) -> u64 {
        self.next
    }

    /// Takes the next segment.
    pub(super) fn push(
        &mut self,
        tcp: &TcpSegment<'_>,
        time_ns: u64,
        pipeline: &mut Pipeline,
        out: &mut impl FnMut(Output),
    ) {
        let &TcpSegment {
            from,
            to,
            seq,
            syn,
            ack,
            fin,
            rst,
            len,
            bytes,
        } = tcp;
        // Packets of several interfaces may be a little out of order.
        self.now_ns = self.now_ns.max(time_ns);
        let ends = (from.min(to), from.max(to));
        if let Some(known) = self.known.get(&ends) {
            let opens = syn && !ack;
            let another = known.opened.is_none_or(|opened| opened != seq);
            if opens && another && (known.ended || known.opened.is_some() || from != known.server) {
                self.close(ends, pipeline, out);
            }
        }
        let known = match self.known.get_mut(&ends) {
            Some(known) => known,
            None if len == 0 && !syn => return,
            None => {
                let server = match (syn, ack) {
                    (true, false) => to,
                    (true, true) => from,
                    _ => serving(from, to),
                };
                self.open(ends, server, syn.then_some(seq), pipeline, out)
            }
        };
        let [client_spoke, server_spoke] = &mut known.spoken;
        let spoke = if from == known.server {
            server_spoke
        } else {
            client_spoke
        };
        *spoke |= syn || len > 0;
        if known.opened.is_some() && !*spoke && (fin || rst) {
            // The end of what has not begun: no socket takes it for one.
            return;
        }
        known.ended |= fin || rst;
        let &mut Known {
            conn,
            server,
            opened,
            ..
        } = known;
        let client = if ends.0 == server { ends.1 } else { ends.0 };
        let segment = Segment {
            conn,
            time_ns: self.now_ns,
            direction: if to == server {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            seq,
            syn,
            fin,
            rst,
            len,
            bytes,
            flow: Flow {
                local: server,
                remote: client,
                link: None,
            },
            from_start: opened.is_some(),
            skips: None,
        };
        pipeline.push(Input::Segment(segment), out);
        if self.now_ns.saturating_sub(self.ticked_ns) >= TICK_NS {
            self.ticked_ns = self.now_ns;
            pipeline.tick(self.now_ns, out);
        }
    }

    fn open(
        &mut self,
        ends: Ends,
        server: SocketAddr,
        opened: Option<u32>,
        pipeline: &mut Pipeline,
        out: &mut impl FnMut(Output),
    ) -> &mut Known {
        while self.known.len() >= MOST
            && let Some((oldest, conn)) = self.order.pop_front()
        {
            if self
                .known
                .get(&oldest)
                .is_some_and(|known| known.conn == conn)
            {
                self.close(oldest, pipeline, out);
            }
        }
        self.next += 1;
        let conn = ConnId(self.next);
        self.order.push_back((ends, conn));
        self.known.entry(ends).or_insert(Known {
            conn,
            server,
            opened,
            ended: false,
            spoken: [false; 2],
        })
    }

    fn close(&mut self, ends: Ends, pipeline: &mut Pipeline, out: &mut impl FnMut(Output)) {
        if let Some(known) = self.known.remove(&ends) {
            let (conn, time_ns) = (known.conn, self.now_ns);
            pipeline.push(Input::Closed { conn, time_ns }, out);
        }
    }

    /// Ends all connections, oldest first.
    pub(super) fn finish(&mut self, pipeline: &mut Pipeline, out: &mut impl FnMut(Output)) {
        while let Some((ends, conn)) = self.order.pop_front() {
            if self
                .known
                .get(&ends)
                .is_some_and(|known| known.conn == conn)
            {
                self.close(ends, pipeline, out);
            }
        }
    }
}

/// Which end serves, of a connection whose opening was not seen.
fn serving(from: SocketAddr, to: SocketAddr) -> SocketAddr {
    match (
        from.port() < FIRST_CLIENT_PORT,
        to.port() < FIRST_CLIENT_PORT,
    ) {
        (true, false) => from,
        (false, true) => to,
        _ if from.port() < to.port() => from,
        _ => to,
    }
}
