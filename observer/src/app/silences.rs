//! `observer alerts silence`: what is not to be told, for a time.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{complain, print};
use crate::alert::{Silence, Silences};
use crate::audit::{AuditError, Request, ask};
use crate::cli::{Exit, NewSilenceArgs, SilenceCommandArgs};
use crate::export::{harden_json, rfc3339, terminal_text};

/// Longest silence: who wants more wants another threshold.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Runs the command for the agent with this state folder.
pub(super) fn run(
    dir: &Path,
    json: bool,
    command: Option<&SilenceCommandArgs>,
    new: &NewSilenceArgs,
) -> Exit {
    let mut silences = match Silences::open(dir) {
        Ok(silences) => silences,
        Err(error) => return failed(dir, &error),
    };
    match command {
        Some(SilenceCommandArgs::List) => print(&listed(&silences, json)),
        Some(SilenceCommandArgs::Remove { id }) => remove(dir, &mut silences, *id),
        None => add(dir, &mut silences, new),
    }
}

fn failed(dir: &Path, error: &io::Error) -> Exit {
    complain(&format!(
        "cannot change the silences in {}: {error}",
        dir.display()
    ));
    if error.kind() == io::ErrorKind::InvalidInput {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Who asks: the person behind `sudo`, else the user.
fn who() -> String {
    ["SUDO_USER", "LOGNAME", "USER"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| {
            std::fs::metadata("/proc/self")
                .map_or("unknown".to_owned(), |own| format!("uid {}", own.uid()))
        })
}

fn add(dir: &Path, silences: &mut Silences, new: &NewSilenceArgs) -> Exit {
    let NewSilenceArgs {
        rule,
        identity,
        client,
        endpoint,
        lasting,
        comment,
    } = new.clone();
    let Some(lasting) = lasting.filter(|time| !time.is_zero() && *time <= LONGEST) else {
        complain("--for must say how long, such as 2h, and 366d at most");
        return Exit::Usage;
    };
    let from_unix_ns = now_ns();
    let silence = Silence {
        id: 0,
        rule,
        identity,
        client,
        endpoint,
        from_unix_ns,
        until_unix_ns: from_unix_ns
            .saturating_add(u64::try_from(lasting.as_nanos()).unwrap_or(u64::MAX)),
        by: who(),
        comment,
    };
    let added = match silences.add(silence) {
        Ok(added) => added.clone(),
        Err(error) => return failed(dir, &error),
    };
    if let Err(error) = record(dir, &added, true, added.by.clone()) {
        // Nothing is silenced without a record of it.
        drop(silences.remove(added.id));
        complain(&format!("nothing is silenced: {error}"));
        return Exit::Failed;
    }
    print(&format!("{}\n", terminal_text(&line(&added))))
}

fn remove(dir: &Path, silences: &mut Silences, id: u64) -> Exit {
    match silences.remove(id) {
        Ok(Some(removed)) => {
            if let Err(error) = record(dir, &removed, false, who()) {
                complain(&format!(
                    "the silence is ended, but the audit log does not say so: {error}"
                ));
                return Exit::Failed;
            }
            print(&format!("silence {id} is ended\n"))
        }
        Ok(None) => {
            complain(&format!(
                "there is no silence {id}: see `observer alerts silence list`"
            ));
            Exit::Failed
        }
        Err(error) => failed(dir, &error),
    }
}

/// Writes it into the audit log, if there is one.
fn record(dir: &Path, silence: &Silence, begun: bool, by: String) -> Result<(), AuditError> {
    let request = Request::Silence {
        begun,
        what: silence.what(),
        until: rfc3339(silence.until_unix_ns),
        by,
        comment: silence.comment.clone(),
    };
    match ask(&dir.join("audit"), &request) {
        Err(AuditError::NoLog { .. }) => Ok(()),
        asked => asked,
    }
}

fn listed(silences: &Silences, json: bool) -> String {
    let mut out = String::new();
    for silence in silences.list(now_ns()) {
        if json {
            let text = serde_json::to_string(silence).unwrap_or_default();
            out.push_str(&harden_json(&text));
        } else {
            out.push_str(&terminal_text(&line(silence)));
        }
        out.push('\n');
    }
    if out.is_empty() && !json {
        out.push_str("nothing is silenced\n");
    }
    out
}

fn line(silence: &Silence) -> String {
    let until = rfc3339(silence.until_unix_ns);
    let comment = if silence.comment.is_empty() {
        String::new()
    } else {
        format!(": {}", silence.comment)
    };
    format!(
        "{} {} until {}, by {}{comment}",
        silence.id,
        silence.what(),
        until.get(..19).unwrap_or(&until),
        silence.by
    )
}
