//! Sums over a sliding window, in constant memory and time.

/// Parts of a window: it slides by an eighth of itself, so a sum covers the last seven to eight
/// eighths.
const SLOTS: usize = 8;

/// `N` sums over the last window. Times may go back within the window. What is kept does not know
/// how long its window is: each step is told, nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sliding<const N: usize> {
    slots: [[u64; N]; SLOTS],
    /// Number of the newest slot since 1970.
    head: u64,
    sum: [u64; N],
    peak: u64,
}

impl<const N: usize> Default for Sliding<N> {
    fn default() -> Self {
        Self {
            slots: [[0; N]; SLOTS],
            head: 0,
            sum: [0; N],
            peak: 0,
        }
    }
}

/// The slot of a time, counted since 1970, where a window has this length.
pub(super) fn slot(now: u64, window: u64) -> u64 {
    now / (window / SLOTS as u64).max(1)
}

fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

impl<const N: usize> Sliding<N> {
    /// Adds, and returns the sums over the window before `now`.
    pub fn add(&mut self, now: u64, window: u64, more: [u64; N]) -> [u64; N] {
        self.add_in(slot(now, window), more)
    }

    /// The same, of a time whose slot is known.
    pub(super) fn add_in(&mut self, slot: u64, more: [u64; N]) -> [u64; N] {
        self.turn(slot);
        if let Some(own) = self.slots.get_mut(place(slot)) {
            for (own, more) in own.iter_mut().zip(more) {
                *own = own.saturating_add(more);
            }
        }
        for (sum, more) in self.sum.iter_mut().zip(more) {
            *sum = sum.saturating_add(more);
        }
        let first = self.sum.first().copied().unwrap_or(0);
        self.peak = self.peak.max(first);
        self.sum
    }

    /// The sums over the window before `now`.
    pub fn at(&mut self, now: u64, window: u64) -> [u64; N] {
        self.turn(slot(now, window));
        self.sum
    }

    /// The largest first sum that any window had.
    pub const fn peak(&self) -> u64 {
        self.peak
    }

    /// Moves on to a slot.
    fn turn(&mut self, slot: u64) {
        const ALL: u64 = SLOTS as u64;
        if slot >= self.head.saturating_add(ALL) || slot.saturating_add(ALL) <= self.head {
            // A whole window went by, or this is another recording.
            self.slots = [[0; N]; SLOTS];
            self.sum = [0; N];
            self.head = slot;
        }
        while self.head < slot {
            self.head += 1;
            if let Some(old) = self.slots.get_mut(place(self.head)) {
                for (sum, old) in self.sum.iter_mut().zip(old.iter_mut()) {
                    *sum = sum.saturating_sub(std::mem::take(old));
                }
            }
        }
    }

    /// As numbers, for a file: the newest slot, the peak, and the slots.
    pub fn to_numbers(&self) -> Vec<u64> {
        let Self {
            slots,
            head,
            sum: _,
            peak,
        } = self;
        let mut numbers = vec![*head, *peak];
        numbers.extend(slots.iter().flatten());
        numbers
    }

    /// From such numbers; `None` if they are not of this form.
    pub fn from_numbers(numbers: &[u64]) -> Option<Self> {
        let (&[head, peak], rest) = numbers.split_first_chunk::<2>()?;
        let (given, &[]) = rest.as_chunks::<N>() else {
            return None;
        };
        let slots: [[u64; N]; SLOTS] = given.try_into().ok()?;
        let mut sum = [0_u64; N];
        for slot in &slots {
            for (sum, more) in sum.iter_mut().zip(slot) {
                *sum = sum.saturating_add(*more);
            }
        }
        Some(Self {
            slots,
            head,
            sum,
            peak,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Sliding;

    #[test]
    fn what_is_older_than_the_window_no_longer_counts_and_the_peak_stays() {
        let mut sliding = Sliding::<2>::default();
        for now in 0..20 {
            sliding.add(now, 80, [1, 10]);
        }
        assert_eq!(sliding.at(20, 80), [20, 200]);
        assert_eq!(sliding.at(85, 80), [10, 100]);
        assert_eq!(sliding.at(200, 80), [0, 0]);
        assert_eq!(sliding.add(199, 80, [3, 0]), [3, 0]);
        assert_eq!(sliding.peak(), 20);
        // Another recording.
        assert_eq!(sliding.add(3, 80, [1, 1]), [1, 1]);
    }

    #[test]
    fn numbers_give_the_same_window_back() {
        let mut sliding = Sliding::<1>::default();
        for now in [5, 30, 31, 79] {
            sliding.add(now, 80, [2]);
        }
        let numbers = sliding.to_numbers();
        let mut back = Sliding::<1>::from_numbers(&numbers).unwrap();
        assert_eq!(back, sliding);
        assert_eq!(back.at(100, 80), sliding.at(100, 80));
        assert_eq!(Sliding::<1>::from_numbers(&numbers[1..]), None);
        assert_eq!(Sliding::<4>::from_numbers(&[]), None);
    }

    #[test]
    fn times_and_counts_without_bounds_do_no_harm() {
        let mut sliding = Sliding::<1>::default();
        for now in [u64::MAX, 0, u64::MAX / 2] {
            for window in [0, 1, u64::MAX] {
                sliding.add(now, window, [u64::MAX]);
            }
        }
        assert_eq!(sliding.peak(), u64::MAX);
    }
}
