//! TLS objects that carry one direction each, put together.
//!
//! In: plaintext of such objects (rustls has one that encrypts and one that decrypts), socket calls.
//! Out: the same plaintext, as of one object for each connection, with its socket. Nothing in the
//! object tells the socket. But rustls is handed ciphertext by the thread that received it and
//! decrypts it at once, and what it encrypts the same thread sends next: so the socket call next to
//! it, if large enough for the records, is its own. Until that is known the plaintext is held;
//! what cannot be held is left out, and counted.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::bounded::Bounded;
use super::matching::{RECORD_ADDS, fits};
use super::tls_binding::SocketCall;
use crate::discover::Process;
use crate::stream::Direction;

/// Objects in use: two for each of 65,536 connections, which is what the kernel half keeps.
const MOST_OBJECTS: usize = 131_072;
/// Connections whose objects are known.
const MOST_PAIRS: usize = 65_536;
/// Threads that have moved something last.
const MOST_THREADS: usize = 4_096;
/// How long a thread may take from one half of an operation to the other: a busy machine lets it
/// wait, and only what the same thread did last counts.
const LIFETIME_NS: u64 = 1_000_000_000;
/// How long plaintext may follow the end of its socket.
const LINGER_NS: u64 = 1_000_000_000;
/// Bytes held for one object: what rustls buffers at most before it wants to send.
const MOST_HELD: usize = 128 << 10;
/// Pieces held for one object: a record each, and some are small.
const MOST_PIECES: usize = 64;
/// Bytes held for all of them.
const MOST_HELD_IN_ALL: usize = 16 << 20;

/// Plaintext that one object moved.
pub(super) struct OneWayPlaintext<'a> {
    /// The object.
    pub(super) object: u64,
    pub(super) tid: u32,
    pub(super) library: u32,
    pub(super) time_ns: u64,
    pub(super) direction: Direction,
    /// Bytes that the object moved before these.
    pub(super) offset: u64,
    pub(super) moved: u32,
    pub(super) bytes: &'a [u8],
}

/// The same as part of a connection.
pub(super) struct Joined<'a> {
    /// Number of the connection: that of its first object.
    pub(super) stream: u64,
    /// Its socket.
    pub(super) cookie: u64,
    pub(super) process: Arc<Process>,
    pub(super) library: u32,
    pub(super) time_ns: u64,
    pub(super) direction: Direction,
    pub(super) offset: u64,
    pub(super) moved: u32,
    pub(super) bytes: &'a [u8],
}

#[derive(Debug)]
struct Held {
    time_ns: u64,
    offset: u64,
    moved: u32,
    bytes: Box<[u8]>,
}

#[derive(Debug)]
struct Object {
    direction: Direction,
    process: Arc<Process>,
    library: u32,
    /// Its socket, once known, and bytes that went this way before its first.
    bound: Option<(u64, u64)>,
    held: Vec<Held>,
}

/// The objects of one connection.
#[derive(Debug)]
struct Pair {
    stream: u64,
    /// Those in use, inbound and outbound.
    objects: [Option<u64>; 2],
    /// Bytes moved so far.
    moved: [u64; 2],
}

/// What a thread did last.
#[derive(Debug, Default)]
struct Thread {
    received: Option<Operation>,
    wrote: Option<Operation>,
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    /// Socket, or object.
    id: u64,
    time_ns: u64,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct OneWays {
    objects: Bounded<u64, Object>,
    pairs: Bounded<u64, Pair>,
    threads: Bounded<u32, Thread>,
    /// Connections whose socket closed, with the time to end them.
    closing: VecDeque<(u64, u64)>,
    held: usize,
    left_out: u64,
}

impl Default for OneWays {
    fn default() -> Self {
        Self {
            objects: Bounded::new(MOST_OBJECTS),
            pairs: Bounded::new(MOST_PAIRS),
            threads: Bounded::new(MOST_THREADS),
            closing: VecDeque::new(),
            held: 0,
            left_out: 0,
        }
    }
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Inbound => 0,
        Direction::Outbound => 1,
    }
}

