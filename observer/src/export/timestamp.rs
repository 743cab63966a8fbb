//! Unix times as RFC 3339, in UTC. Written by hand: the table and JSON lines do it for each call.

use std::fmt::Write as _;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar: whole
/// cycles of 400 years (146,097 days) are counted from 0000-03-01, so that a leap day ends a year.
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Appends `2026-11-22T10:20:30.123456789Z`.
pub(crate) fn push_rfc3339(out: &mut String, unix_ns: u64) {
    let seconds = unix_ns / SECOND;
    let (year, month, day) = civil(seconds / DAY);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T");
    push_time_of_day(out, seconds);
    let _ = write!(out, ".{:09}Z", unix_ns % SECOND);
}

/// `2026-11-22T10:20:30.123456789Z`.
pub(crate) fn rfc3339(unix_ns: u64) -> String {
    let mut out = String::new();
    push_rfc3339(&mut out, unix_ns);
    out
}

/// Appends `10:20:30.123`.
pub(super) fn push_clock_ms(out: &mut String, unix_ns: u64) {
    push_time_of_day(out, unix_ns / SECOND);
    let _ = write!(out, ".{:03}", unix_ns % SECOND / 1_000_000);
}

/// Appends `10:20:30`.
pub(super) fn push_clock(out: &mut String, unix_ns: u64) {
    push_time_of_day(out, unix_ns / SECOND);
}

fn push_time_of_day(out: &mut String, seconds: u64) {
    let second = seconds % DAY;
    let _ = write!(
        out,
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
}

#[cfg(test)]
mod tests {
    use super::push_rfc3339;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    fn rfc3339(unix_ns: u64) -> String {
        let mut out = String::new();
        push_rfc3339(&mut out, unix_ns);
        out
    }

    #[test]
    fn times_agree_with_the_time_crate_over_five_centuries() {
        let mut unix_ns = 0u64;
        while unix_ns < u64::MAX - 40_000_000_000_000_000 {
            let expected = OffsetDateTime::from_unix_timestamp((unix_ns / 1_000_000_000) as i64)
                .unwrap()
                .format(&Rfc3339)
                .unwrap();
            assert_eq!(rfc3339(unix_ns)[..19], expected[..19]);
            unix_ns += 13 * 3_600_000_000_000 + 61_000_000_007;
        }
        assert_eq!(
            rfc3339(1_795_342_830_123_456_789),
            "2026-11-22T10:20:30.123456789Z"
        );
        assert_eq!(
            rfc3339(951_782_400_000_000_001),
            "2000-02-29T00:00:00.000000001Z"
        );
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }
}
