//! `observer alerts`: what is open now, and what is not to be told.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::{complain, print, silences};
use crate::alert::{Alert, read_open};
use crate::cli::{AlertsCommandArgs, Exit, SilenceArgs};
use crate::export::{harden_json, rfc3339, terminal_text};

/// Runs the command for the agent with this state folder.
pub(super) fn run(dir: &Path, json: bool, command: Option<&AlertsCommandArgs>) -> Exit {
    match command {
        None => list(dir, json),
        Some(AlertsCommandArgs::Silence(SilenceArgs { command, new })) => {
            silences::run(dir, json, command.as_ref(), new)
        }
    }
}

/// Lists the alerts that are open.
fn list(dir: &Path, json: bool) -> Exit {
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
    let silent = if alert.told_unix_ns == 0 {
        " (not told)"
    } else {
        ""
    };
    let _ = write!(
        line,
        "{} {:<6} {} x{}{silent}: {}",
        time.get(..19).unwrap_or(&time),
        alert.severity,
        alert.rule,
        alert.findings,
        alert.message
    );
    line
}
