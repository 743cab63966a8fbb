//! A review as one HTML page: plots as SVG, no script, nothing to load.

use std::fmt::Write as _;

use super::{headline, integrity, moment, percent};
use crate::audit::{Event, Review, Row};

/// Looks; light and dark.
const STYLE: &str = include_str!("page.css");
/// Size of the plot over time, in its own units.
const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 160.0;

/// The review as a page.
pub fn review_page(review: &Review) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>API review</title>\n<style>\n",
    );
    out.push_str(STYLE);
    out.push_str("</style>\n</head>\n<body>\n<main>\n<h1>API review</h1>\n");
    let _ = writeln!(
        out,
        "<p>{} to {}</p>\n<div class=\"cards\">",
        moment(review.from_ms),
        moment(review.to_ms)
    );
    for (name, value, notable) in headline(review) {
        let class = if notable { "card notable" } else { "card" };
        let _ = writeln!(
            out,
            "<div class=\"{class}\"><b>{}</b><span>{name}</span></div>",
            escape(&value)
        );
    }
    out.push_str("</div>\n<div class=\"grid\">\n");
    let state = if review.integrity.good() {
        "good"
    } else {
        "bad"
    };
    let _ = writeln!(
        out,
        "<section class=\"wide {state}\"><h2>Audit log</h2>{}<br>Key {}</section>",
        escape(&integrity(review)),
        escape(&review.integrity.vkey)
    );
    timeline(&mut out, review);
    for (title, head, rows) in [
        ("Services", "service", &review.services),
        ("Endpoints", "endpoint", &review.routes),
        ("Callers", "caller", &review.callers),
        ("Client addresses", "address", &review.clients),
    ] {
        table(&mut out, title, head, rows);
    }
    bars(&mut out, "What became of credentials", &review.outcomes);
    bars(&mut out, "Callers by the time they are known", &review.ages);
    bars(&mut out, "Findings by rule", &review.rules);
    events(&mut out, "Newest findings", &review.findings);
    events(&mut out, "The agent and the log", &review.events);
    out.push_str("</div>\n</main>\n</body>\n</html>\n");
    out
}

/// Calls over time, the failed ones below.
fn timeline(out: &mut String, review: &Review) {
    let most = review.steps.iter().map(|step| step.0).max().unwrap_or(0);
    let _ = writeln!(
        out,
        "<section class=\"wide\"><h2>Calls over time, failed ones in red (at most {most} in a step)</h2>\n\
         <svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"calls over time\">",
        HEIGHT + 18.0
    );
    let width = WIDTH / review.steps.len().max(1) as f64;
    let scale = HEIGHT / most.max(1) as f64;
    for (at, (calls, failed)) in review.steps.iter().enumerate() {
        let x = at as f64 * width;
        let failed = (*failed).min(*calls);
        for (class, count, base) in [("ok", calls - failed, failed), ("fail", failed, 0)] {
            if count == 0 {
                continue;
            }
            let height = (count as f64 * scale).max(1.0);
            let y = HEIGHT - base as f64 * scale - height;
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                (width - 2.0).max(0.5)
            );
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"0\" y=\"{y}\">{}</text><text x=\"{WIDTH}\" y=\"{y}\" text-anchor=\"end\">{}</text></svg></section>",
        moment(review.from_ms),
        moment(review.to_ms),
        y = HEIGHT + 14.0
    );
}

fn table(out: &mut String, title: &str, head: &str, rows: &[Row]) {
    let _ = writeln!(out, "<section><h2>{title}</h2>");
    if rows.is_empty() {
        out.push_str("none</section>\n");
        return;
    }
    let _ = writeln!(
        out,
        "<table><tr><th>{head}</th><th class=\"n\">calls</th><th class=\"n\">failed</th><th></th></tr>"
    );
    for row in rows {
        let Row {
            name,
            calls,
            failed,
            new,
        } = row;
        let new = if *new { "new" } else { "" };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"n\">{calls}</td><td class=\"n\">{failed} ({})</td><td class=\"new\">{new}</td></tr>",
            escape(name),
            percent(*failed, *calls)
        );
    }
    out.push_str("</table></section>\n");
}

fn bars(out: &mut String, title: &str, counts: &[(String, u64)]) {
    /// Height of a bar with the space below it, and where it starts.
    const BAR: f64 = 22.0;
    const LEFT: f64 = 190.0;
    const ALL: f64 = 520.0;
    let _ = writeln!(out, "<section><h2>{title}</h2>");
    let most = counts.iter().map(|count| count.1).max().unwrap_or(0);
    if most == 0 {
        out.push_str("none</section>\n");
        return;
    }
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {ALL} {}\" role=\"img\" aria-label=\"{title}\">",
        counts.len() as f64 * BAR
    );
    for (at, (name, count)) in counts.iter().enumerate() {
        let y = at as f64 * BAR;
        let width = *count as f64 / most as f64 * (ALL - LEFT - 80.0);
        let _ = writeln!(
            out,
            "<text x=\"0\" y=\"{:.1}\">{}</text><rect class=\"ok\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"14\"/><text x=\"{:.1}\" y=\"{:.1}\">{count}</text>",
            y + 14.0,
            escape(name),
            y + 3.0,
            LEFT + width + 6.0,
            y + 14.0
        );
    }
    out.push_str("</svg></section>\n");
}

fn events(out: &mut String, title: &str, events: &[Event]) {
    let _ = writeln!(out, "<section class=\"wide\"><h2>{title}</h2>");
    if events.is_empty() {
        out.push_str("none</section>\n");
        return;
    }
    out.push_str("<table><tr><th>time</th><th>record</th><th>name</th><th>what</th></tr>\n");
    for event in events.iter().rev() {
        let Event {
            time_ms,
            index,
            name,
            severity,
            what,
        } = event;
        let _ = writeln!(
            out,
            "<tr><td class=\"t\">{}</td><td class=\"t\">{index}</td><td class=\"s{severity}\">{}</td><td>{}</td></tr>",
            moment(*time_ms),
            escape(name),
            escape(what)
        );
    }
    out.push_str("</table></section>\n");
}

/// Text as HTML, without control characters and marks that turn the direction of text.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            _ if c.is_control() => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}
