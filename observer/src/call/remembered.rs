//! Remembers what was read from texts that come again.

use std::hash::BuildHasher as _;

use crate::hashing::Keyed;

/// Texts remembered, a power of two.
const REMEMBERED: usize = 1024;

/// Longest text that is remembered, bytes: hashing a longer one costs as much as reading it.
pub(super) const LONGEST: usize = 512;

/// What was read, by a keyed hash of 64 bits of its text: that another text has the same is not met
/// by chance, and cannot be made without the key. The text itself, which may hold secrets, is not
/// kept.
#[derive(Debug)]
pub(super) struct Remembered<T> {
    hasher: Keyed,
    /// A text has one place, and takes it from the one before.
    known: Box<[Option<(u64, T)>]>,
}

impl<T> Remembered<T> {
    pub(super) fn new() -> Self {
        Self {
            hasher: Keyed::default(),
            known: std::iter::repeat_with(|| None).take(REMEMBERED).collect(),
        }
    }

    /// Uses what `read` says of a text, or said before. `kind` tells apart what the same text may
    /// mean.
    pub(super) fn get<R>(
        &mut self,
        kind: u8,
        text: &[u8],
        read: impl FnOnce() -> T,
        then: impl FnOnce(&T) -> R,
    ) -> R {
        if text.len() > LONGEST {
            return then(&read());
        }
        let hash = self.hasher.hash_one((kind, text));
        // The remainder is below the length.
        let place = (hash % REMEMBERED as u64) as usize;
        match self.known.get_mut(place) {
            Some(Some((known, found))) if *known == hash => then(found),
            Some(place) => {
                let (_, found) = place.insert((hash, read()));
                then(found)
            }
            None => then(&read()),
        }
    }
}