impl OneWays {
    /// Pieces of plaintext that were left out because their socket did not become known.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes plaintext. `process` says whose it is, the first time.
    pub(super) fn plaintext(
        &mut self,
        plaintext: &OneWayPlaintext<'_>,
        process: impl FnOnce() -> Arc<Process>,
        out: &mut impl FnMut(Joined<'_>),
    ) {
        let OneWayPlaintext {
            object,
            tid,
            library,
            time_ns,
            direction,
            moved,
            ..
        } = *plaintext;
        if self.objects.get(&object).is_none() {
            let new = Object {
                direction,
                process: process(),
                library,
                bound: None,
                held: Vec::new(),
            };
            if let Some((_, oldest)) = self.objects.insert(object, new) {
                self.drop_held(&oldest);
            }
        }
        let unbound = self
            .objects
            .get(&object)
            .is_some_and(|it| it.bound.is_none());
        if unbound {
            match direction {
                Direction::Inbound => {
                    let received = self.thread(tid).and_then(|thread| thread.received);
                    if let Some(received) = received.filter(|it| it.is_fresh(time_ns)) {
                        self.bind(object, u64::from(moved), received.id, received.bytes, out);
                    }
                }
                Direction::Outbound => {
                    if let Some(thread) = self.thread(tid) {
                        let wrote = Operation::next(thread.wrote, object, moved, time_ns);
                        thread.wrote = Some(wrote);
                    }
                }
            }
        }
        self.go_on(plaintext, out);
    }

    /// Takes a socket call of a TLS connection.
    pub(super) fn socket_call(&mut self, call: &SocketCall, out: &mut impl FnMut(Joined<'_>)) {
        let SocketCall {
            cookie,
            tid,
            time_ns,
            direction,
            moved,
        } = *call;
        match direction {
            Direction::Inbound => {
                if let Some(thread) = self.thread(tid) {
                    let received = Operation::next(thread.received, cookie, moved, time_ns);
                    thread.received = Some(received);
                }
            }
            Direction::Outbound => {
                let wrote = self.threads.get_mut(&tid).and_then(|it| it.wrote.take());
                if let Some(wrote) = wrote.filter(|it| it.is_fresh(time_ns)) {
                    self.bind(wrote.id, wrote.bytes, cookie, u64::from(moved), out);
                }
            }
        }
    }

    /// An object ended, or begins anew. `false`: it is none of these.
    pub(super) fn freed(&mut self, object: u64) -> bool {
        let Some(gone) = self.objects.remove(&object) else {
            return false;
        };
        self.drop_held(&gone);
        if let Some((cookie, _)) = gone.bound
            && let Some(pair) = self.pairs.get_mut(&cookie)
        {
            for slot in &mut pair.objects {
                slot.take_if(|it| *it == object);
            }
        }
        true
    }

    /// A socket closed.
    pub(super) fn closed(&mut self, cookie: u64, time_ns: u64) {
        if self.pairs.get(&cookie).is_some() {
            self.closing.push_back((time_ns + LINGER_NS, cookie));
        }
    }

    /// Lets time pass: ends connections whose socket closed a while ago.
    pub(super) fn tick(&mut self, now_ns: u64) {
        while let Some(&(due_ns, cookie)) = self.closing.front()
            && due_ns <= now_ns
        {
            self.closing.pop_front();
            let Some(pair) = self.pairs.remove(&cookie) else {
                continue;
            };
            for object in pair.objects.into_iter().flatten() {
                if let Some(gone) = self.objects.remove(&object) {
                    self.drop_held(&gone);
                }
            }
        }
    }

    /// An object that moved `plaintext` bytes may belong to the socket that moved `ciphertext`.
    fn bind(
        &mut self,
        object: u64,
        plaintext: u64,
        cookie: u64,
        ciphertext: u64,
        out: &mut impl FnMut(Joined<'_>),
    ) {
        let Some(state) = self.objects.get_mut(&object) else {
            return;
        };
        if state.bound.is_some() || ciphertext < plaintext.saturating_add(RECORD_ADDS) {
            return;
        }
        let way = index(state.direction);
        if self.pairs.get(&cookie).is_none() {
            let new = Pair {
                stream: object,
                objects: [None; 2],
                moved: [0; 2],
            };
            self.pairs.insert(cookie, new);
        }
        let Some(pair) = self.pairs.get_mut(&cookie) else {
            return;
        };
        let Some(slot) = pair.objects.get_mut(way) else {
            return;
        };
        // A new key comes with a new object. Else a socket has one each way, and only what fits to
        // the byte speaks for another.
        if slot.is_some() && !fits(plaintext, ciphertext) {
            return;
        }
        *slot = Some(object);
        let before = pair.moved.get(way).copied().unwrap_or_default();
        state.bound = Some((cookie, before));
        let (library, direction) = (state.library, state.direction);
        let held = std::mem::take(&mut state.held);
        for piece in held {
            self.held = self.held.saturating_sub(piece.bytes.len());
            let plaintext = OneWayPlaintext {
                object,
                tid: 0,
                library,
                time_ns: piece.time_ns,
                direction,
                offset: piece.offset,
                moved: piece.moved,
                bytes: &piece.bytes,
            };
            self.go_on(&plaintext, out);
        }
    }

    /// Hands plaintext on, or holds it.
    fn go_on(&mut self, plaintext: &OneWayPlaintext<'_>, out: &mut impl FnMut(Joined<'_>)) {
        let OneWayPlaintext {
            object,
            library,
            time_ns,
            direction,
            offset,
            moved,
            bytes,
            ..
        } = *plaintext;
        let Some(state) = self.objects.get_mut(&object) else {
            return;
        };
        let Some((cookie, before)) = state.bound else {
            let here: usize = state.held.iter().map(|piece| piece.bytes.len()).sum();
            if state.held.len() >= MOST_PIECES
                || here + bytes.len() > MOST_HELD
                || self.held + bytes.len() > MOST_HELD_IN_ALL
            {
                self.left_out += 1;
                return;
            }
            self.held += bytes.len();
            state.held.push(Held {
                time_ns,
                offset,
                moved,
                bytes: bytes.into(),
            });
            return;
        };
        let Some(pair) = self.pairs.get_mut(&cookie) else {
            return;
        };
        let offset = before.saturating_add(offset);
        if let Some(total) = pair.moved.get_mut(index(direction)) {
            *total = (*total).max(offset.saturating_add(u64::from(moved)));
        }
        out(Joined {
            stream: pair.stream,
            cookie,
            process: Arc::clone(&state.process),
            library,
            time_ns,
            direction,
            offset,
            moved,
            bytes,
        });
    }

    fn drop_held(&mut self, gone: &Object) {
        let bytes: usize = gone.held.iter().map(|piece| piece.bytes.len()).sum();
        self.held = self.held.saturating_sub(bytes);
        self.left_out += gone.held.len() as u64;
    }

    fn thread(&mut self, tid: u32) -> Option<&mut Thread> {
        if self.threads.get(&tid).is_none() {
            self.threads.insert(tid, Thread::default());
        }
        self.threads.get_mut(&tid)
    }
}

impl Operation {
    /// An operation that goes on from the last one if that was of the same socket or object.
    fn next(last: Option<Self>, id: u64, bytes: u32, now_ns: u64) -> Self {
        let before = last
            .filter(|last| last.id == id && last.is_fresh(now_ns))
            .map_or(0, |last| last.bytes);
        Self {
            id,
            time_ns: now_ns,
            bytes: before.saturating_add(u64::from(bytes)),
        }
    }

    const fn is_fresh(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.time_ns) <= LIFETIME_NS
    }
}
