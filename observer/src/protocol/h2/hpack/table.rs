//! The dynamic table (RFC 7541 §2.3.2, §4).
//!
//! Names and values lie one after the other in one buffer, oldest first, so that an insertion
//! costs no allocation once the buffer has grown. What is evicted is overwritten.

use std::collections::VecDeque;
use std::fmt;
use std::hint::black_box;

/// Table size before anything else is agreed (RFC 9113 §6.5.2), in the octets of RFC 7541 §4.1.
pub const DEFAULT_TABLE: usize = 4096;

/// Most that is kept, in the same octets. Browsers offer 64 KiB, servers and gRPC 4 KiB; of a
/// larger table the oldest entries are not known.
pub const MAX_TABLE: usize = 64 << 10;

/// What an entry counts besides its name and value (§4.1).
const OVERHEAD: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Slot {
    name_len: u32,
    value_len: u32,
    /// Where its name starts, counted from the beginning of all insertions.
    at: u64,
    name_known: bool,
}

impl Slot {
    fn len(self) -> usize {
        // Both fit: they come from a header block.
        self.name_len as usize + self.value_len as usize
    }
}

/// The entries that were seen.
#[derive(Default)]
pub(super) struct Table {
    slots: VecDeque<Slot>,
    bytes: Vec<u8>,
    /// Bytes at the start of `bytes` that belong to no entry any more.
    free: usize,
    /// Place of the first byte of `bytes`.
    base: u64,
    size: usize,
    max: usize,
}

impl fmt::Debug for Table {
    /// Without names and values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            slots, size, max, ..
        } = self;
        f.debug_struct("Table")
            .field("entries", &slots.len())
            .field("size", size)
            .field("max", max)
            .finish_non_exhaustive()
    }
}

impl Table {
    pub(super) fn new(max: usize) -> Self {
        let mut table = Self::default();
        table.max = max;
        table
    }

    /// Memory it takes, bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>()
    }

    /// The entry inserted so many insertions ago: name, if that is known, and value.
    pub(super) fn get(&self, age: usize) -> Option<(Option<&[u8]>, &[u8])> {
        let newest = self.slots.len().checked_sub(1)?;
        let slot = self.slots.get(newest.checked_sub(age)?)?;
        let from = usize::try_from(slot.at.checked_sub(self.base)?).ok()?;
        let entry = self.bytes.get(from..)?.get(..slot.len())?;
        let (name, value) = entry.split_at_checked(slot.name_len as usize)?;
        Some((slot.name_known.then_some(name), value))
    }

    pub(super) fn insert(&mut self, name: Option<&[u8]>, value: &[u8]) {
        let known = name.unwrap_or_default();
        let size = known.len() + value.len() + OVERHEAD;
        if size > self.max {
            // §4.4: that is how a table is emptied.
            self.clear();
            return;
        }
        self.evict(self.max - size);
        if self.free > self.bytes.len() / 2 {
            self.bytes.drain(..self.free);
            self.base += self.free as u64;
            // What was moved down is still above its new end.
            let end = self.bytes.len();
            self.bytes.resize(end + self.free, 0);
            self.bytes.truncate(end);
            self.free = 0;
        }
        let at = self.base + self.bytes.len() as u64;
        self.bytes.extend_from_slice(known);
        self.bytes.extend_from_slice(value);
        self.size += size;
        self.slots.push_back(Slot {
            // Not above the largest table.
            name_len: known.len() as u32,
            value_len: value.len() as u32,
            at,
            name_known: name.is_some(),
        });
    }

    /// Sets the largest size and evicts what does not fit.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.evict(max);
    }

    /// Evicts entries, oldest first, until no more than `room` is taken.
    fn evict(&mut self, room: usize) {
        while self.size > room
            && let Some(slot) = self.slots.pop_front()
        {
            let len = slot.len();
            self.size = self.size.saturating_sub(len + OVERHEAD);
            if let Some(bytes) = self.bytes.get_mut(self.free..self.free + len) {
                bytes.fill(0);
            }
            self.free += len;
        }
        if self.slots.is_empty() {
            self.clear();
        }
    }

    /// Forgets every entry.
    pub(super) fn clear(&mut self) {
        self.wipe();
        self.base += self.bytes.len() as u64;
        self.bytes.clear();
        self.slots.clear();
        self.free = 0;
        self.size = 0;
    }

    /// Forgets every entry and frees its memory.
    pub(super) fn release(&mut self) {
        self.wipe();
        *self = Self::new(self.max);
    }

    fn wipe(&mut self) {
        self.bytes.fill(0);
        black_box(&self.bytes);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_make_room() {
        let mut table = Table::new(100);
        table.insert(Some(b"a"), b"1");
        table.insert(Some(b"b"), b"22");
        assert_eq!(table.get(0), Some((Some(&b"b"[..]), &b"22"[..])));
        assert_eq!(table.get(1), Some((Some(&b"a"[..]), &b"1"[..])));
        table.insert(None, b"3");
        assert_eq!(table.get(0), Some((None, &b"3"[..])));
        assert_eq!(table.get(1), Some((Some(&b"b"[..]), &b"22"[..])));
        assert_eq!(table.get(2), None);
        table.resize(40);
        assert_eq!(table.get(1), None);
        table.insert(Some(b"name"), b"too long");
        assert_eq!(table.get(0), None);
        assert_eq!(table.size, 0);
    }

    #[test]
    fn nothing_of_an_evicted_entry_is_left_in_memory() {
        let mut table = Table::new(200);
        table.insert(Some(b"authorization"), b"s3cr3t");
        for _ in 0..4 {
            table.insert(Some(b"other-field"), b"longer value");
        }
        let all = |table: &mut Table| {
            let capacity = table.bytes.capacity();
            let len = table.bytes.len();
            table.bytes.resize(capacity, 0);
            let found = memchr::memmem::find(&table.bytes, b"s3cr3t").is_some();
            table.bytes.truncate(len);
            found
        };
        assert!(!all(&mut table));
    }

    #[test]
    fn memory_stays_bounded_over_many_insertions() {
        let mut table = Table::new(DEFAULT_TABLE);
        for round in 0..100_000u32 {
            table.insert(Some(b"name"), &round.to_be_bytes());
            assert_eq!(table.get(0).unwrap().1, round.to_be_bytes());
        }
        assert!(table.memory() < 4 * DEFAULT_TABLE, "{}", table.memory());
    }
}
