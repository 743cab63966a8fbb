//! A bounded table of connections that forgets the least recently used one.

use hashbrown::HashTable;

use super::ConnId;

/// How much older than its last use a connection's place in the order may be, nanoseconds.
/// Saves moving a busy connection at every segment.
const ORDER_SLACK_NS: u64 = 100_000_000;

const NONE: u32 = u32::MAX;

/// State for each connection, least recently used first.
#[derive(Debug)]
pub struct Table<T> {
    index: HashTable<u32>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    capacity: usize,
}

#[derive(Debug)]
struct Slot<T> {
    id: ConnId,
    used_ns: u64,
    older: u32,
    newer: u32,
    value: Option<T>,
}

/// Cookies and object addresses are given by the kernel, not by a peer: mixing is enough.
fn hash(id: ConnId) -> u64 {
    let mixed = (id.0 ^ (id.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

impl<T> Table<T> {
    /// An empty table for at most `capacity` connections (at least one).
    pub fn new(capacity: usize) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            capacity: capacity.clamp(1, NONE as usize - 1),
        }
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// One more makes the table forget another.
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    fn find(&self, id: ConnId) -> Option<u32> {
        let same = |&at: &u32| {
            self.slots
                .get(at as usize)
                .is_some_and(|slot| slot.id == id)
        };
        self.index.find(hash(id), same).copied()
    }

    fn slot(&mut self, at: u32) -> Option<&mut Slot<T>> {
        self.slots.get_mut(at as usize)
    }

    /// The state of a connection, which counts as its use.
    pub fn get(&mut self, id: ConnId, now_ns: u64) -> Option<&mut T> {
        let at = self.find(id)?;
        let slot = self.slot(at)?;
        if now_ns > slot.used_ns.saturating_add(ORDER_SLACK_NS) {
            slot.used_ns = now_ns;
            self.unlink(at);
            self.link_newest(at);
        }
        self.slot(at)?.value.as_mut()
    }

    /// The state of a connection, which does not count as its use.
    pub fn peek(&mut self, id: ConnId) -> Option<&mut T> {
        let at = self.find(id)?;
        self.slot(at)?.value.as_mut()
    }

    /// Adds a connection that is not there, and returns the one forgotten for it, if any.
    pub fn insert(&mut self, id: ConnId, now_ns: u64, value: T) -> Option<(ConnId, T)> {
        let forgotten = if self.is_full() {
            self.oldest()
                .and_then(|(oldest, _)| self.remove(oldest).map(|value| (oldest, value)))
        } else {
            None
        };
        let slot = Slot {
            id,
            used_ns: now_ns,
            older: NONE,
            newer: NONE,
            value: Some(value),
        };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.slot(at) {
                    *place = slot;
                }
                at
            }
            None => {
                self.slots.push(slot);
                // Not above the capacity, which fits.
                (self.slots.len() - 1) as u32
            }
        };
        self.link_newest(at);
        let slots = &self.slots;
        self.index.insert_unique(hash(id), at, |&other| {
            slots.get(other as usize).map_or(0, |slot| hash(slot.id))
        });
        forgotten
    }

    /// Takes a connection out.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        let slots = &self.slots;
        let same = |&at: &u32| slots.get(at as usize).is_some_and(|slot| slot.id == id);
        let (at, _) = self.index.find_entry(hash(id), same).ok()?.remove();
        self.unlink(at);
        self.free.push(at);
        self.slot(at)?.value.take()
    }

    /// The least recently used connection and when that was, to within 100 ms.
    pub fn oldest(&self) -> Option<(ConnId, u64)> {
        self.slots
            .get(self.oldest as usize)
            .map(|slot| (slot.id, slot.used_ns))
    }

    /// Every connection, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slot(at) else { return };
        let (older, newer) = (slot.older, slot.newer);
        match self.slot(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slot(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let newest = self.newest;
        if let Some(slot) = self.slot(at) {
            slot.older = newest;
            slot.newer = NONE;
        }
        match self.slot(newest) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn least_recently_used_is_forgotten() {
        let mut table = Table::new(3);
        for id in 0..3 {
            assert!(table.insert(ConnId(id), id * SECOND, id).is_none());
        }
        assert_eq!(table.get(ConnId(0), 4 * SECOND), Some(&mut 0));
        assert_eq!(table.insert(ConnId(9), 5 * SECOND, 9), Some((ConnId(1), 1)));
        assert_eq!(table.remove(ConnId(2)), Some(2));
        assert_eq!(table.remove(ConnId(2)), None);
        assert_eq!(table.oldest(), Some((ConnId(0), 4 * SECOND)));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn slots_are_used_again() {
        let mut table = Table::new(100);
        for round in 0..1_000u64 {
            table.insert(ConnId(round), round, round);
            assert_eq!(table.remove(ConnId(round)), Some(round));
        }
        assert!(table.is_empty());
        assert_eq!(table.slots.len(), 1);
        assert_eq!(table.oldest(), None);
    }

    #[test]
    fn agrees_with_a_map_under_random_use() {
        let mut table = Table::new(64);
        let mut map = std::collections::HashMap::new();
        let mut random = 7u64;
        for step in 0..20_000u64 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let id = ConnId((random >> 40) % 200);
            if random & 1 == 0 {
                assert_eq!(table.remove(id), map.remove(&id));
            } else if table.get(id, step * SECOND).is_none() {
                if let Some((gone, value)) = table.insert(id, step * SECOND, step) {
                    assert_eq!(map.remove(&gone), Some(value));
                }
                map.insert(id, step);
            }
            assert_eq!(table.len(), map.len());
        }
        assert_eq!(table.iter_mut().count(), map.len());
    }
}
