//! TLS objects and the sockets their records go over: which belongs to which.
//!
//! In: packets of TLS connections, plaintext that library functions moved, socket calls. Out: the
//! addresses and hellos of plaintext, and, at the end of a connection, how much of it was read.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::discover::Process;
use crate::stream::{ConnId, Direction, Flow, Input, TlsHello};

use super::bounded::Bounded;
use super::hello::Hellos;
use super::matching::ThreadMatch;

/// TLS connections whose addresses are kept: about 100 bytes each, and more than a host of
/// 10,000 connections needs.
const MOST_SOCKETS: usize = 65_536;
/// TLS objects in use; the kernel half keeps as many.
const MOST_STREAMS: usize = 65_536;
/// TLS connections in the middle of their handshake: at most 16 KiB each, for milliseconds.
const MOST_HANDSHAKES: usize = 1_024;
/// Threads of programs whose TLS objects have memory buffers and are not bound yet.
const MOST_THREADS: usize = 4_096;
/// How long plaintext may follow the end of its socket: a library hands over what it has
/// received before the program reads on.
const LINGER_NS: u64 = 1_000_000_000;

/// A TLS connection's socket.
#[derive(Debug)]
struct Socket {
    flow: Flow,
    /// What its hellos said.
    hello: Option<Arc<TlsHello>>,
    /// TLS streams bound to it: one, or a few if an object was replaced.
    streams: Vec<u64>,
    /// The process whose library read it.
    process: Option<Arc<Process>>,
    /// Plaintext of streams that ended, bytes.
    plaintext: u64,
}

/// A TLS object.
#[derive(Debug)]
struct Stream {
    /// Its socket, once known.
    cookie: Option<u64>,
    /// Its addresses were sent.
    placed: bool,
    /// The process whose library this is.
    process: Arc<Process>,
    /// Plaintext moved so far, bytes in and out.
    moved: [u64; 2],
}

/// A library function moved plaintext.
pub(super) struct Plaintext {
    pub(super) stream: u64,
    /// Its socket, where the kernel half saw a socket call inside the library call.
    pub(super) cookie: Option<u64>,
    pub(super) tid: u32,
    pub(super) time_ns: u64,
    pub(super) direction: Direction,
    /// Bytes of this direction before these.
    pub(super) offset: u64,
    pub(super) moved: u32,
}

/// A packet of a TLS connection.
pub(super) struct Packet<'a> {
    pub(super) cookie: u64,
    pub(super) time_ns: u64,
    pub(super) direction: Direction,
    pub(super) seq: u32,
    pub(super) moved: u32,
    pub(super) flow: Flow,
    /// Of a handshake; else empty.
    pub(super) payload: &'a [u8],
}

/// A thread called a socket function for a TLS connection, outside library calls.
pub(super) struct SocketCall {
    pub(super) cookie: u64,
    pub(super) tid: u32,
    pub(super) time_ns: u64,
    pub(super) direction: Direction,
    pub(super) moved: u32,
}

/// What was read of a TLS connection that ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TlsEnd {
    /// The process whose library was read; `None`: no plaintext of it was seen.
    pub(super) process: Option<Arc<Process>>,
    /// Plaintext, both ways, bytes.
    pub(super) plaintext: u64,
}

/// How TLS objects were bound.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TlsCounts {
    /// TLS objects seen.
    pub(super) streams: u64,
    /// Bound by a socket call inside the library call.
    pub(super) bound_nested: u64,
    /// Bound by a socket call next to the library call.
    pub(super) bound_matched: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct TlsBinding {
    sockets: Bounded<u64, Socket>,
    streams: Bounded<u64, Stream>,
    /// Hellos that are not whole yet, by cookie.
    handshakes: Bounded<u64, Hellos>,
    threads: Bounded<u32, ThreadMatch>,
    /// Streams whose socket closed, with the time to end them.
    closing: VecDeque<(u64, u64)>,
    counts: TlsCounts,
}

impl Default for TlsBinding {
    fn default() -> Self {
        Self {
            sockets: Bounded::new(MOST_SOCKETS),
            streams: Bounded::new(MOST_STREAMS),
            handshakes: Bounded::new(MOST_HANDSHAKES),
            threads: Bounded::new(MOST_THREADS),
            closing: VecDeque::new(),
            counts: TlsCounts::default(),
        }
    }
}

