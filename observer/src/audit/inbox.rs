//! What people ask of a log while an agent writes it: files in `inbox/`, each taken once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::durable::{make_folder, read_small, replace};
use super::error::AuditError;
use super::log::Log;
use super::own_event::OwnEvent;
use super::settings::AuditSettings;

/// A request: a name and remarks.
const MOST: u64 = 64 << 10;
/// Requests taken at a time.
const MOST_REQUESTS: usize = 64;
/// How long the agent may take: it looks every second.
const LIMIT: Duration = Duration::from_secs(15);
/// Characters of a name and of remarks, so that a record stays below its bound.
const MOST_NAME: usize = 200;
const MOST_REMARKS: usize = 5_000;

/// What people can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Replace the signing key now.
    RotateKey,
    /// Write down that somebody reviewed the log.
    Review {
        /// Who.
        reviewer: String,
        /// What they have to say.
        remarks: String,
    },
    /// Write down that alerts are silenced, or are told again.
    Silence {
        /// Begun, else ended.
        begun: bool,
        /// What it covers.
        what: String,
        /// When it ends, RFC 3339.
        until: String,
        /// Who asked for it.
        by: String,
        /// Why.
        comment: String,
    },
}

impl Request {
    /// Does what is asked, and signs it.
    pub(super) fn apply(&self, log: &mut Log, now_ms: u64) -> Result<(), AuditError> {
        match self {
            Self::RotateKey => log.rotate_key(now_ms),
            Self::Review { reviewer, remarks } => {
                let size = log.next_index();
                let event = OwnEvent::Review {
                    reviewer: reviewer.chars().take(MOST_NAME).collect(),
                    remarks: remarks.chars().take(MOST_REMARKS).collect(),
                    size,
                };
                log.append_own(&event, now_ms)?;
                log.seal(now_ms)
            }
            Self::Silence {
                begun,
                what,
                until,
                by,
                comment,
            } => {
                let short = |text: &String| text.chars().take(MOST_REMARKS).collect();
                let event = OwnEvent::Silence {
                    begun: *begun,
                    what: short(what),
                    until: short(until),
                    by: short(by),
                    comment: short(comment),
                };
                log.append_own(&event, now_ms)?;
                log.seal(now_ms)
            }
        }
    }
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("inbox")
}

/// Requests that wait, oldest first, with their files. What is no request is removed.
pub(super) fn waiting(dir: &Path) -> Vec<(PathBuf, Request)> {
    let Ok(entries) = fs::read_dir(folder(dir)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .take(MOST_REQUESTS)
        .collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let bytes = read_small(&path, MOST).ok().flatten().unwrap_or_default();
            match serde_json::from_slice(&bytes) {
                Ok(request) => Some((path, request)),
                Err(_) => {
                    tracing::warn!(path = %path.display(), "is no request to the audit log");
                    done(&path);
                    None
                }
            }
        })
        .collect()
}

/// Removes a request.
pub(super) fn done(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "cannot be removed, and will be taken again");
    }
}

/// Asks the agent that writes the log in `dir`, or does it if there is none.
///
/// # Errors
/// If there is no log, if it cannot be written, or if the agent does not answer.
pub fn ask(dir: &Path, request: &Request) -> Result<(), AuditError> {
    if super::keys::first_vkey(dir)?.is_none() {
        return Err(AuditError::NoLog {
            path: dir.to_owned(),
        });
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    match Log::open(dir, "unused", AuditSettings::default(), now_ms) {
        Ok((mut log, opened)) => {
            // What it found is for the log to say, as at every start.
            for alarm in &opened.alarms {
                log.append_own(alarm, now_ms)?;
            }
            return request.apply(&mut log, now_ms);
        }
        Err(AuditError::Locked { .. }) => {}
        Err(error) => return Err(error),
    }
    make_folder(&folder(dir))?;
    let path = folder(dir).join(format!(
        "{:020}-{}.json",
        now.as_nanos(),
        std::process::id()
    ));
    let text = serde_json::to_vec(request).unwrap_or_default();
    replace(&path, &text, 0o600)?;
    let began = Instant::now();
    while path.exists() {
        if began.elapsed() > LIMIT {
            // Not later, when nobody expects it.
            let _ = fs::remove_file(&path);
            return Err(AuditError::bad(
                dir,
                "has an agent that does not answer: see its log for what it cannot write",
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
