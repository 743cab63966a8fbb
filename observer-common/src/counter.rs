//! The ledger's counters, kept per CPU in the kernel and outside the ring.
