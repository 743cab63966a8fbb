//! `observer report` and `observer review sign`.

use super::query::{keyring, now_ms, width};
use super::{complain, print};
use crate::audit::{Request, Review, Trust, Vkey, ask};
use crate::cli::{Exit, ReportArgs, ReviewCommandArgs};
use crate::export::{review_page, review_text};

pub(super) fn report(args: &ReportArgs) -> Exit {
    let ReportArgs {
        log,
        since,
        html,
        vkey,
        key,
    } = args;
    let mut trust = Trust::default();
    match vkey.as_deref().map(Vkey::parse).transpose() {
        Ok(vkey) => trust.vkey = vkey,
        Err(what) => {
            complain(&format!("the key given with --vkey {what}"));
            return Exit::Usage;
        }
    }
    // To the next second, so that what was written just now counts.
    let to = now_ms().div_ceil(1000) * 1000;
    let back = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let keys = match keyring(log, key.as_deref()) {
        Ok(keys) => keys,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    let span = (to.saturating_sub(back), to);
    let review = match Review::of(log, &trust, keys.as_ref(), span) {
        Ok(review) => review,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    let shown = match html {
        None => print(&review_text(&review, width())),
        Some(path) => match std::fs::write(path, review_page(&review)) {
            Ok(()) => Exit::Done,
            Err(error) => {
                complain(&format!("cannot write {}: {error}", path.display()));
                Exit::Failed
            }
        },
    };
    if !review.integrity.good() {
        complain("the audit log is not good: see `observer audit verify`");
        return Exit::Failed;
    }
    shown
}

pub(super) fn run(command: &ReviewCommandArgs) -> Exit {
    let ReviewCommandArgs::Sign {
        reviewer,
        remarks,
        log,
    } = command;
    if reviewer.trim().is_empty() {
        complain("--reviewer must be a name");
        return Exit::Usage;
    }
    let request = Request::Review {
        reviewer: reviewer.clone(),
        remarks: remarks.clone(),
    };
    match ask(log, &request) {
        Ok(()) => print("the review is in the log\n"),
        Err(error) => {
            complain(&error.to_string());
            Exit::Failed
        }
    }
}
