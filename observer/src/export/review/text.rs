//! A review as text.

use std::fmt::Write as _;

use super::{headline, integrity, moment};
use crate::audit::{Event, Review, Row};
use crate::export::{Grid, terminal_text};

/// Lines of findings and events shown; the page shows more.
const MOST_EVENTS: usize = 20;

/// The review as text of at most `width` columns.
pub fn review_text(review: &Review, width: Option<usize>) -> String {
    let mut out = format!(
        "Review of {} to {}\n\n",
        moment(review.from_ms),
        moment(review.to_ms)
    );
    for (name, value, notable) in headline(review) {
        let mark = if notable { "  <--" } else { "" };
        let _ = writeln!(out, "{name:20} {value}{mark}");
    }
    let _ = writeln!(
        out,
        "{:20} {}",
        "audit log",
        terminal_text(&integrity(review))
    );
    for (title, rows) in [
        ("SERVICE", &review.services),
        ("ENDPOINT", &review.routes),
        ("CALLER", &review.callers),
        ("CLIENT", &review.clients),
    ] {
        section(&mut out, title, rows, width);
    }
    for (title, counts) in [
        ("CREDENTIALS", &review.outcomes),
        ("CALLERS KNOWN FOR", &review.ages),
        ("FINDINGS BY RULE", &review.rules),
    ] {
        if counts.iter().all(|(_, count)| *count == 0) {
            continue;
        }
        let mut grid = Grid::new(&["COUNT", title]);
        for (name, count) in counts {
            grid.push(vec![count.to_string(), name.clone()]);
        }
        out.push('\n');
        out.push_str(&grid.render(width));
    }
    events(&mut out, "FINDING", &review.findings, width);
    events(&mut out, "EVENT", &review.events, width);
    out
}

fn section(out: &mut String, title: &str, rows: &[Row], width: Option<usize>) {
    if rows.is_empty() {
        return;
    }
    let mut grid = Grid::new(&["CALLS", "FAILED", "NEW", title]);
    for row in rows {
        let Row {
            name,
            calls,
            failed,
            new,
        } = row;
        let new = if *new { "new" } else { "" };
        grid.push(vec![
            calls.to_string(),
            failed.to_string(),
            new.to_owned(),
            name.clone(),
        ]);
    }
    out.push('\n');
    out.push_str(&grid.render(width));
}

fn events(out: &mut String, title: &str, events: &[Event], width: Option<usize>) {
    if events.is_empty() {
        return;
    }
    let mut grid = Grid::new(&["TIME", title, "WHAT"]);
    let skipped = events.len().saturating_sub(MOST_EVENTS);
    for event in events.iter().skip(skipped) {
        grid.push(vec![
            moment(event.time_ms),
            event.name.clone(),
            event.what.clone(),
        ]);
    }
    out.push('\n');
    out.push_str(&grid.render(width));
}
