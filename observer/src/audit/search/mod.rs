//! Searches of the log: which records fit a filter, how many, and by which values.
//!
//! In: a folder of a log and a [`Filter`]. Out: records as they were written, in order. Never: a
//! record that a scan of everything would not give, or a write to the log.
//!
//! `word`, `filter` and `pattern` read the language, `field` and `record` name what it can ask for,
//! `numbers`, `column` and `block` are the index (`index/` beside the segments: for every 32 frames
//! the values of their records by column), [`Indexer`] writes it. [`Search`] takes the log apart
//! (`units`), lets `workers` judge each part, by `glance` and `verdict` or by reading it, and reads
//! the frames (`frames`) of what it shows; `count` reads none where the index decides.

mod block;
mod column;
mod count;
mod field;
mod filter;
mod frames;
mod glance;
mod indexer;
mod numbers;
mod over_time;
mod pattern;
mod predicate;
mod record;
mod run;
mod units;
mod verdict;
mod word;
mod workers;

pub use field::Field;
pub use filter::{Filter, FilterError};
pub use indexer::Indexer;
pub use over_time::Steps;
pub use record::{Record, Value};
pub use run::{Each, Search, Stats};

pub(super) use indexer::remove as remove_index;
pub(super) use pattern::like;
