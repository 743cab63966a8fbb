//! Whole behaviour, from captured bytes to calls.

mod bodies;
mod exchanges;
mod gaps;
mod hostile;
mod http2;
mod proxies;
mod segments;
mod support;
mod upgrades;
