//! Kernel events in, pipeline inputs out.

use std::collections::VecDeque;
use std::sync::Arc;

use observer_common::socket::{SOCKET_KTLS, SOCKET_TCP};
use observer_common::tls::LIBRARY_KERNEL;

use crate::discover::Process;
use crate::kernel::RawEvent;
use crate::stream::{Bytes, ConnId, Direction, Flow, Input, Segment, TlsHello};

use super::books::{Fates, ProcessBooks};
use super::bounded::Bounded;
use super::embryos::Embryos;
use super::hello::Hellos;
use super::libraries::Libraries;
use super::listing::Listing;
use super::matching::ThreadMatch;
use super::owners::Owners;

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

/// What became of TLS objects and sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// TLS objects seen.
    pub tls_streams: u64,
    /// Bound by a socket call inside the library call.
    pub tls_bound_nested: u64,
    /// Bound by a socket call next to the library call.
    pub tls_bound_matched: u64,
    /// Tables were full and the oldest entry had to go.
    pub tables_full: u64,
    /// First segments whose socket never showed.
    pub embryos_lost: u64,
}

/// A TLS connection's socket.
#[derive(Debug)]
struct Socket {
    flow: Flow,
    /// What its hellos said.
    hello: Option<Arc<TlsHello>>,
    /// TLS streams bound to it: one, or a few if an object was replaced.
    streams: Vec<u64>,
}

/// A TLS object.
#[derive(Debug)]
struct Stream {
    /// Its socket, once known.
    cookie: Option<u64>,
    /// Its addresses were sent.
    placed: bool,
}

/// Keeps what the events of one connection have in common.
#[derive(Debug)]
pub struct Translator {
    libraries: Libraries,
    sockets: Bounded<u64, Socket>,
    streams: Bounded<u64, Stream>,
    /// Hellos that are not whole yet, by cookie.
    handshakes: Bounded<u64, Hellos>,
    threads: Bounded<u32, ThreadMatch>,
    /// Streams whose socket closed, with the time to end them.
    closing: VecDeque<(u64, u64)>,
    /// First segments whose socket is not known yet.
    embryos: Embryos,
    /// The same for data in a SYN.
    fast_opened: Embryos,
    /// Who moves the bytes of a socket, by cookie.
    owners: Owners,
    books: ProcessBooks,
    counts: CaptureCounts,
}

