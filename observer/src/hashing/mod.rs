//! The hashers of the tables that every call passes, in one place.
//!
//! Enters: keys, most of them chosen by whoever sends the traffic. Leaves: where they go in a table,
//! or the 64 bits that stand for them. Never: a hash that another run, another host or a reader of
//! this source could foretell.
//!
//! | hasher | for | why a flood of keys does no harm |
//! |---|---|---|
//! | [`Keyed`] | what is remembered by its hash alone, without the key | a pseudorandom function with a random key (SipHash-1-3): nobody finds two keys that are taken for one, or that share a place, even if the hashes leaked |
//! | [`AsIs`] | the tables of such hashes | they are random already |
//! | [`Seeded`] | tables that hold whole keys, of bounded size | see there |
//!
//! All seeds come from [`std::hash::RandomState`], so from the random numbers of the operating
//! system.

mod as_is;
mod keyed;
mod seeded;

pub use as_is::AsIs;
pub use keyed::{Keyed, KeyedHasher};
pub use seeded::Seeded;
