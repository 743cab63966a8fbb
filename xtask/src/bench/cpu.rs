//! CPU time and peak memory of a process, from `/proc`.
//!
//! In: a process id. Out: seconds and bytes. It never samples in the background.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Reads CPU times; the kernel counts them in ticks.
pub struct CpuClock {
    ticks_per_second: f64,
}

impl CpuClock {
    /// Asks the system for the length of a tick.
    pub fn new() -> Result<Self> {
        let output = Command::new("getconf")
            .arg("CLK_TCK")
            .output()
            .context("start getconf")?;
        let ticks_per_second = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .context("read the length of a clock tick from getconf CLK_TCK")?;
        Ok(Self { ticks_per_second })
    }

    /// User and system time of all threads of a process so far, in seconds.
    pub fn seconds(&self, pid: u32) -> Result<f64> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let ticks = ticks(&text).with_context(|| format!("{path} has no CPU times"))?;
        Ok(ticks / self.ticks_per_second)
    }
}

/// Fields 14 and 15 of `/proc/PID/stat` (proc(5)): `utime` and `stime`. The name in
/// field 2 may hold spaces and parentheses, so counting starts behind it.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Time on a processor of all threads of a process so far, in seconds, as exactly as the scheduler
/// knows it (kernel `Documentation/scheduler/sched-stats.rst`).
pub fn exact_seconds(pid: u32) -> Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0.0;
    for thread in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        let path = thread.with_context(|| format!("read {folder}"))?.path();
        let text = fs::read_to_string(path.join("schedstat")).context("read schedstat")?;
        let ns: f64 = text
            .split(' ')
            .next()
            .and_then(|ns| ns.parse().ok())
            .context("schedstat has no times")?;
        sum += ns / 1e9;
    }
    Ok(sum)
}

/// Memory a process has resident now (`VmRSS`), in bytes.
pub fn resident_memory(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// Memory of the kernel's maps that a process holds, in bytes, as the kernel tells it.
pub fn map_memory(pid: u32) -> Result<u64> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut sum = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        let path = entry.with_context(|| format!("read {folder}"))?.path();
        // One that closes meanwhile is none.
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains("map_type:") {
            let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:"));
            sum += bytes
                .and_then(|it| it.trim().parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    Ok(sum)
}

/// The most memory a process ever had resident (`VmHWM`), in bytes.
pub fn peak_memory(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse().ok())
        .with_context(|| format!("{path} has no {field}"))?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::{CpuClock, peak_memory, ticks};

    #[test]
    fn a_process_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 120 34 0 0";
        assert_eq!(ticks(stat), Some(154.0));
    }

    #[test]
    fn this_process_has_memory_and_a_clock() {
        let me = std::process::id();
        assert!(peak_memory(me).unwrap() > 4096);
        assert!(CpuClock::new().unwrap().seconds(me).unwrap() >= 0.0);
    }
}
