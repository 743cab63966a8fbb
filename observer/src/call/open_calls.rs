//! The calls of one connection whose response has not ended.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::ApiCall;
use super::body::{Hint, Peek};
use super::client::Origin;
use crate::protocol::{Content, Marks};

/// Calls under way that a connection keeps memory for.
const KEEP_CAPACITY: usize = 2;

/// A call under way.
#[derive(Debug)]
pub(super) struct OpenCall {
    /// Number of its request on the connection.
    pub id: u64,
    /// When its first byte was seen, monotonic nanoseconds.
    pub start_ns: u64,
    /// What is known so far.
    pub call: Box<ApiCall>,
    pub request: Marks,
    pub response: Marks,
    /// First parts of the bodies.
    pub bodies: Bodies,
    /// What proxies in front may have said of the client.
    pub origin: Option<Box<Origin>>,
}

/// First parts of the bodies of one call, as far as they may name something.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// What the head of the request says of the operation, if it says anything.
    pub hint: Option<Box<Hint>>,
    /// What the request holds.
    pub request: Content,
    pub asked: Option<Peek>,
    /// What the answer holds, if it may tell an error.
    pub answer: Option<Content>,
    pub told: Option<Peek>,
}

impl Bodies {
    /// Memory it takes besides itself, bytes.
    fn memory(&self) -> usize {
        let Self {
            hint,
            request: _,
            asked,
            answer: _,
            told,
        } = self;
        let peek = |peek: &Option<Peek>| peek.as_ref().map_or(0, Peek::memory);
        let hint = hint.as_ref();
        hint.map_or(0, |hint| size_of::<Hint>() + hint.memory()) + peek(asked) + peek(told)
    }
}

impl OpenCall {
    /// Memory it takes, bytes.
    pub(super) fn cost(&self) -> usize {
        let ApiCall {
            method,
            host,
            path,
            query,
            operation,
            login,
            identities,
            ..
        } = &*self.call;
        size_of::<Self>()
            + size_of::<ApiCall>()
            + method.capacity()
            + path.capacity()
            + host.as_ref().map_or(0, String::capacity)
            + query.as_ref().map_or(0, String::capacity)
            + operation.as_ref().map_or(0, String::capacity)
            + login.as_ref().map_or(0, |login| login.len())
            + self.bodies.memory()
            + self.origin.as_ref().map_or(0, |origin| origin.memory())
            + identities.capacity() * size_of::<usize>()
    }
}

/// The calls under way on one connection, in order.
#[derive(Debug, Default)]
pub struct OpenCalls {
    pub(super) queue: VecDeque<OpenCall>,
    /// Calls that are complete but for the addresses of their TLS connection, in order.
    pub(super) unplaced: VecDeque<OpenCall>,
    /// The first call of a connection joined midway was told.
    pub(super) joined_told: bool,
    /// The opening of the connection names this client (PROXY protocol).
    pub(super) proxied: Option<Box<SocketAddr>>,
    /// The connection is remembered as one whose server side is seen.
    pub(super) served: bool,
    /// A call of it was dropped because the server side tells it.
    pub(super) duplicate: Duplicate,
}

/// Whether the server side of the connection tells its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Duplicate {
    /// Not that anyone knows.
    #[default]
    No,
    /// Yes, as was just found.
    Found,
    /// Yes, and the source was told.
    Told,
}

impl OpenCalls {
    /// The server side was just found to tell the calls of this connection; says so once.
    pub fn take_duplicate(&mut self) -> bool {
        let found = self.duplicate == Duplicate::Found;
        if found {
            self.duplicate = Duplicate::Told;
        }
        found
    }
}

impl OpenCalls {
    fn index(&self, id: u64) -> Option<usize> {
        // The response is to the first, the end of a request is of the last.
        if self.queue.front().is_some_and(|open| open.id == id) {
            return Some(0);
        }
        self.queue.binary_search_by_key(&id, |open| open.id).ok()
    }

    pub(super) fn get(&mut self, id: u64) -> Option<&mut OpenCall> {
        let index = self.index(id)?;
        self.queue.get_mut(index)
    }

    pub(super) fn take(&mut self, id: u64) -> Option<OpenCall> {
        let open = match self.index(id)? {
            0 => self.queue.pop_front(),
            index => self.queue.remove(index),
        };
        if self.queue.is_empty() && self.queue.capacity() > KEEP_CAPACITY {
            self.queue = VecDeque::new();
        }
        open
    }

    pub(super) fn push(&mut self, open: OpenCall) {
        if self.queue.capacity() == 0 {
            // One, not the usual four: most connections never have two calls under way.
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(open);
    }
}
