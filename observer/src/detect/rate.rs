//! A count over a sliding window, in constant memory.

/// Parts of a window: the window slides by an eighth of itself.
const SLOTS: u64 = 8;

/// Counts events of the last window. Times may go back within the window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    slots: [u32; SLOTS as usize],
    head: u64,
}

impl Rate {
    /// Counts `n` more, and returns how many fell in the window before `now`.
    pub(super) fn add(&mut self, now: u64, window: u64, n: u32) -> u64 {
        let slot = self.turn(now, window);
        if let Some(count) = usize::try_from(slot % SLOTS)
            .ok()
            .and_then(|at| self.slots.get_mut(at))
        {
            *count = count.saturating_add(n);
        }
        self.sum()
    }

    /// How many fell in the window before `now`.
    pub(super) fn at(&mut self, now: u64, window: u64) -> u64 {
        self.turn(now, window);
        self.sum()
    }

    fn sum(&self) -> u64 {
        self.slots.iter().map(|count| u64::from(*count)).sum()
    }

    /// Moves on to `now`; returns the slot to count in.
    fn turn(&mut self, now: u64, window: u64) -> u64 {
        let slot = now / (window / SLOTS).max(1);
        if slot >= self.head + SLOTS || slot + SLOTS <= self.head {
            // A whole window went by, or this is another recording.
            self.slots = [0; SLOTS as usize];
            self.head = slot;
        }
        while self.head < slot {
            self.head += 1;
            if let Some(count) = usize::try_from(self.head % SLOTS)
                .ok()
                .and_then(|at| self.slots.get_mut(at))
            {
                *count = 0;
            }
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn what_is_older_than_the_window_no_longer_counts() {
        let mut rate = Rate::default();
        for now in 0..20 {
            rate.add(now, 80, 1);
        }
        assert_eq!(rate.at(20, 80), 20);
        assert_eq!(rate.at(85, 80), 10);
        assert_eq!(rate.at(200, 80), 0);
        assert_eq!(rate.add(199, 80, 3), 3);
        assert_eq!(rate.add(3, 80, 1), 1);
    }
}
