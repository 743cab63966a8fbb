//! Reads the times that logs write.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Unix nanoseconds of `17/May/2015:10:05:03 +0000`, the time of the common log format.
pub(super) fn common(text: &str) -> Option<u64> {
    let (date, zone) = text.split_once(' ').unwrap_or((text, "+0000"));
    let mut parts = date.splitn(4, ['/', ':']);
    let day = number(parts.next()?)?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = number(parts.next()?)?;
    let seconds = clock(parts.next()?)?;
    let days = days(year, i64::try_from(month).ok()? + 1, day);
    nanoseconds(days * 86_400 - offset(zone)?, seconds)
}

/// Unix nanoseconds of an RFC 3339 time, or of one without zone, which is taken as UTC.
pub(super) fn rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-');
    let year = number(parts.next()?)?;
    let month = number(parts.next()?)?;
    let day = number(parts.next()?)?;
    let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at_checked(zone)?;
    let days = days(year, month, day);
    nanoseconds(days * 86_400 - offset(zone)?, clock(time)?)
}

fn nanoseconds(seconds: i64, clock: u64) -> Option<u64> {
    u64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(clock)
}

/// Nanoseconds of a day, of `10:05:03.123`.
fn clock(text: &str) -> Option<u64> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = text.splitn(3, ':');
    let mut seconds = 0;
    for _ in 0..3 {
        seconds = seconds * 60 + u64::try_from(number(parts.next()?)?).ok()?;
    }
    let digits = fraction.get(..fraction.len().min(9))?;
    let part: u64 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let scale = 10_u64.pow(9 - u32::try_from(digits.len()).ok()?);
    Some(seconds * 1_000_000_000 + part * scale)
}

/// Seconds east of UTC, of `+0200`, `+02:00`, `Z` or nothing.
fn offset(zone: &str) -> Option<i64> {
    let zone = zone.trim();
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4)?.parse().ok()?;
    Some(sign * (hours * 3600 + minutes * 60))
}

fn number(text: &str) -> Option<i64> {
    if text.len() > 4 {
        return None;
    }
    text.trim().parse().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{common, rfc3339};

    #[test]
    fn times_are_read_with_their_zones() {
        assert_eq!(
            common("17/May/2015:10:05:03 +0000"),
            Some(1_431_857_103_000_000_000)
        );
        assert_eq!(
            common("17/May/2015:12:05:03 +0200"),
            common("17/May/2015:10:05:03 +0000")
        );
        assert_eq!(
            rfc3339("2026-11-22T10:20:30.5Z"),
            Some(1_795_342_830_500_000_000)
        );
        assert_eq!(
            rfc3339("2026-11-22T09:20:30-01:00"),
            Some(1_795_342_830_000_000_000)
        );
        for text in [
            "",
            "x",
            "1/2",
            "99999-01-01T00:00:00Z",
            "2026-01-01T",
            "17/Foo/2015:1:2:3 +0",
        ] {
            assert_eq!((common(text), rfc3339(text)), (None, None), "{text}");
        }
    }
}
