//! Limits that would have hindered nobody who behaved.

use super::ranking::Ranking;
use super::row::{Row, WINDOWS};

/// Fewer keys show no habit.
const FEWEST: usize = 5;
/// Room above what the busiest but one in a hundred did, per cent.
const ROOM: u64 = 50;

/// What one window's largest uses were, over all keys, and the limit that follows, in calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Length of the window, seconds.
    pub window_s: u64,
    /// Keys that were looked at.
    pub keys: usize,
    /// Half of the keys never had more calls in any such window.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// Ninety-nine of a hundred.
    pub p99: u64,
    /// Half as much again as `p99`, in round figures; `None` where too few keys were seen.
    pub limit: Option<u64>,
}

/// For each window of usage.
pub fn advise(ranking: &Ranking) -> [Advice; 3] {
    let mut peaks: [Vec<u64>; 3] = Default::default();
    for row in ranking.rows() {
        for (all, peak) in peaks.iter_mut().zip(Row::peaks(row)) {
            all.push(peak);
        }
    }
    let mut advice = [Advice {
        window_s: 0,
        keys: 0,
        p50: 0,
        p90: 0,
        p99: 0,
        limit: None,
    }; 3];
    for ((to, mut all), window) in advice.iter_mut().zip(peaks).zip(WINDOWS) {
        all.sort_unstable();
        let p99 = quantile(&all, 99);
        *to = Advice {
            window_s: window.as_secs(),
            keys: all.len(),
            p50: quantile(&all, 50),
            p90: quantile(&all, 90),
            p99,
            limit: (all.len() >= FEWEST)
                .then(|| round_up(p99.saturating_add(p99.saturating_mul(ROOM).div_ceil(100)))),
        };
    }
    advice
}

/// The smallest value that so many per cent do not exceed.
fn quantile(sorted: &[u64], per_cent: usize) -> u64 {
    let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

/// Up to two digits and zeros.
fn round_up(value: u64) -> u64 {
    let mut unit = 1_u64;
    while value / unit >= 100 {
        unit = unit.saturating_mul(10);
    }
    value.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::{advise, quantile, round_up};
    use crate::usage::Measured;
    use crate::usage::moment::Moment;
    use crate::usage::ranking::Ranking;

    #[test]
    fn the_limit_lies_above_what_nearly_all_did() {
        let mut ranking = Ranking::new(500);
        let minute = 60_000_000_000;
        // A hundred callers; the busiest call a hundred times in their best minute.
        let one = Measured {
            calls: 1,
            ..Measured::default()
        };
        for caller in 1..=100_u64 {
            for _ in 0..caller {
                let moment = Moment::at(minute * 8);
                ranking.push(caller, || caller.to_string().into(), &moment, one);
            }
            // And less later.
            for at in 20..40 {
                let moment = Moment::at(minute * at);
                ranking.push(caller, || unreachable!(), &moment, one);
            }
        }
        let [in_a_minute, in_an_hour, _] = advise(&ranking);
        assert_eq!(
            (in_a_minute.p50, in_a_minute.p90, in_a_minute.p99),
            (50, 90, 99)
        );
        assert_eq!(in_a_minute.limit, Some(150));
        assert!(in_an_hour.p99 >= 99);
        assert_eq!(advise(&Ranking::new(5))[0].limit, None);
    }

    #[test]
    fn quantiles_and_round_figures() {
        assert_eq!(quantile(&[], 50), 0);
        assert_eq!(quantile(&[7], 99), 7);
        let rounded = [0, 9, 99, 101, 149, 1_501, 123_456].map(round_up);
        assert_eq!(rounded, [0, 9, 99, 110, 150, 1_600, 130_000]);
    }
}
