//! Kernel events in, pipeline inputs out.

use std::sync::Arc;

use observer_common::socket::{SOCKET_KTLS, SOCKET_TCP};
use observer_common::tls::{LIBRARY_KERNEL, LIBRARY_ONE_WAY, is_one_way};

use crate::discover::Process;
use crate::kernel::RawEvent;
use crate::stream::{Bytes, ConnId, Input, Segment};

use super::books::{Fates, ProcessBooks};
use super::embryos::Embryos;
use super::libraries::{Libraries, Proved};
use super::listing::Listing;
use super::one_way::{Joined, OneWayPlaintext, OneWays};
use super::owners::Owners;
use super::proofs::Proofs;
use super::tls_binding::{Packet, Plaintext, SocketCall, TlsBinding};

/// What became of TLS objects and sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// TLS objects seen.
    pub tls_streams: u64,
    /// Bound by a socket call inside the library call.
    pub tls_bound_nested: u64,
    /// Bound by a socket call next to the library call.
    pub tls_bound_matched: u64,
    /// Pieces of plaintext whose socket did not become known, of libraries that cannot do without.
    pub tls_left_out: u64,
    /// Pieces of plaintext of libraries found by signature that did not prove themselves.
    pub tls_unproved: u64,
    /// Tables were full and the oldest entry had to go.
    pub tables_full: u64,
    /// First segments whose socket never showed.
    pub embryos_lost: u64,
}

/// Keeps what the events of one connection have in common.
#[derive(Debug)]
pub struct Translator {
    libraries: Libraries,
    tls: TlsBinding,
    /// Objects that carry one direction each.
    one_ways: OneWays,
    /// What libraries found by signature have moved, until they have proved themselves.
    proofs: Option<Box<Proofs>>,
    /// First segments whose socket is not known yet.
    embryos: Embryos,
    /// The same for data in a SYN.
    fast_opened: Embryos,
    /// Who moves the bytes of a socket, by cookie.
    owners: Owners,
    books: ProcessBooks,
}

