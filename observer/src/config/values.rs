//! Values as people write them: times, sizes, addresses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Units of time with their length in milliseconds, longest first.
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// Units of size with their bytes, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
/// Time that a run may be limited to.
const RUN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(366 * 86_400);

/// Where metrics are served, or that they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// Nowhere.
    Off,
    /// On this address.
    At(SocketAddr),
}

impl From<MetricsAddress> for Option<SocketAddr> {
    fn from(address: MetricsAddress) -> Self {
        match address {
            MetricsAddress::Off => None,
            MetricsAddress::At(address) => Some(address),
        }
    }
}

/// Reads `off` or an address with a port.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_metrics(text: &str) -> Result<MetricsAddress, String> {
    if text == "off" {
        return Ok(MetricsAddress::Off);
    }
    text.parse().map(MetricsAddress::At).map_err(|_| {
        format!(
            "{} is not an address: use IP:PORT, such as 127.0.0.1:9464 or [::1]:9464, or off",
            quoted(text)
        )
    })
}

/// Reads the length of a run: `20s`, `5m`, or a number of seconds.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let time = if seconds {
        time(&format!("{text}s"))
    } else {
        time(text)
    }?;
    in_range(time, &RUN, show_time)
}

/// Reads a size: `16MiB`, or a number of bytes.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let bytes = if digits {
        text.parse().ok()
    } else {
        with_unit(text, &SIZE_UNITS)
    };
    bytes.ok_or_else(|| {
        format!(
            "{} is not a size: use a whole number with a unit (KiB, MiB, GiB), such as 16MiB",
            quoted(text)
        )
    })
}

/// Reads a time with its unit.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    with_unit(text, &TIME_UNITS)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!(
                "{} is not a time: use a whole number with a unit (ms, s, m, h, d), such as 60s",
                quoted(text)
            )
        })
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A value within its range, or a sentence with the range.
pub(super) fn in_range<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<T, String> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!(
            "{} is out of range: {} to {}",
            show(value),
            show(*range.start()),
            show(*range.end())
        ))
    }
}

/// The text of a time, in the largest unit that holds it whole.
pub(super) fn show_time(time: Duration) -> String {
    show(
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        &TIME_UNITS,
        "s",
    )
}

/// The text of a size, in the largest unit that holds it whole.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS, "B")
}

fn show(value: u64, units: &[(&str, u64)], zero: &str) -> String {
    let whole = units
        .iter()
        .find(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
    whole.map_or_else(
        || format!("0{zero}"),
        |(name, factor)| format!("{}{name}", value / factor),
    )
}

/// A value as it was given, short and harmless.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 40;
    let short: String = text.chars().take(MOST).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::{
        MetricsAddress, parse_duration, parse_metrics, parse_size, show_size, show_time, time,
    };
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn times_and_sizes_are_read_and_shown() {
        assert_eq!(time("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("20"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_duration("2 h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_size("16MiB"), Ok(16 << 20));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(show_time(Duration::from_secs(90)), "90s");
        assert_eq!(show_time(Duration::from_secs(120)), "2m");
        assert_eq!(show_size(16 << 20), "16MiB");
    }

    #[test]
    fn errors_say_what_is_accepted() {
        for text in [
            "",
            "s",
            "10",
            "-1s",
            "1.5s",
            "10 parsecs",
            "99999999999999999999s",
        ] {
            assert!(time(text).unwrap_err().contains("such as 60s"), "{text}");
        }
        assert_eq!(
            parse_duration("0s").unwrap_err(),
            "0s is out of range: 1s to 366d"
        );
        assert!(parse_size("16MB").unwrap_err().contains("MiB"));
        assert!(parse_metrics("9464").unwrap_err().contains("IP:PORT"));
        assert_eq!(parse_metrics("off"), Ok(MetricsAddress::Off));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_shown_reads_back(text in ".{0,20}", ms in 1u64..1 << 40) {
            let _ = (parse_duration(&text), parse_size(&text), parse_metrics(&text));
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(time(&show_time(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&show_size(ms)), Ok(ms));
        }
    }
}
