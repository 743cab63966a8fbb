//! What is known of a connection, besides its bytes.

use std::sync::Arc;

use super::{ConnId, Flow, Position, Tls, TlsHello};
use crate::discover::Process;

/// A stream pair as the stages to the right see it.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Its name.
    pub id: ConnId,
    /// Its addresses, if known.
    pub flow: Option<Flow>,
    /// The TLS library that its plaintext was taken from.
    pub tls: Option<Arc<Tls>>,
    /// What the hellos of its TLS connection said, if they were seen.
    pub hello: Option<Arc<TlsHello>>,
    /// The process at the observed end.
    pub process: Option<Arc<Process>>,
    /// The process is not known yet and will be within a moment.
    pub awaits_process: bool,
    /// What its source calls it.
    pub label: Option<Arc<str>>,
    /// It was open before it was observed.
    pub joined: bool,
    /// Places in it are TCP sequence numbers, else offsets.
    pub sequenced: bool,
}

impl Conn {
    /// Nothing known yet.
    pub fn new(id: ConnId) -> Self {
        Self {
            id,
            flow: None,
            tls: None,
            hello: None,
            process: None,
            awaits_process: false,
            label: None,
            joined: false,
            sequenced: false,
        }
    }

    /// Something that every call of it should tell is about to become known: the addresses of a
    /// TLS connection (a library with buffers of its own writes the answer before anything is
    /// sent, and without addresses a call cannot be known as the other side of one that was told),
    /// or its process.
    pub fn awaits(&self) -> bool {
        (self.flow.is_none() && self.tls.is_some())
            || (self.awaits_process && self.process.is_none())
    }

    /// A place of a [`super::Chunk`] in the terms of the source.
    pub fn position(&self, at: u64) -> Position {
        if self.sequenced {
            // Counted on from a sequence number, so the low half is one.
            Position::Seq((at & u64::from(u32::MAX)) as u32)
        } else {
            Position::Offset(at)
        }
    }
}
