//! The three published attacks on journald's sealing, and the clock: a verification that is too
//! trusting lets each of them through.

use std::fs;
use std::path::Path;

use super::forging::{Piece, records, reframe, reseal, stolen};
use super::{START, append, check, open, run_once, twice_ten};
use crate::audit::own_event::OwnEvent;

/// Fifty records under the first key, fifty under the second; the key of the first is gone.
fn two_epochs(dir: &Path) {
    let mut log = open(dir);
    append(&mut log, 50);
    log.rotate_key(START).unwrap();
    append(&mut log, 50);
    log.seal(START + 1000).unwrap();
}

/// CVE-2023-31437: sealed entries are changed, and the file is put in order so that it looks
/// whole, without a seal over what was changed.
#[test]
fn records_changed_where_the_seals_are_left_out_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    two_epochs(dir);
    reframe(dir, |pieces| {
        let record = &mut records(&mut pieces[0])[7];
        let text = String::from_utf8(record.clone()).unwrap();
        *record = text.replace("192.0.2.7", "192.0.2.9").into_bytes();
        pieces.retain(|piece| matches!(piece, Piece::Records(_)));
        fs::remove_file(dir.join("checkpoint")).unwrap();
    });
    let report = check(dir);
    // The record that names the next key is signed by nobody any more.
    assert!(!report.good() && report.verified == 0, "{report}");
    assert_eq!(report.first_bad(), Some(51), "{report}");
}

/// CVE-2023-31438: the newest entries are cut off, and the log goes on from there as if it had
/// never been longer.
#[test]
fn a_log_that_was_cut_and_goes_on_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    twice_ten(dir).off();
    run_once(dir);
    let report = check(dir);
    assert_eq!(report.first_bad(), Some(10), "{report}");
    let text = report.to_string();
    assert!(
        text.contains("shorter than its last checkpoint"),
        "{report}"
    );
}

/// CVE-2023-31439: old entries are changed and sealed anew with the key of today.
#[test]
fn the_key_of_a_later_epoch_cannot_sign_what_is_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    two_epochs(dir);
    let key = stolen(dir);
    reframe(dir, |pieces| {
        records(&mut pieces[0]).swap(7, 30);
        reseal(dir, pieces, 0, &key);
    });
    assert_eq!(check(dir).first_bad(), Some(0));
}

/// The same, with only the records of the key of today changed, but the seals before them left:
/// what the thief can sign, an anchor tells.
#[test]
fn the_key_of_today_changes_nothing_before_today() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    two_epochs(dir);
    let key = stolen(dir);
    let mut first = 0;
    reframe(dir, |pieces| {
        // Records, the name of the next key, its checkpoint; then those of the second key.
        first = pieces.len() - 2;
        records(&mut pieces[0]).swap(7, 30);
        reseal(dir, pieces, first, &key);
    });
    assert!(first > 0);
    assert_eq!(check(dir).first_bad(), Some(0));
}

#[test]
fn a_time_that_goes_back_and_that_nobody_declared_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    append(&mut log, 10);
    log.append_own(&OwnEvent::Heartbeat, START + 60_000)
        .unwrap();
    // As a thief of the key writes it, who does not want the clock to be spoken of.
    let (head, record) = OwnEvent::Heartbeat.record(log.next_index(), START);
    log.append(&head, record.as_bytes()).unwrap();
    log.seal(START + 61_000).unwrap();
    drop(log);
    let report = check(dir);
    assert_eq!(report.first_bad(), Some(11), "{report}");
    assert!(
        report.to_string().contains("clock was set back"),
        "{report}"
    );
}
