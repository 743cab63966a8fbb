//! Hours, days and months of the calendar, in UTC.

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 86_400;

/// A part of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From minute 0.
    Hour,
    /// From midnight UTC.
    Day,
    /// From the first, midnight UTC.
    Month,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The word used in settings and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The one of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// The number of the period that a time is in: hours or days since 1970, or months since
    /// March of year 0.
    pub const fn number(self, unix_ns: u64) -> u64 {
        let seconds = unix_ns / 1_000_000_000;
        match self {
            Self::Hour => seconds / HOUR_S,
            Self::Day => seconds / DAY_S,
            Self::Month => month(seconds / DAY_S),
        }
    }
}

/// Months since March of year 0 of a day since 1970. Years begin in March, so that a leap day is
/// their last; 400 years have 146,097 days.
const fn month(day: u64) -> u64 {
    // From 0000-03-01 to 1970-01-01.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    (era * 400 + year) * 12 + (5 * day + 2) / 153
}

#[cfg(test)]
mod tests {
    use super::Period;

    /// 2026-11-22T10:20:30Z.
    const NOW: u64 = 1_795_342_830;
    const DAY: u64 = 86_400;

    fn month(seconds: u64) -> u64 {
        Period::Month.number(seconds * 1_000_000_000)
    }

    #[test]
    fn months_end_where_the_calendar_says() {
        let midnight = NOW - NOW % DAY;
        let first = midnight - 21 * DAY;
        assert_eq!(month(first), month(NOW));
        assert_eq!(month(first - 1) + 1, month(NOW));
        assert_eq!(month(first + 30 * DAY - 1), month(NOW));
        assert_eq!(month(first + 30 * DAY), month(NOW) + 1);
        // 2024-02-29 is of February, the day after is not; 2100 has no leap day.
        let leap = 1_709_164_800;
        assert_eq!(month(leap - 28 * DAY), month(leap));
        assert_eq!(month(leap + DAY), month(leap) + 1);
        let february_2100 = 4_105_123_200;
        assert_eq!(month(february_2100 + 27 * DAY), month(february_2100));
        assert_eq!(month(february_2100 + 28 * DAY), month(february_2100) + 1);
        // Twelve to a year, from the first day on.
        assert_eq!(month(365 * DAY), month(0) + 12);
    }

    #[test]
    fn hours_and_days_begin_at_zero() {
        assert_eq!(Period::Day.number(NOW * 1_000_000_000), NOW / DAY);
        assert_eq!(Period::Hour.number(NOW * 1_000_000_000), NOW / 3600);
        assert_eq!(Period::named("day"), Some(Period::Day));
        assert_eq!(Period::named("week"), None);
    }
}
