//! Learns the endpoint templates of one service from its calls.
//!
//! In: canonical segments of a path, the method, and how it was answered. Out: the template of a
//! path. Never: a value kept once its position is known to hold values, or more places than the
//! bound. Typed values (numbers, UUIDs, dates, …) are told by their characters at once; words are
//! told from resource names by what was seen beside them, again and again as evidence grows.

mod evidence;
mod lexicon;
mod record;
mod settle;
mod siblings;
mod trie;
mod weights;
mod words;

pub(super) use trie::MAX_TEMPLATE;
pub(super) use trie::REST;
pub(super) use trie::{Answer, Learner};
