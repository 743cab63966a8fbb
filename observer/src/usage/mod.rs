//! Counts calls, bytes and errors for each service and route.
//!
//! In: calls named by `catalog`. Out: totals, and the summary that ends a run. Never: more rows
//! than the catalog has names, because its names are the only keys.

mod summary;
mod totals;

pub use summary::{human_bytes, summary};
pub use totals::{Totals, Usage};
