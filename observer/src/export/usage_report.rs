//! Usage as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::timestamp::rfc3339;
use crate::journal::KeptQuota;
use crate::usage::{
    Advice, CALENDAR, Dimension, Measured, Meter, Ranking, Row, WINDOWS, advise, human_bytes,
};

/// Narrowest terminal that is fitted.
const LEAST_WIDTH: usize = 80;
/// Columns besides the name.
const FIXED: usize = 9 * 8 + 12;
/// Widest and narrowest name.
const NAME: (usize, usize) = (18, 60);

/// What `observer usage` shows.
#[derive(Clone, Copy, Debug)]
pub struct UsageReport<'a> {
    /// All usage.
    pub meter: &'a Meter,
    /// What of it is shown, in this order.
    pub dimensions: &'a [Dimension],
    /// Quotas of the present, most used first.
    pub quotas: &'a [KeptQuota],
    /// Rows of each dimension.
    pub top: usize,
    /// Now, Unix nanoseconds.
    pub now_ns: u64,
}

/// Rows with most calls first.
fn ranked(ranking: &Ranking, top: usize) -> Vec<&Row> {
    let mut rows: Vec<&Row> = ranking.rows().collect();
    rows.sort_unstable_by(|a, b| {
        b.total
            .calls
            .cmp(&a.total.calls)
            .then_with(|| a.name.cmp(&b.name))
    });
    rows.truncate(top);
    rows
}

/// `60s`, `1h`, `24h`.
fn window_name(seconds: u64) -> String {
    if seconds.is_multiple_of(3600) {
        format!("{}h", seconds / 3600)
    } else {
        format!("{seconds}s")
    }
}

impl UsageReport<'_> {
    /// As a table, as wide as `width` columns where that is enough.
    pub fn text(&self, width: usize) -> String {
        let Self {
            meter,
            dimensions,
            quotas,
            top,
            now_ns: _,
        } = *self;
        let width = width.max(LEAST_WIDTH);
        let mut out = String::new();
        for &dimension in dimensions {
            let ranking = meter.ranking(dimension);
            self.section(dimension, ranking, width, &mut out);
            advice(dimension, &advise(ranking), &mut out);
            out.push('\n');
        }
        if !quotas.is_empty() {
            out.push_str("QUOTA                                             USED     LIMIT\n");
        }
        for quota in quotas.iter().take(top) {
            let what = format!("{} ({})", quota.name, quota.limit);
            let _ = writeln!(
                out,
                "{:<44} {:>9} {:>9}",
                cut(&what, 44),
                quota.used,
                quota.most
            );
        }
        out
    }

    fn section(&self, dimension: Dimension, ranking: &Ranking, width: usize, out: &mut String) {
        let rows = ranked(ranking, self.top);
        let longest = rows.iter().map(|row| row.name.chars().count()).max();
        let room = width.saturating_sub(FIXED).clamp(NAME.0, NAME.1);
        let name_width = longest.unwrap_or(0).clamp(NAME.0, room);
        let head = dimension.as_str().to_uppercase();
        let _ = writeln!(
            out,
            "{head:<name_width$} {:>11} {:>7} {:>7} {:>7} {:>8} {:>8} {:>7} {:>7} {:>7}",
            "CALLS", "60s", "1h", "24h", "TODAY", "MONTH", "BYTES", "ERRORS", "FAILED"
        );
        for row in rows {
            let [minute, hour, day] = row.windows(self.now_ns).map(|used| used.calls);
            let [today, month] = row.calendar(self.now_ns).map(|used| used.calls);
            let Measured {
                calls,
                bytes,
                errors,
                failures,
            } = row.total;
            let calls = match row.missed {
                0 => calls.to_string(),
                missed => format!("{calls}+{missed}"),
            };
            let _ = writeln!(
                out,
                "{:<name_width$} {calls:>11} {minute:>7} {hour:>7} {day:>7} {today:>8} {month:>8} {:>7} {errors:>7} {failures:>7}",
                cut(&row.name, name_width),
                human_bytes(bytes),
            );
        }
        let _ = writeln!(
            out,
            "{} of {} shown; {} calls in all; of what is not kept, none has more than {} calls",
            ranking.len().min(self.top),
            ranking.len(),
            ranking.total().calls,
            ranking.missed()
        );
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let Self {
            meter,
            dimensions,
            quotas,
            top,
            now_ns,
        } = *self;
        let mut all = Map::new();
        all.insert("time".to_owned(), json!(rfc3339(now_ns)));
        for &dimension in dimensions {
            let ranking = meter.ranking(dimension);
            let rows: Vec<Value> = ranked(ranking, top)
                .into_iter()
                .map(|row| row_json(row, now_ns))
                .collect();
            let section = json!({
                "total": measured(ranking.total()),
                "kept": ranking.len(),
                "calls_not_kept_at_most": ranking.missed(),
                "rows": rows,
                "recommended": advise(ranking).map(advice_json),
            });
            all.insert(dimension.as_str().to_owned(), section);
        }
        let quotas: Vec<Value> = quotas
            .iter()
            .map(|quota| {
                json!({
                    "limit": quota.limit,
                    "name": quota.name,
                    "used": quota.used,
                    "most": quota.most,
                })
            })
            .collect();
        all.insert("quotas".to_owned(), Value::Array(quotas));
        Value::Object(all)
    }
}

