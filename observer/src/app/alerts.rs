//! `observer alerts`: what is open now.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::{complain, print};
use crate::alert::{Alert, read_open};
use crate::cli::Exit;
use crate::export::{harden_json, rfc3339, terminal_text};

/// Lists the alerts that the agent with this state folder holds open.
pub(super) fn run(dir: &Path, json: bool) -> Exit {
    let mut alerts = match read_open(dir) {
        Ok(alerts) => alerts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            complain(&format!(
                "there are no alerts in {}: no agent ran with this state folder",
                dir.display()
            ));
            return Exit::Failed;
        }
        Err(error) => {
            complain(&format!(
                "cannot read the alerts in {}: {error}",
                dir.display()
            ));
            return Exit::Failed;
        }
    };
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.last_unix_ns));
    let mut out = String::new();
    for alert in &alerts {
        if json {
            let text = serde_json::to_string(alert).unwrap_or_default();
            out.push_str(&harden_json(&text));
        } else {
            out.push_str(&terminal_text(&line(alert)));
        }
        out.push('\n');
    }
    if alerts.is_empty() && !json {
        out.push_str("no alert is open\n");
    }
    print(&out)
}

fn line(alert: &Alert) -> String {
    let mut line = String::new();
    let time = rfc3339(alert.last_unix_ns);
    let _ = write!(
        line,
        "{} {:<6} {} x{}: {}",
        time.get(..19).unwrap_or(&time),
        alert.severity,
        alert.rule,
        alert.findings,
        alert.message
    );
    line
}
