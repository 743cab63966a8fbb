//! Whole files removed, swapped, cut, put back.

use std::fs;
use std::path::Path;

use super::{START, append, check, copy, open, small, twice_ten};
use crate::audit::segment::{self, SegmentReader, Step};
use crate::audit::{AuditError, Note, Trust, Vkey, verify};

fn damaged(change: impl FnOnce(&Path, &[u64])) -> Option<u64> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    small(dir);
    let firsts: Vec<u64> = segment::list(dir)
        .unwrap()
        .iter()
        .map(|(first, _)| *first)
        .collect();
    assert!(firsts.len() >= 3, "{firsts:?}");
    change(dir, &firsts);
    let report = check(dir);
    assert!(!report.good());
    report.first_bad()
}

fn second_segment() -> u64 {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    segment::list(folder.path()).unwrap()[1].0
}

#[test]
fn a_removed_segment_is_a_gap() {
    let second = second_segment();
    let first = damaged(|dir, _| fs::remove_file(segment::path(dir, 0)).unwrap());
    assert_eq!(first, Some(0));
    let middle = damaged(|dir, at| fs::remove_file(segment::path(dir, at[1])).unwrap());
    assert_eq!(middle, Some(second));
    let mut last = 0;
    let found = damaged(|dir, at| {
        last = *at.last().unwrap();
        fs::remove_file(segment::path(dir, last)).unwrap();
    });
    assert_eq!(found, Some(last));
}

#[test]
fn swapped_segments_are_found() {
    let found = damaged(|dir, at| {
        let (a, b) = (segment::path(dir, at[0]), segment::path(dir, at[1]));
        let aside = dir.join("aside");
        fs::rename(&a, &aside).unwrap();
        fs::rename(&b, &a).unwrap();
        fs::rename(&aside, &b).unwrap();
    });
    assert_eq!(found, Some(0));
}

#[test]
fn a_segment_that_is_there_twice_is_found() {
    let second = second_segment();
    let found = damaged(|dir, at| {
        // Under the name of the next one, and between two.
        fs::copy(segment::path(dir, at[0]), segment::path(dir, at[1])).unwrap();
    });
    assert_eq!(found, Some(second));
    let found = damaged(|dir, at| {
        fs::copy(segment::path(dir, at[0]), segment::path(dir, at[1] - 1)).unwrap();
    });
    assert_eq!(found, Some(second - 1));
}

#[test]
fn a_tail_cut_between_two_frames_is_found_by_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    twice_ten(dir).off();
    assert_eq!(check(dir).first_bad(), Some(10));
}

#[test]
fn a_log_put_back_as_a_whole_needs_an_anchor_and_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    append(&mut log, 10);
    log.seal(START).unwrap();
    copy(dir, old.path());
    append(&mut log, 10);
    log.seal(START + 1000).unwrap();
    drop(log);
    let anchor = Note::parse(&fs::read(dir.join("checkpoint")).unwrap()).unwrap();
    let vkey = Vkey::parse(&fs::read_to_string(dir.join("vkey")).unwrap()).unwrap();

    let report = check(old.path());
    assert!(report.good());
    assert!(report.to_string().contains("cannot be told without one"));
    let trust = Trust {
        vkey: Some(vkey),
        anchors: vec![anchor],
        ..Trust::default()
    };
    let report = verify(old.path(), &trust, &mut |_, _| {}).unwrap();
    assert_eq!(report.first_bad(), Some(10), "{report}");
    let report = verify(dir, &trust, &mut |_, _| {}).unwrap();
    assert!(report.good(), "{report}");
    assert_eq!(report.anchored_size, 20);
}

#[test]
fn records_put_back_over_a_key_that_was_replaced_are_found_without_an_anchor() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    append(&mut log, 10);
    log.seal(START).unwrap();
    copy(dir, old.path());
    append(&mut log, 10);
    log.rotate_key(START + 1000).unwrap();
    append(&mut log, 10);
    log.seal(START + 2000).unwrap();
    drop(log);
    for name in ["segments/00000000000000000000.seg", "checkpoint"] {
        fs::copy(old.path().join(name), dir.join(name)).unwrap();
    }
    assert!(!check(dir).good());
}

#[test]
fn the_key_of_another_log_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    small(folder.path());
    small(other.path());
    let vkey = fs::read_to_string(other.path().join("vkey")).unwrap();
    let trust = Trust {
        vkey: Some(Vkey::parse(&vkey).unwrap()),
        ..Trust::default()
    };
    let report = verify(folder.path(), &trust, &mut |_, _| {}).unwrap();
    assert_eq!(report.first_bad(), Some(0));
}

#[test]
fn a_folder_without_a_log_is_one_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let error = verify(folder.path(), &Trust::default(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, AuditError::NoLog { .. }));
    small(folder.path());
    fs::remove_file(folder.path().join("vkey")).unwrap();
    let report = check(folder.path());
    assert!(report.to_string().contains("--vkey"), "{report}");
}

#[test]
fn half_a_frame_at_the_end_is_a_crash_and_not_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    small(dir);
    let (_, last) = segment::list(dir).unwrap().pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let mut reader = SegmentReader::open(&last).unwrap();
    let start = usize::try_from(reader.offset()).unwrap();
    let Step::Frame { .. } = reader.next(&mut |_| true).unwrap() else {
        panic!("no frame");
    };
    let end = usize::try_from(reader.offset()).unwrap();
    let frame = bytes[start..end].to_vec();
    bytes.extend_from_slice(&frame[..frame.len() / 2]);
    fs::write(&last, bytes).unwrap();
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!(report.torn_bytes, frame.len() as u64 / 2);
}