impl Translator {
    /// `libraries` says what the numbers in events mean.
    pub fn new(libraries: Libraries) -> Self {
        Self {
            proofs: Some(Box::new(Proofs::new(libraries.clone()))),
            libraries,
            tls: TlsBinding::default(),
            one_ways: OneWays::default(),
            embryos: Embryos::of_handshakes(),
            fast_opened: Embryos::of_syns(),
            owners: Owners::default(),
            books: ProcessBooks::default(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> CaptureCounts {
        let tls = self.tls.counts();
        CaptureCounts {
            tls_streams: tls.streams,
            tls_bound_nested: tls.bound_nested,
            tls_bound_matched: tls.bound_matched,
            tls_left_out: self.one_ways.left_out(),
            tls_unproved: self.proofs.as_ref().map_or(0, |it| it.left_out()),
            tables_full: self.tls.forgotten(),
            embryos_lost: self.embryos.lost() + self.fast_opened.lost(),
        }
    }

    /// What became of the payload of each process whose connections ended, by its name.
    pub fn books(&self) -> impl Iterator<Item = (&Arc<str>, &Fates)> {
        self.books.lines()
    }

    /// Libraries found by signature, and what they have shown.
    pub fn proved(&self) -> Vec<Proved> {
        self.libraries.proved()
    }

    /// TLS connections and TLS objects kept now.
    pub fn entries(&self) -> (usize, usize) {
        self.tls.entries()
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
        // Out of its place for a moment, as it takes what the rest gives.
        let Some(mut proofs) = self.proofs.take() else {
            return;
        };
        self.translate(event, process, &mut |input| proofs.pass(input, out));
        self.proofs = Some(proofs);
    }

    fn translate(
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
                let packet = Packet {
                    cookie,
                    time_ns,
                    direction,
                    seq,
                    moved,
                    flow,
                    payload,
                };
                self.tls.packet(&packet, out);
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
                    self.translate(&segment, process, out);
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
                self.one_ways.closed(cookie, time_ns);
                let tls = self.tls.closed(cookie, time_ns);
                let reader = tls.as_ref().and_then(|end| end.process.clone());
                let process = reader.or(owner);
                let name = process.as_ref().map(|process| process.name.as_str());
                self.books.close(name, &books, tls.as_ref());
                if tls.is_none() {
                    out(Input::Closed {
                        conn: ConnId(cookie),
                        time_ns,
                    });
                }
            }
            RawEvent::Plaintext {
                time_ns,
                direction,
                ref body,
                payload,
                ..
            } if is_one_way(body.library) => {
                let plaintext = OneWayPlaintext {
                    object: body.stream,
                    tid: body.tid,
                    library: body.library & !LIBRARY_ONE_WAY,
                    time_ns,
                    direction,
                    offset: body.offset,
                    moved: body.moved,
                    bytes: payload,
                };
                let whose = || process(body.tgid);
                let (tls, libraries) = (&mut self.tls, &self.libraries);
                self.one_ways.plaintext(&plaintext, whose, &mut |joined| {
                    let tls = &mut *tls;
                    Joint { tls, libraries }.push(&joined, &mut *out);
                });
            }
            RawEvent::Plaintext {
                cookie,
                time_ns,
                direction,
                ref body,
                payload,
            } => {
                let conn = ConnId(body.stream);
                let new = self
                    .tls
                    .open(body.stream, time_ns, || process(body.tgid), out);
                if let Some(process) = new {
                    let tls = self.libraries.get(body.library);
                    out(Input::Tls { conn, tls });
                    out(Input::Owner { conn, process });
                }
                let plaintext = Plaintext {
                    stream: body.stream,
                    cookie,
                    tid: body.tid,
                    time_ns,
                    direction,
                    offset: body.offset,
                    moved: body.moved,
                };
                self.tls.plaintext(&plaintext, out);
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
                // Whose library is not known: at least its name goes into the books.
                if !self.owners.is_known(cookie) {
                    self.owners.insert(cookie, process(body.tgid));
                }
                let call = SocketCall {
                    cookie,
                    tid: body.tid,
                    time_ns,
                    direction,
                    moved: body.moved,
                };
                let (tls, libraries) = (&mut self.tls, &self.libraries);
                self.one_ways.socket_call(&call, &mut |joined| {
                    let tls = &mut *tls;
                    Joint { tls, libraries }.push(&joined, &mut *out);
                });
                self.tls.socket_call(&call, out);
            }
            RawEvent::TlsFreed { time_ns, stream } => {
                // One object of a connection may end before the connection does.
                if !self.one_ways.freed(stream) {
                    self.tls.ended(stream, time_ns, out);
                }
            }
        }
    }

    /// Lets time pass: ends streams whose socket closed a while ago.
    pub fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Input<'_>)) {
        self.embryos.expire(now_ns);
        self.fast_opened.expire(now_ns);
        self.owners.tick(now_ns);
        self.one_ways.tick(now_ns);
        if let Some(proofs) = &mut self.proofs {
            self.tls.tick(now_ns, &mut |input| proofs.pass(input, out));
            proofs.tick(out);
        }
    }
}

/// Where plaintext of objects that were put together goes on.
struct Joint<'a> {
    tls: &'a mut TlsBinding,
    libraries: &'a Libraries,
}

impl Joint<'_> {
    fn push(&mut self, joined: &Joined<'_>, out: &mut impl FnMut(Input<'_>)) {
        let Joined {
            stream,
            cookie,
            ref process,
            library,
            time_ns,
            direction,
            offset,
            moved,
            bytes,
        } = *joined;
        let conn = ConnId(stream);
        let whose = || Arc::clone(process);
        if let Some(process) = self.tls.open(stream, time_ns, whose, out) {
            let tls = self.libraries.get(library);
            out(Input::Tls { conn, tls });
            out(Input::Owner { conn, process });
            self.tls.matched(stream, cookie, out);
        }
        let plaintext = Plaintext {
            stream,
            cookie: Some(cookie),
            tid: 0,
            time_ns,
            direction,
            offset,
            moved,
        };
        self.tls.plaintext(&plaintext, out);
        out(Input::Bytes(Bytes {
            conn,
            time_ns,
            direction,
            offset,
            len: u64::from(moved),
            bytes,
        }));
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
