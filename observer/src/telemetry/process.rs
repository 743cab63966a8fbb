//! The agent's own cost, read from `/proc/self` at each scrape.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks a second in `/proc/*/stat`: USER_HZ, part of the kernel's interface to user space
/// and 100 on every architecture the agent is built for (`include/asm-generic/param.h`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Gives `process_…` with the names that Prometheus clients share.
#[derive(Debug)]
pub(super) struct ProcessCollector;

#[derive(Debug, Default, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    start_ticks: f64,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let status = read("/proc/self/status").unwrap_or_default();
        let stat = read("/proc/self/stat").and_then(|text| parse_stat(&text));
        let boot = read("/proc/stat").and_then(|text| field(&text, "btime "));
        let open_fds = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        let max_fds = read("/proc/self/limits").and_then(|text| field(&text, "Max open files "));

        if let Some(stat) = &stat {
            let counter = ConstCounter::new(stat.cpu_seconds);
            let help = "User and system CPU time spent, in seconds";
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let start = stat
            .zip(boot)
            .map(|(stat, boot)| boot + stat.start_ticks / TICKS_PER_SECOND);
        #[expect(
            clippy::cast_precision_loss,
            reason = "there are fewer than 2^53 descriptors"
        )]
        let open_fds = open_fds.map(|count| count as f64);
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Resident memory, in bytes",
                field(&status, "VmRSS:").map(|kib| kib * 1024.0),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory, in bytes",
                field(&status, "VmSize:").map(|kib| kib * 1024.0),
            ),
            ("process_threads", "Threads", field(&status, "Threads:")),
            ("process_open_fds", "Open file descriptors", open_fds),
            (
                "process_max_fds",
                "File descriptors that may be open at once",
                max_fds,
            ),
            (
                "process_start_time_seconds",
                "Start of the process, Unix time in seconds",
                start,
            ),
        ] {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(
                    name,
                    help,
                    None,
                    gauge.metric_type(),
                )?)?;
            }
        }
        Ok(())
    }
}

/// The first number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// proc(5): the name in parentheses may hold anything, so fields count from its end. 14 and 15
/// are user and system time, 22 the start.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (number(14)? + number(15)?) / TICKS_PER_SECOND,
        start_ticks: number(22)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Stat, field, parse_stat};

    #[test]
    fn fields_are_found_after_a_name_that_holds_anything() {
        let text = "7 (a) b (c) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 4200 1 2 3";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                cpu_seconds: 2.0,
                start_ticks: 4200.0
            })
        );
        assert_eq!(parse_stat("7 (a"), None);
        assert_eq!(parse_stat(""), None);
        assert_eq!(field("VmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048.0));
        assert_eq!(
            field("Max open files            unlimited\n", "Max open files "),
            None
        );
    }
}
