//! The load: wrk with one thread and keep-alive connections.
//!
//! In: a URL and a time. Out: requests per second, and errors as errors. It never
//! runs longer than asked for.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Open connections: enough to keep one worker busy, few enough for its caches.
const CONNECTIONS: &str = "-c32";

/// Runs wrk on the second CPU (if `pinned`) and returns requests per second.
pub fn load(url: &str, seconds: u32, pinned: bool) -> Result<f64> {
    let summary = run(&[], url, seconds, pinned)?;
    requests_per_second(&summary).with_context(|| format!("wrk on {url}:\n{summary}"))
}

/// The same with a new connection for each request. A request that waits for more than two seconds,
/// as happens on a host that does other things too, is no fault here: connections come and go all
/// the same.
pub fn churn(url: &str, seconds: u32, pinned: bool) -> Result<f64> {
    let summary = run(&["-H", "Connection: close"], url, seconds, pinned)?;
    const LATE: &str = "Socket errors: connect 0, read 0, write 0, timeout ";
    let kept = summary.lines().filter(|line| !line.contains(LATE));
    let summary: String = kept.flat_map(|line| [line, "\n"]).collect();
    requests_per_second(&summary).with_context(|| format!("wrk on {url}:\n{summary}"))
}

fn run(more: &[&str], url: &str, seconds: u32, pinned: bool) -> Result<String> {
    let mut command = if pinned {
        let mut taskset = Command::new("taskset");
        taskset.args(["-c", "1", "wrk"]);
        taskset
    } else {
        Command::new("wrk")
    };
    let output = command
        .args(more)
        .args(["-t1", CONNECTIONS, &format!("-d{seconds}s"), url])
        .output()
        .context("start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("wrk failed on {url}: {}", said.trim_end());
    }
    Ok(text.into_owned())
}

/// Reads wrk's summary. A run with errors measures something else, so it is refused.
fn requests_per_second(summary: &str) -> Result<f64> {
    for trouble in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(line) = summary.lines().find(|line| line.contains(trouble)) {
            bail!("the load ran into errors: {}", line.trim());
        }
    }
    summary
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .and_then(|value| value.trim().parse().ok())
        .context("no line Requests/sec")
}

#[cfg(test)]
mod tests {
    use super::requests_per_second;

    #[test]
    fn a_clean_run_gives_its_rate_and_one_with_errors_none() {
        let clean = "  308123 requests in 3.00s, 42.1MB read\nRequests/sec: 102676.99\n";
        assert_eq!(requests_per_second(clean).unwrap(), 102_676.99);
        let broken = format!("  Socket errors: connect 0, read 3, write 0, timeout 0\n{clean}");
        assert!(requests_per_second(&broken).is_err());
    }
}
