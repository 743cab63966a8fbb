//! Searches of the log: which records fit a filter, how many, and by which values.
//!
//! In: a folder of a log and a [`Filter`]. Out: records as they were written, in order. Never: a
//! record that a scan of everything would not give, or a write to the log.
//!
//! `word` and `filter` read the language, `field` and `record` name what it can ask for,
//! `column` and `block` are the index (`index/` beside the segments: for every 64 frames the values
//! of their records by column), [`Indexer`] writes it, [`Search`] uses it and reads what it must.

mod block;
mod column;
mod field;
mod filter;
mod indexer;
mod predicate;
mod record;
mod run;
mod verdict;
mod word;

pub use field::Field;
pub use filter::{Filter, FilterError};
pub use indexer::Indexer;
pub use record::{Record, Value};
pub use run::{Each, Search, Stats};

pub(super) use indexer::remove as remove_index;
pub(super) use predicate::like;