impl Translator {
    /// `libraries` says what the numbers in events mean.
    pub fn new(libraries: Libraries) -> Self {
        Self {
            libraries,
            sockets: Bounded::new(MOST_SOCKETS),
            streams: Bounded::new(MOST_STREAMS),
            handshakes: Bounded::new(MOST_HANDSHAKES),
            threads: Bounded::new(MOST_THREADS),
            closing: VecDeque::new(),
            embryos: Embryos::of_handshakes(),
            fast_opened: Embryos::of_syns(),
            owners: Owners::default(),
            books: ProcessBooks::default(),
            counts: CaptureCounts::default(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> CaptureCounts {
        CaptureCounts {
            tables_full: self.sockets.forgotten()
                + self.streams.forgotten()
                + self.threads.forgotten(),
            embryos_lost: self.embryos.lost() + self.fast_opened.lost(),
            ..self.counts
        }
    }

    /// What became of the payload of each process whose connections ended, by its name.
    pub fn books(&self) -> impl Iterator<Item = (&Arc<str>, &Fates)> {
        self.books.lines()
    }

    /// TLS connections and TLS objects kept now.
    pub fn entries(&self) -> (usize, usize) {
        (self.sockets.len(), self.streams.len())
    }

    /// Takes what a look at all open sockets found, in place of what the one before did.
    pub fn set_listing(&mut self, listing: Listing) {
        self.owners.set_listing(listing);
    }

    /// Takes one event. `process` says who a process is.
    pub fn push(
        &mut self,
        event: &RawEvent<'_>,
        process: &mut impl FnMut(u32) -> Arc<Process>,
        out: &mut impl FnMut(Input<'_>),
    ) {
        match *event {
            RawEvent::Segment {
                cookie,
                time_ns,
                direction,
                flags,
                seq,
                moved,
                flow,
                payload,
            } if flags.tls() => {
                let socket = Socket {
                    flow,
                    hello: None,
                    streams: Vec::new(),
                };
                if self.sockets.get(&cookie).is_none() {
                    self.sockets.insert(cookie, socket);
                    // If its bytes looked like anything else before, that is over.
                    out(Input::Closed {
                        conn: ConnId(cookie),
                        time_ns,
                    });
                }
                if !payload.is_empty() {
                    self.hello(cookie, direction, seq, moved, payload, out);
                }
            }
            RawEvent::Segment {
                cookie,
                time_ns,
                direction,
                flags,
                seq,
                moved,
                flow,
                payload,
            } => {
                if !flags.embryo() {
                    let owner = self.owners.listed(cookie, flow.local, &mut *process);
                    if let Some(process) = owner {
                        let conn = ConnId(cookie);
                        out(Input::Owner { conn, process });
                    }
                }
                let segment = Segment {
                    conn: ConnId(cookie),
                    time_ns,
                    direction,
                    seq,
                    syn: false,
                    fin: flags.fin(),
                    rst: flags.rst(),
                    len: moved,
                    bytes: payload,
                    flow,
                    from_start: flags.from_start(),
                };
                if flags.embryo() && flags.syn() {
                    self.fast_opened.hold(&segment);
                } else if flags.embryo() {
                    self.embryos.hold(&segment);
                } else {
                    let opened = self.fast_opened.release(&segment, out)
                        | self.embryos.release(&segment, out);
                    // Where the functions that move bytes know a socket by its cookie, its first
                    // own packet made one: who sends that packet is told after it.
                    if opened && !self.owners.is_known(cookie) {
                        out(Input::OwnerFollows {
                            conn: ConnId(cookie),
                        });
                    }
                    out(Input::Segment(segment));
                }
            }
            RawEvent::Bytes {
                stream,
                time_ns,
                direction,
                flags,
                socket,
                offset,
                moved,
                flow,
                payload,
            } => {
                let conn = ConnId(stream);
                if let (SOCKET_TCP, Some(flow)) = (socket, flow) {
                    // A sequence number is the low half.
                    let seq = (offset & u64::from(u32::MAX)) as u32;
                    let segment = RawEvent::Segment {
                        cookie: stream,
                        time_ns,
                        direction,
                        flags,
                        seq,
                        moved,
                        flow,
                        payload,
                    };
                    self.push(&segment, process, out);
                    return;
                }
                if flags.first() {
                    if socket == SOCKET_KTLS {
                        let tls = self.libraries.get(LIBRARY_KERNEL);
                        out(Input::Tls { conn, tls });
                    }
                    if let Some(flow) = flow {
                        out(Input::Peer { conn, flow });
                    }
                }
                out(Input::Bytes(Bytes {
                    conn,
                    time_ns,
                    direction,
                    offset,
                    len: u64::from(moved),
                    bytes: payload,
                }));
            }
            RawEvent::Owner { cookie, body } => {
                let process = named(process(body.tgid), &body.comm);
                self.owners.insert(cookie, Arc::clone(&process));
                out(Input::Owner {
                    conn: ConnId(cookie),
                    process,
                });
            }
            RawEvent::Closed {
                cookie,
                time_ns,
                books,
            } => {
                let owner = self.owners.remove(cookie);
                let name = owner.as_ref().map(|process| process.name.as_str());
                self.books.close(name, &books);
                self.closed(cookie, time_ns, out);
            }
            RawEvent::Plaintext {
                cookie,
                time_ns,
                direction,
                body,
                payload,
            } => {
                let conn = ConnId(body.stream);
                if self.streams.get(&body.stream).is_none() {
                    self.opened(body.stream, time_ns, out);
                    out(Input::Tls {
                        conn,
                        tls: self.libraries.get(body.library),
                    });
                    out(Input::Owner {
                        conn,
                        process: process(body.tgid),
                    });
                }
                match cookie {
                    Some(cookie) => self.bind_nested(body.stream, cookie, out),
                    None => self.bind_matched(
                        body.stream,
                        body.tid,
                        direction,
                        u64::from(body.moved),
                        time_ns,
                        out,
                    ),
                }
                out(Input::Bytes(Bytes {
                    conn,
                    time_ns,
                    direction,
                    offset: body.offset,
                    len: u64::from(body.moved),
                    bytes: payload,
                }));
            }
            RawEvent::TlsIo {
                cookie,
                time_ns,
                direction,
                body,
            } => {
                let Some(socket) = self.sockets.get(&cookie) else {
                    return;
                };
                if !socket.streams.is_empty() {
                    if let Some(thread) = self.threads.get_mut(&body.tid) {
                        thread.other_socket(direction);
                    }
                    return;
                }
                let bytes = u64::from(body.moved);
                let found = self
                    .thread(body.tid)
                    .and_then(|thread| thread.socket(cookie, direction, bytes, time_ns));
                if let Some(stream) = found {
                    self.matched(stream, cookie, out);
                }
            }
            RawEvent::TlsFreed { time_ns, stream } => self.ended(stream, time_ns, out),
        }
    }

    /// Lets time pass: ends streams whose socket closed a while ago.
    pub fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Input<'_>)) {
        self.embryos.expire(now_ns);
        self.fast_opened.expire(now_ns);
        self.owners.tick(now_ns);
        while let Some(&(due_ns, stream)) = self.closing.front()
            && due_ns <= now_ns
        {
            self.closing.pop_front();
            self.ended(stream, now_ns, out);
        }
    }

    fn opened(&mut self, stream: u64, time_ns: u64, out: &mut impl FnMut(Input<'_>)) {
        self.counts.tls_streams += 1;
        let new = Stream {
            cookie: None,
            placed: false,
        };
        if let Some((oldest, _)) = self.streams.insert(stream, new) {
            out(Input::Closed {
                conn: ConnId(oldest),
                time_ns,
            });
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
            self.counts.tls_bound_nested += 1;
        }
        self.place(stream, cookie, out);
    }

    fn bind_matched(
        &mut self,
        stream: u64,
        tid: u32,
        direction: Direction,
        bytes: u64,
        time_ns: u64,
        out: &mut impl FnMut(Input<'_>),
    ) {
        if self
            .streams
            .get(&stream)
            .is_none_or(|state| state.cookie.is_some())
        {
            return;
        }
        let found = self
            .thread(tid)
            .and_then(|thread| thread.plaintext(stream, direction, bytes, time_ns));
        if let Some(cookie) = found {
            self.matched(stream, cookie, out);
        }
    }

    fn matched(&mut self, stream: u64, cookie: u64, out: &mut impl FnMut(Input<'_>)) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if state.cookie.is_some() {
            return;
        }
        state.cookie = Some(cookie);
        self.counts.tls_bound_matched += 1;
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
    fn hello(
        &mut self,
        cookie: u64,
        direction: Direction,
        seq: u32,
        moved: u32,
        payload: &[u8],
        out: &mut impl FnMut(Input<'_>),
    ) {
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

    fn closed(&mut self, cookie: u64, time_ns: u64, out: &mut impl FnMut(Input<'_>)) {
        self.handshakes.remove(&cookie);
        let Some(socket) = self.sockets.remove(&cookie) else {
            out(Input::Closed {
                conn: ConnId(cookie),
                time_ns,
            });
            return;
        };
        for stream in socket.streams {
            self.closing.push_back((time_ns + LINGER_NS, stream));
        }
    }

    fn ended(&mut self, stream: u64, time_ns: u64, out: &mut impl FnMut(Input<'_>)) {
        let Some(state) = self.streams.remove(&stream) else {
            return;
        };
        if let Some(socket) = state
            .cookie
            .and_then(|cookie| self.sockets.get_mut(&cookie))
        {
            socket.streams.retain(|&other| other != stream);
        }
        out(Input::Closed {
            conn: ConnId(stream),
            time_ns,
        });
    }
}

/// A process that was gone before it could be looked at has at least the name that the kernel half
/// saw.
fn named(process: Arc<Process>, comm: &[u8; 16]) -> Arc<Process> {
    if !process.name.is_empty() {
        return process;
    }
    let end = comm.iter().position(|&byte| byte == 0);
    let comm = comm.get(..end.unwrap_or(comm.len())).unwrap_or_default();
    Arc::new(Process {
        name: String::from_utf8_lossy(comm).into_owned(),
        ..Process::clone(&process)
    })
}
