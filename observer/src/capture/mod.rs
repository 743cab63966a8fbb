//! Kernel events in, pipeline inputs out: names the process, binds TLS objects to their sockets.
//!
//! It keeps what the events of one connection have in common and what they lack. It does no I/O
//! of its own: who a process is comes through a closure, which library a number means through a
//! table that fills as libraries are found.

mod books;
mod bounded;
mod embryos;
mod hello;
mod libraries;
mod likely_http;
mod listing;
mod matching;
mod one_way;
mod owners;
mod proof;
mod proofs;
mod tls_binding;
mod translator;

pub use books::Fates;
pub use libraries::{Libraries, Proved};
pub use listing::Listing;
pub use translator::{CaptureCounts, Translator};
