//! The two text formats that scrapers ask for.

use std::fmt::Write as _;

/// Format of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4, for whoever does not ask for OpenMetrics.
    Text,
}

impl Exposition {
    /// The format an `Accept` header asks for (RFC 9110 §12.5.1).
    pub fn negotiate(accept: Option<&str>) -> Self {
        let wants_open_metrics = accept.unwrap_or_default().split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let refused = |part: &str| {
                let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty())
            };
            parts
                .next()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"))
                && !parts.any(refused)
        });
        if wants_open_metrics {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The media type of the answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Turns OpenMetrics into the older text format: there the name of a counter's family carries
/// `_total` too, and units and the end are not marked.
pub(super) fn to_text(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len() + 1024);
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                let _ = writeln!(out, "# HELP {name}{suffix} {text}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Exposition, to_text};

    #[test]
    fn scrapers_get_the_format_they_ask_for() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(
            Exposition::negotiate(Some(prometheus)),
            Exposition::OpenMetrics
        );
        for accept in [
            None,
            Some("*/*"),
            Some("text/plain"),
            Some("application/openmetrics-text;q=0.0"),
        ] {
            assert_eq!(
                Exposition::negotiate(accept),
                Exposition::Text,
                "{accept:?}"
            );
        }
    }

    #[test]
    fn counters_are_named_in_full_in_the_older_format() {
        let text = to_text(
            "# HELP a_calls Calls.\n# TYPE a_calls counter\na_calls_total{b=\"# EOF\"} 1\n\
             # HELP g_seconds G.\n# TYPE g_seconds gauge\n# UNIT g_seconds seconds\ng_seconds 2\n# EOF\n",
        );
        assert_eq!(
            text,
            "# HELP a_calls_total Calls.\n# TYPE a_calls_total counter\na_calls_total{b=\"# EOF\"} 1\n\
             # HELP g_seconds G.\n# TYPE g_seconds gauge\ng_seconds 2\n"
        );
    }
}
