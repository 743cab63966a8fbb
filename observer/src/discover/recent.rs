//! A bounded map that keeps what was used recently.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps at least the `limit / 2` entries used last, and at most `limit`.
///
/// Two halves: entries are put in the young one, and moved there when they are used; when it is
/// full the old half is dropped and the young one takes its place.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Copy, V> Recent<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            half: (limit / 2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub(super) fn get(&mut self, key: K) -> Option<&V> {
        if let Some(value) = self.old.remove(&key) {
            self.insert(key, value);
        }
        self.young.get(&key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: K) {
        self.young.remove(&key);
        self.old.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes_before_the_limit_is_passed() {
        let mut recent = Recent::new(8);
        recent.insert(0, "kept");
        for key in 1..1000 {
            recent.insert(key, "once");
            assert_eq!(recent.get(0), Some(&"kept"));
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get(1), None);
        recent.remove(0);
        assert_eq!(recent.get(0), None);
    }
}