impl TlsBinding {
    /// How objects were bound so far.
    pub(super) const fn counts(&self) -> TlsCounts {
        self.counts
    }

    /// Entries that had to go because a table was full.
    pub(super) fn forgotten(&self) -> u64 {
        self.sockets.forgotten() + self.streams.forgotten() + self.threads.forgotten()
    }

    /// TLS connections and TLS objects kept now.
    pub(super) fn entries(&self) -> (usize, usize) {
        (self.sockets.len(), self.streams.len())
    }

    /// Takes a packet.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, out: &mut impl FnMut(Input<'_>)) {
        let Packet {
            cookie,
            time_ns,
            flow,
            payload,
            ..
        } = *packet;
        if self.sockets.get(&cookie).is_none() {
            let socket = Socket {
                flow,
                hello: None,
                streams: Vec::new(),
                process: None,
                plaintext: 0,
            };
            self.sockets.insert(cookie, socket);
            // If its bytes looked like anything else before, that is over.
            out(Input::Closed {
                conn: ConnId(cookie),
                time_ns,
            });
        }
        if !payload.is_empty() {
            self.hello(packet, out);
        }
    }

    /// Takes a sign of a TLS object; gives its process if the object was not known before.
    pub(super) fn open(
        &mut self,
        stream: u64,
        time_ns: u64,
        process: impl FnOnce() -> Arc<Process>,
        out: &mut impl FnMut(Input<'_>),
    ) -> Option<Arc<Process>> {
        if self.streams.get(&stream).is_some() {
            return None;
        }
        self.counts.streams += 1;
        let process = process();
        let new = Stream {
            cookie: None,
            placed: false,
            process: Arc::clone(&process),
            moved: [0; 2],
        };
        if let Some((oldest, _)) = self.streams.insert(stream, new) {
            out(Input::Closed {
                conn: ConnId(oldest),
                time_ns,
            });
        }
        Some(process)
    }

    /// Takes plaintext of an object that is open.
    pub(super) fn plaintext(&mut self, plaintext: &Plaintext, out: &mut impl FnMut(Input<'_>)) {
        let Plaintext {
            stream,
            cookie,
            direction,
            offset,
            moved,
            ..
        } = *plaintext;
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        let [inbound, outbound] = &mut state.moved;
        let total = match direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        // Offsets count what was skipped as well.
        *total = (*total).max(offset.saturating_add(u64::from(moved)));
        match cookie {
            Some(cookie) => self.bind_nested(stream, cookie, out),
            None => self.bind_matched(plaintext, out),
        }
    }

    /// Takes a socket call.
    pub(super) fn socket_call(&mut self, call: &SocketCall, out: &mut impl FnMut(Input<'_>)) {
        let SocketCall {
            cookie,
            tid,
            time_ns,
            direction,
            moved,
        } = *call;
        let Some(socket) = self.sockets.get(&cookie) else {
            return;
        };
        if !socket.streams.is_empty() {
            if let Some(thread) = self.threads.get_mut(&tid) {
                thread.other_socket(direction);
            }
            return;
        }
        let found = self
            .thread(tid)
            .and_then(|thread| thread.socket(cookie, direction, u64::from(moved), time_ns));
        if let Some(stream) = found {
            self.matched(stream, cookie, out);
        }
    }

    /// A socket closed. `None`: it was not known to carry TLS.
    pub(super) fn closed(&mut self, cookie: u64, time_ns: u64) -> Option<TlsEnd> {
        self.handshakes.remove(&cookie);
        let socket = self.sockets.remove(&cookie)?;
        let mut plaintext = socket.plaintext;
        for stream in socket.streams {
            if let Some(state) = self.streams.get(&stream) {
                plaintext += state.moved.iter().sum::<u64>();
            }
            self.closing.push_back((time_ns + LINGER_NS, stream));
        }
        Some(TlsEnd {
            process: socket.process,
            plaintext,
        })
    }

    /// The library freed an object, or it has waited long enough after its socket.
    pub(super) fn ended(&mut self, stream: u64, time_ns: u64, out: &mut impl FnMut(Input<'_>)) {
        let Some(state) = self.streams.remove(&stream) else {
            return;
        };
        if let Some(socket) = state
            .cookie
            .and_then(|cookie| self.sockets.get_mut(&cookie))
        {
            socket.streams.retain(|&other| other != stream);
            socket.plaintext += state.moved.iter().sum::<u64>();
        }
        out(Input::Closed {
            conn: ConnId(stream),
            time_ns,
        });
    }

    /// Lets time pass: ends streams whose socket closed a while ago.
    pub(super) fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Input<'_>)) {
        while let Some(&(due_ns, stream)) = self.closing.front()
            && due_ns <= now_ns
        {
            self.closing.pop_front();
            self.ended(stream, now_ns, out);
        }
    }

    /// The kernel half saw a socket call of this TLS connection inside the library call.
    fn bind_nested(&mut self, stream: u64, cookie: u64, out: &mut impl FnMut(Input<'_>)) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if state.cookie == Some(cookie) && state.placed {
            return;
        }
        if state.cookie != Some(cookie) {
            state.cookie = Some(cookie);
            state.placed = false;
            self.counts.bound_nested += 1;
        }
        self.place(stream, cookie, out);
    }

    fn bind_matched(&mut self, plaintext: &Plaintext, out: &mut impl FnMut(Input<'_>)) {
        let Plaintext {
            stream,
            tid,
            time_ns,
            direction,
            moved,
            ..
        } = *plaintext;
        if self
            .streams
            .get(&stream)
            .is_none_or(|state| state.cookie.is_some())
        {
            return;
        }
        let found = self
            .thread(tid)
            .and_then(|thread| thread.plaintext(stream, direction, u64::from(moved), time_ns));
        if let Some(cookie) = found {
            self.matched(stream, cookie, out);
        }
    }

    /// The socket of an object was found by what its thread did next to it.
    pub(super) fn matched(&mut self, stream: u64, cookie: u64, out: &mut impl FnMut(Input<'_>)) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if state.cookie.is_some() {
            return;
        }
        state.cookie = Some(cookie);
        self.counts.bound_matched += 1;
        self.place(stream, cookie, out);
    }

    /// Sends the addresses of a stream if its socket's are known.
    fn place(&mut self, stream: u64, cookie: u64, out: &mut impl FnMut(Input<'_>)) {
        let Some(socket) = self.sockets.get_mut(&cookie) else {
            return;
        };
        if !socket.streams.contains(&stream) {
            socket.streams.push(stream);
        }
        if let Some(state) = self.streams.get_mut(&stream) {
            state.placed = true;
            socket.process = Some(Arc::clone(&state.process));
        }
        out(Input::Peer {
            conn: ConnId(stream),
            flow: socket.flow,
        });
        if let Some(hello) = &socket.hello {
            out(Input::Hello {
                conn: ConnId(stream),
                hello: Arc::clone(hello),
            });
        }
    }

    /// A packet of a TLS handshake.
    fn hello(&mut self, packet: &Packet<'_>, out: &mut impl FnMut(Input<'_>)) {
        let Packet {
            cookie,
            direction,
            seq,
            moved,
            payload,
            ..
        } = *packet;
        let Some(socket) = self.sockets.get_mut(&cookie) else {
            return;
        };
        if self.handshakes.get(&cookie).is_none() {
            self.handshakes.insert(cookie, Hellos::default());
        }
        let Some(hellos) = self.handshakes.get_mut(&cookie) else {
            return;
        };
        let mut said = socket.hello.as_deref().cloned().unwrap_or_default();
        let outbound = direction == Direction::Outbound;
        let new = hellos.push(outbound, seq, moved, payload, &mut said);
        if hellos.done() {
            self.handshakes.remove(&cookie);
        }
        if !new {
            return;
        }
        let said = Arc::new(said);
        for &stream in &socket.streams {
            out(Input::Hello {
                conn: ConnId(stream),
                hello: Arc::clone(&said),
            });
        }
        socket.hello = Some(said);
    }

    fn thread(&mut self, tid: u32) -> Option<&mut ThreadMatch> {
        if self.threads.get(&tid).is_none() {
            self.threads.insert(tid, ThreadMatch::default());
        }
        self.threads.get_mut(&tid)
    }
}
