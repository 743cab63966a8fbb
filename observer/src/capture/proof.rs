//! Whether functions that were found by signature are what they were taken for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Connections that must show HTTP where their socket is not known: with memory buffers, on kernels
/// that do not tell which thread uses a socket.
const UNBOUND_ENOUGH: u64 = 3;

/// Kept for a library file. Shared by the thread that reads events and whoever reports.
#[derive(Debug, Default)]
pub(super) struct Proof {
    connections: AtomicU64,
    proved: AtomicBool,
}

impl Proof {
    /// A connection has shown HTTP both ways, for the first time; `bound`: over a socket that is
    /// known to carry TLS.
    pub(super) fn add(&self, bound: bool) {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if bound || before + 1 >= UNBOUND_ENOUGH {
            self.settle();
        }
    }

    /// The socket of a connection that was added before is known to carry TLS.
    pub(super) fn settle(&self) {
        self.proved.store(true, Ordering::Release);
    }

    /// What comes from the functions is to be believed.
    pub(super) fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Acquire)
    }

    /// Connections that have shown it, until it was proved.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}