fn measured(measured: Measured) -> Value {
    let Measured {
        calls,
        bytes,
        errors,
        failures,
    } = measured;
    json!({ "calls": calls, "bytes": bytes, "errors": errors, "failures": failures })
}

fn row_json(row: &Row, now_ns: u64) -> Value {
    let mut told = measured(row.total);
    told["name"] = json!(&*row.name);
    told["calls_missed_at_most"] = json!(row.missed);
    told["first"] = json!(rfc3339(row.first_ns));
    told["last"] = json!(rfc3339(row.last_ns));
    let windows = row.windows(now_ns).into_iter().zip(row.peaks());
    for ((used, peak), window) in windows.zip(WINDOWS) {
        let name = window_name(window.as_secs());
        told[format!("last_{name}")] = measured(used);
        told[format!("most_calls_in_{name}")] = json!(peak);
    }
    for (used, period) in row.calendar(now_ns).into_iter().zip(CALENDAR) {
        told[format!("this_{}", period.as_str())] = measured(used);
    }
    told
}

fn advice_json(advice: Advice) -> Value {
    let Advice {
        window_s,
        keys,
        p50,
        p90,
        p99,
        limit,
    } = advice;
    json!({
        "window": window_name(window_s),
        "keys": keys,
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "limit": limit,
    })
}

fn advice(dimension: Dimension, all: &[Advice], out: &mut String) {
    for advice in all {
        let Some(limit) = advice.limit else {
            let _ = writeln!(
                out,
                "no limit is recommended yet: {} of a kind are too few to tell what is usual",
                advice.keys
            );
            return;
        };
        let _ = writeln!(
            out,
            "recommended: {limit} calls in {} for each {}; the most that each had: p50 {}, p90 {}, p99 {}",
            window_name(advice.window_s),
            dimension.as_str(),
            advice.p50,
            advice.p90,
            advice.p99
        );
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "~"
}

#[cfg(test)]
mod tests {
    use super::UsageReport;
    use crate::catalog::sample;
    use crate::journal::KeptQuota;
    use crate::usage::{Dimension, Meter};

    #[test]
    fn the_busiest_come_first_with_windows_bounds_and_advice() {
        let mut meter = Meter::default();
        let mut now_ns = 0;
        for client in 1..=6_u8 {
            for _ in 0..client {
                let mut call = sample::call("GET", "/a", Some(200));
                call.client = Some(([192, 0, 2, client], 4000).into());
                now_ns = call.time_unix_ns;
                meter.push(&call);
            }
        }
        let quotas = [KeptQuota {
            limit: "client calls day *".to_owned(),
            name: "192.0.2.6".to_owned(),
            period: 0,
            used: 6,
            most: 100,
        }];
        let report = UsageReport {
            meter: &meter,
            dimensions: &[Dimension::Client],
            quotas: &quotas,
            top: 2,
            now_ns,
        };
        let text = report.text(80);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("192.0.2.6                    6       6"),
            "{text}"
        );
        assert!(lines[2].starts_with("192.0.2.5 "), "{text}");
        assert!(
            lines[3].starts_with("2 of 6 shown; 21 calls in all"),
            "{text}"
        );
        assert!(
            lines[4].contains("recommended: 9 calls in 60s for each client"),
            "{text}"
        );
        assert!(text.ends_with("100\n"), "{text}");
        let json = report.json();
        let rows = json["client"]["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["last_60s"]["calls"], 6);
        assert_eq!(rows[0]["this_month"]["calls"], 6);
        assert_eq!(json["client"]["recommended"][0]["p50"], 3);
        assert_eq!(json["quotas"][0]["used"], 6);
        assert_eq!(json.get("service"), None);
    }
}
