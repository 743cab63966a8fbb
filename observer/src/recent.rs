//! A map that keeps what was used lately and forgets the rest, in constant time.
//!
//! Enters: entries. Leaves: the ones used last. Never: more than twice its capacity.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, RandomState};

use crate::hashing::AsIs;

/// A bounded map of two generations: when the young one is full it becomes the old one, and what
/// was in the old one is forgotten. A key that is found in the old one moves to the young one. So
/// at most `2 × capacity` entries are held, the `capacity` used last are always among them, and
/// no step costs more than the hash of a key: a flood of new keys cannot make the agent scan.
///
/// Keys come from attackers, so the hasher is the keyed one of the standard library, unless the keys
/// are hashes of a keyed one already.
#[derive(Debug)]
pub struct Recent<K, V, S = RandomState> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
    capacity: usize,
    evicted: u64,
}

/// By hashes that [`crate::hashing::Keyed`] made, each of which stands for its key.
pub type RecentHashes<V> = Recent<u64, V, AsIs>;

impl<K: Hash + Eq, V> Recent<K, V> {
    /// Keeps at least the `capacity` entries used last, and at most twice as many.
    pub fn new(capacity: usize) -> Self {
        Self::with_capacity(capacity)
    }
}

impl<V> RecentHashes<V> {
    /// The same, for keys that are hashes.
    pub fn of_hashes(capacity: usize) -> Self {
        Self::with_capacity(capacity)
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + Default> Recent<K, V, S> {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            capacity: capacity.max(1),
            evicted: 0,
        }
    }

    /// The value of `key`, marked as used now.
    pub fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// Puts a value in and returns the one it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let replaced = self.old.remove(&key);
        if self.young.len() >= self.capacity && !self.young.contains_key(&key) {
            self.evicted += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value).or(replaced)
    }

    /// The value of `key`, made if there is none, marked as used now: what is a hit costs one look.
    pub fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let mut kept = None;
        if self.young.len() >= self.capacity && !self.young.contains_key(&key) {
            kept = self.old.remove(&key);
            self.evicted += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        match self.young.entry(key) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                let value = kept
                    .or_else(|| self.old.remove(place.key()))
                    .unwrap_or_else(new);
                place.insert(value)
            }
        }
    }

    /// Takes an entry out.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let young = self.young.remove(key);
        self.old.remove(key).or(young)
    }

    /// What is held, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.young.values().chain(self.old.values())
    }

    /// Entries held now.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries forgotten so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten_and_counted() {
        let mut recent = Recent::new(10);
        recent.insert("kept".to_owned(), 0);
        for n in 0..1000 {
            recent.insert(format!("flood {n}"), n);
            assert_eq!(recent.get("kept"), Some(&mut 0));
            assert!(recent.len() <= 20);
        }
        assert_eq!(recent.get("flood 3"), None);
        assert_eq!(recent.evicted() + recent.len() as u64, 1001);
    }

    #[test]
    fn an_entry_is_found_in_both_generations_and_made_where_there_is_none() {
        let mut recent = Recent::new(10);
        for n in 0..1000 {
            *recent.entry("kept".to_owned(), || 0) += 1;
            assert_eq!(*recent.entry(format!("flood {n}"), || n), n);
            assert!(recent.len() <= 20);
        }
        assert_eq!(recent.get("kept"), Some(&mut 1000));
        assert_eq!(recent.evicted() + recent.len() as u64, 1001);
    }

    #[test]
    fn a_key_is_held_once() {
        let mut recent = Recent::new(2);
        recent.insert(1, 'a');
        recent.insert(2, 'b');
        recent.insert(3, 'c');
        assert_eq!(recent.insert(1, 'd'), Some('a'));
        assert_eq!(recent.get(&1), Some(&mut 'd'));
        assert_eq!(recent.len(), 3);
        assert_eq!((recent.remove(&1), recent.remove(&1)), (Some('d'), None));
        assert!(!recent.is_empty());
    }
}
