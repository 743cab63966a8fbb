//! The table printed when a run or a replay ends.

use std::fmt::Write as _;

use super::totals::{Totals, Usage};

/// Rows printed; the rest is added up in one line.
const MAX_ROWS: usize = 40;
/// Columns of the two text fields, so that a line stays near 100 columns.
const SERVICE_WIDTH: usize = 20;
const ROUTE_WIDTH: usize = 44;

/// Usage as an aligned table, busiest routes first; empty if there were no calls.
pub fn summary(usage: &Usage) -> String {
    let mut rows: Vec<_> = usage.rows().collect();
    if rows.is_empty() {
        return String::new();
    }
    rows.sort_unstable_by(|a, b| b.2.calls.cmp(&a.2.calls).then((a.0, a.1).cmp(&(b.0, b.1))));
    let shown = rows.get(..MAX_ROWS).unwrap_or(&rows);

    let width = |text: fn(&(&str, &str, &Totals)) -> usize, least: usize, most: usize| {
        shown.iter().map(text).max().unwrap_or(0).clamp(least, most)
    };
    let service_width = width(|row| row.0.len(), "SERVICE".len(), SERVICE_WIDTH);
    let route_width = width(|row| row.1.len(), "ROUTE".len(), ROUTE_WIDTH);

    let mut out = String::with_capacity(128 * (shown.len() + 3));
    let line = |out: &mut String, service: &str, route: &str, cells: [String; 7]| {
        let [calls, client, server, none, auth, bytes_in, bytes_out] = cells;
        let service = fit(service, service_width);
        let route = fit(route, route_width);
        let _ = writeln!(
            out,
            "{service:<service_width$}  {route:<route_width$}  {calls:>9} {client:>8} {server:>8} \
             {none:>8} {auth:>9} {bytes_in:>9} {bytes_out:>9}"
        );
    };
    let heads = ["CALLS", "4XX", "5XX", "NO ANS", "AUTH FAIL", "IN", "OUT"];
    line(&mut out, "SERVICE", "ROUTE", heads.map(str::to_owned));
    for (service, route, totals) in shown {
        line(&mut out, service, route, cells(totals));
    }
    let rest = rows.len() - shown.len();
    if rest > 0 {
        let _ = writeln!(out, "({rest} more rows)");
    }
    line(&mut out, "TOTAL", "", cells(&usage.total()));
    out
}

fn cells(totals: &Totals) -> [String; 7] {
    let Totals {
        calls,
        request_bytes,
        response_bytes,
        client_errors,
        server_errors,
        unanswered,
        auth_failures,
    } = *totals;
    [
        calls.to_string(),
        client_errors.to_string(),
        server_errors.to_string(),
        unanswered.to_string(),
        auth_failures.to_string(),
        human_bytes(request_bytes),
        human_bytes(response_bytes),
    ]
}

fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars()
        .take(width.saturating_sub(1))
        .chain(['~'])
        .collect()
}

/// A size for people, at most six columns wide: `0`, `999`, `1.5K`, `23M`, `1.0G` (powers of 1024).
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if bytes < 1000 {
        return bytes.to_string();
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 'K';
    for next in UNITS.into_iter().skip(1) {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 9.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::{human_bytes, summary};
    use crate::catalog::sample;
    use crate::usage::Usage;

    fn usage(routes: &[(&str, &str, u16, usize)]) -> Usage {
        let mut usage = Usage::default();
        for &(service, route, status, times) in routes {
            let mut call = sample::call("GET", "/", Some(status));
            call.service = Some(service.into());
            call.route = Some(route.into());
            for _ in 0..times {
                usage.record(&call);
            }
        }
        usage
    }

    #[test]
    fn the_summary_lists_the_busiest_routes_first_and_a_total() {
        let text = summary(&usage(&[
            ("shop", "/a", 200, 2),
            ("shop", "/items/{id}", 404, 3),
        ]));
        assert_eq!(
            text,
            "SERVICE  ROUTE            CALLS      4XX      5XX   NO ANS AUTH FAIL        IN       OUT\n\
             shop     /items/{id}          3        3        0        0         0        30      6.0K\n\
             shop     /a                   2        0        0        0         0        20      4.0K\n\
             TOTAL                         5        3        0        0         0        50       10K\n"
        );
    }

    #[test]
    fn long_lists_and_names_are_cut() {
        let names: Vec<String> = (0..60).map(|n| format!("/{}{n}", "x".repeat(80))).collect();
        let rows: Vec<_> = names
            .iter()
            .map(|name| ("shop", name.as_str(), 200, 1))
            .collect();
        let text = summary(&usage(&rows));
        assert_eq!(text.lines().count(), 43);
        assert!(text.contains("(20 more rows)"));
        assert!(text.lines().all(|line| line.len() < 140));
        assert_eq!(summary(&Usage::default()), "");
    }

    #[test]
    fn sizes_take_few_columns() {
        let shown = [0, 999, 1000, 1536, 10_240, 1 << 20, 1_073_000_000, u64::MAX].map(human_bytes);
        assert_eq!(
            shown,
            ["0", "999", "1.0K", "1.5K", "10K", "1.0M", "1.0G", "16E"]
        );
    }
}
