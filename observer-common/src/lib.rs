//! What the kernel half and the user half of the observer agree on: the layout of events, the
//! counters, the settings slots and the limits. Fixed-width plain data only; nothing here runs.
#![cfg_attr(not(test), no_std)]

pub mod block;
pub mod conn;
pub mod counter;
pub mod event;
pub mod socket;
pub mod tls;
