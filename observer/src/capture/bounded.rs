//! A map that forgets its oldest entry when it is full.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::HashMap;

/// Entries go in the order they came; a removed one leaves its place in the queue to be skipped.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
    most: usize,
    forgotten: u64,
}

impl<K: Copy + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            most,
            forgotten: 0,
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Adds or replaces; gives back what had to go.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        if self.entries.insert(key, value).is_some() {
            return None;
        }
        self.order.push_back(key);
        // Keys of removed entries stay in the queue until they come up: bound it as well.
        if self.order.len() > 2 * self.most {
            let entries = &self.entries;
            self.order.retain(|key| entries.contains_key(key));
        }
        if self.entries.len() <= self.most {
            return None;
        }
        while let Some(oldest) = self.order.pop_front() {
            if let Some(value) = self.entries.remove(&oldest) {
                self.forgotten += 1;
                return Some((oldest, value));
            }
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries that had to go while they were in use.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_is_given_back() {
        let mut map = Bounded::new(2);
        assert_eq!(map.insert(1, 'a'), None);
        assert_eq!(map.insert(2, 'b'), None);
        assert_eq!(map.insert(1, 'c'), None, "replaced, not added");
        assert_eq!(map.insert(3, 'd'), Some((1, 'c')));
        assert_eq!(
            (map.get(&1), map.get(&2), map.forgotten()),
            (None, Some(&'b'), 1)
        );
    }

    #[test]
    fn the_queue_stays_bounded_when_entries_come_and_go() {
        let mut map = Bounded::new(4);
        for key in 0..1000 {
            map.insert(key, ());
            map.remove(&key);
        }
        assert_eq!(map.len(), 0);
        assert!(map.order.len() <= 9, "{}", map.order.len());
        assert_eq!(map.forgotten(), 0);
    }
}
