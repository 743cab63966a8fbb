//! State of one direction of an HTTP connection.

use super::chunked::Chunked;
use super::counts::ProtocolCounts;
use super::head::MAX_HEAD;
use super::marks::Marks;
use super::rpc::Messages;
use super::shared::ProtocolShared;

/// Where in a message a direction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// In a head, or at the boundary before one.
    #[default]
    Head,
    /// In a body that ends after so many bytes.
    Length(u64),
    /// In a body that ends with the connection.
    Close,
    /// In a chunked body.
    Chunked(Chunked),
    /// The message boundary is lost.
    Search,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub state: State,
    /// Start of a head whose end has not come.
    pub head: Vec<u8>,
    /// How much of it was searched for its end.
    pub searched: usize,
    /// The head at hand was found by searching.
    pub found: bool,
    /// When the first byte of the message at hand was seen.
    pub start_ns: u64,
    /// When anything moved before that.
    pub quiet_since_ns: u64,
    /// The request at hand, or the one that the response at hand answers.
    pub id: Option<u64>,
    /// Body bytes so far.
    pub body: u64,
    pub marks: Marks,
    /// Bytes of the body at hand that are still to be told.
    pub peek: u32,
    /// Counts the messages of the body at hand, if it has any.
    pub messages: Option<Box<Messages>>,
    /// Whether this response has a body depends on its request, which was not seen.
    pub doubtful: bool,
    /// Place up to which the capture was asked to leave out bytes.
    pub asked: u64,
    /// Bytes passed over before anything was recognised.
    pub unrecognised: u64,
    pub ended: bool,
    /// The opening of SOCKS was passed over.
    pub socks: bool,
    /// The opening of the PROXY protocol was passed over, or did not come.
    pub proxied: bool,
}

/// Why a head was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge,
    OverBudget,
}

impl Refused {
    pub(super) fn count(self, counts: &mut ProtocolCounts) {
        match self {
            Self::TooLarge => counts.heads_too_large += 1,
            Self::OverBudget => counts.heads_over_budget += 1,
        }
    }
}

impl Side {
    /// Keeps a part of a head until the rest comes.
    pub(super) fn keep(
        &mut self,
        bytes: &[u8],
        shared: &mut ProtocolShared,
    ) -> Result<(), Refused> {
        if self.head.len() + bytes.len() > MAX_HEAD {
            return Err(Refused::TooLarge);
        }
        let before = self.head.capacity();
        self.head.extend_from_slice(bytes);
        shared.account(before, self.head.capacity());
        if shared.head_bytes > shared.head_limit {
            return Err(Refused::OverBudget);
        }
        Ok(())
    }

    /// Takes the kept head out.
    pub(super) fn take_head(&mut self, shared: &mut ProtocolShared) -> Vec<u8> {
        self.searched = 0;
        shared.account(self.head.capacity(), 0);
        std::mem::take(&mut self.head)
    }

    /// Forgets the kept head and returns how long it was.
    pub(super) fn drop_head(&mut self, shared: &mut ProtocolShared) -> usize {
        self.take_head(shared).len()
    }
}
