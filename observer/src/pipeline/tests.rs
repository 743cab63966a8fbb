//! Whole behaviour, from captured bytes to calls.

mod bodies;
mod exchanges;
mod gaps;
mod hostile;
mod http2;
mod proxies;
mod segments;
mod skipped_bodies;
mod support;
mod upgrades;
