//! Starts, stops, keys, retention, proofs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::{START, append, check, open, run_once, tiled, twice_ten};
use crate::audit::own_event::OwnEvent;
use crate::audit::segment;
use crate::audit::{AuditError, AuditSettings, Log, Proof, Vkey, last_checkpoint, prove, start};
use crate::catalog::sample;

/// Nothing is late on a busy machine, which would be a record more.
fn unhurried() -> AuditSettings {
    AuditSettings {
        commit: Duration::from_secs(60),
        ..AuditSettings::default()
    }
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for round in 1..=5 {
        let (mut log, opened) =
            Log::open(dir, "host.example/audit", AuditSettings::default(), START).unwrap();
        assert_eq!(opened.alarms, []);
        assert_eq!(opened.dropped_bytes, 0);
        append(&mut log, 300);
        log.seal(START).unwrap();
        assert_eq!(log.next_index(), 300 * round);
    }
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!((report.verified, report.tiles_missing), (1500, 0));
    assert_eq!(report.tiles, 5);
}

#[test]
fn only_the_owner_reads_the_key_and_two_agents_do_not_share_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let _log = open(folder.path());
    let mode = fs::metadata(folder.path().join("key"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let again = Log::open(folder.path(), "x", AuditSettings::default(), START);
    assert!(matches!(again, Err(AuditError::Locked { .. })));
}

#[test]
fn half_a_frame_is_dropped_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    append(&mut log, 10);
    log.seal(START).unwrap();
    drop(log);
    let path = segment::path(dir, 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"OAF1 and then the power went");
    fs::write(&path, bytes).unwrap();
    let (mut log, opened) = Log::open(dir, "x", AuditSettings::default(), START).unwrap();
    assert_eq!((opened.size, opened.dropped_bytes), (10, 28));
    assert_eq!(opened.alarms, []);
    append(&mut log, 10);
    log.seal(START).unwrap();
    assert!(check(dir).good());
}

#[test]
fn a_log_shorter_than_its_last_checkpoint_raises_an_alarm_that_stays_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    twice_ten(dir).off();
    run_once(dir);
    let report = check(dir);
    assert_eq!(report.first_bad(), Some(10), "{report}");
    assert!(
        report
            .to_string()
            .contains("shorter than its last checkpoint")
    );
}

#[test]
fn the_thread_writes_start_calls_and_stop_and_signs_them() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for settings in ["00", "01"] {
        let (mut sink, thread) = start(
            dir.to_owned(),
            "host.example/audit",
            unhurried(),
            settings.to_owned(),
        )
        .unwrap();
        for n in 0..1000 {
            sink.call(sample::call("GET", &format!("/{n}"), Some(200)));
        }
        drop(sink);
        thread.finish();
    }
    let report = check(dir);
    assert!(report.good(), "{report}");
    // Start, calls, stop; then start, settings, calls, stop.
    assert_eq!((report.size, report.verified), (2005, 2005));
    assert_eq!((report.unanchored, report.lost), (0, 0));
    let key = fs::read_to_string(dir.join("vkey")).unwrap();
    let proof = prove(dir, 1003).unwrap();
    let proof = Proof::parse(proof.as_bytes()).unwrap();
    proof.check(&Vkey::parse(&key).unwrap()).unwrap();
    let record = String::from_utf8(proof.record).unwrap();
    assert!(record.contains("settings_change"), "{record}");
}

#[test]
fn calls_that_rules_leave_out_are_counted_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let rules = ["0 /health", "1/10 /page"];
    let settings = AuditSettings {
        sample: rules
            .iter()
            .map(|rule| crate::audit::SamplingRule::parse(rule).unwrap())
            .collect(),
        ..unhurried()
    };
    let (mut sink, thread) = start(dir.to_owned(), "x", settings, "00".to_owned()).unwrap();
    for n in 0..500 {
        sink.call(sample::call("GET", "/health", Some(200)));
        sink.call(sample::call("GET", "/page", Some(200)));
        sink.call(sample::call("GET", "/health", Some(500)));
        sink.call(sample::call("GET", &format!("/{n}"), Some(200)));
    }
    drop(sink);
    thread.finish();
    let report = check(dir);
    assert!(report.good(), "{report}");
    // Start, two records of what was left out, stop; failures and what no rule names.
    assert_eq!((report.size, report.left_out), (4 + 50 + 1000, 500 + 450));
}

#[test]
fn commits_that_end_too_late_are_counted_and_told_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let settings = AuditSettings {
        // No disk is as fast.
        commit: Duration::from_micros(1),
        ..AuditSettings::default()
    };
    let (mut sink, thread) = start(dir.to_owned(), "x", settings, "00".to_owned()).unwrap();
    sink.call(sample::call("GET", "/", Some(200)));
    sink.flush();
    let began = Instant::now();
    while sink.counts().late_commits == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "no commit");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(sink);
    thread.finish();
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!(report.late_commits, 1, "{report}");
    assert!(report.to_string().contains("late commits       1"));
}

#[test]
fn every_record_is_proved_and_no_other_record_with_its_proof() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    tiled(dir);
    let vkey = Vkey::parse(&fs::read_to_string(dir.join("vkey")).unwrap()).unwrap();
    for index in (0..600).step_by(13) {
        let text = prove(dir, index).unwrap();
        let mut proof = Proof::parse(text.as_bytes()).unwrap();
        proof.check(&vkey).unwrap();
        proof.index ^= 1;
        assert!(proof.check(&vkey).is_err());
        proof.index ^= 1;
        proof.record.push(b' ');
        assert!(proof.check(&vkey).is_err());
    }
    assert!(
        prove(dir, 600)
            .unwrap_err()
            .to_string()
            .contains("0 to 599")
    );
    let note = last_checkpoint(dir).unwrap();
    let verifier = signed_note::StandardVerifier::new(&vkey.to_string()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let note = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    note.verify(&known).unwrap();
}

#[test]
fn a_key_is_replaced_and_the_old_one_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    let before = fs::read_to_string(dir.join("key")).unwrap();
    let seed = before.lines().nth(4).unwrap().to_owned();
    append(&mut log, 3);
    for round in 1..=3 {
        log.rotate_key(START + round).unwrap();
        append(&mut log, 3);
    }
    log.seal(START + 10).unwrap();
    drop(log);
    for path in super::files(dir) {
        let bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(seed.len())
            .any(|part| part == seed.as_bytes());
        assert!(!found, "{}", path.display());
    }
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!(report.epochs, 3);
}

#[test]
fn a_crash_while_the_key_is_replaced_is_made_good_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    append(&mut log, 3);
    log.seal(START).unwrap();
    drop(log);
    let old_key = fs::read(dir.join("key")).unwrap();
    let mut log = open(dir);
    log.rotate_key(START + 1).unwrap();
    drop(log);
    // As if it had ended before the new key took the place of the old one.
    fs::rename(dir.join("key"), dir.join("key.next")).unwrap();
    fs::write(dir.join("key"), old_key).unwrap();
    assert!(check(dir).good());
    let mut log = open(dir);
    append(&mut log, 3);
    log.seal(START + 2).unwrap();
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!((report.size, report.epochs), (7, 1));
    assert!(!dir.join("key.next").exists());
}

#[test]
fn retention_removes_whole_segments_and_what_is_left_is_still_verified_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let settings = AuditSettings {
        max_bytes: 60_000,
        key_epoch: Duration::from_secs(100_000),
        ..AuditSettings::default()
    };
    let mut log = Log::open(dir, "host.example/audit", settings, START)
        .unwrap()
        .0
        .with_segment_bytes(8000);
    for round in 1..=40 {
        append(&mut log, 100);
        if round == 5 {
            log.rotate_key(START + round * 61_000).unwrap();
        }
        log.commit(START + round * 61_000).unwrap();
    }
    log.seal(START + 41 * 61_000).unwrap();
    drop(log);
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert!(report.first > 1000, "{report}");
    assert_eq!(report.epochs, 1);
    let proof = prove(dir, report.first + 5).unwrap();
    let proof = Proof::parse(proof.as_bytes()).unwrap();
    assert_eq!(proof.index, report.first + 5);
    // One more removed than the log says.
    fs::remove_file(segment::path(dir, report.first)).unwrap();
    assert_eq!(check(dir).first_bad(), Some(0));
}

#[test]
fn segments_past_their_age_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir).with_segment_bytes(4000);
    for round in 1..=4 {
        append(&mut log, 100);
        log.commit(START + round).unwrap();
    }
    drop(log);
    let old = segment::list(dir).unwrap();
    // The age of a segment is that of its file: the time of its last record.
    let day = std::time::UNIX_EPOCH + Duration::from_millis(START);
    for (_, path) in &old {
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_modified(day).unwrap();
    }
    let mut log = open(dir);
    let year = START + 367 * 86_400_000;
    log.commit(year).unwrap();
    log.commit(year + 61_000).unwrap();
    drop(log);
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!(segment::list(dir).unwrap().len(), 1);
    assert_eq!(report.first, old.last().unwrap().0);
}

#[test]
fn a_clock_that_was_set_back_is_told_and_stops_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    append(&mut log, 10);
    log.commit(START + 3_600_000).unwrap();
    append(&mut log, 10);
    log.commit(START).unwrap();
    drop(log);
    let report = check(dir);
    assert!(report.good(), "{report}");
    // The record that tells it is under a checkpoint at once.
    assert_eq!((report.size, report.verified), (21, 21));
    let at: Vec<_> = report.clock_back.iter().map(|back| back.index).collect();
    assert_eq!(at, [Some(20)]);
    assert!(
        report.to_string().contains("set back by 3600.0 s"),
        "{report}"
    );
    // Back to what it was, and on: nothing more to tell.
    let mut log = open(dir);
    append(&mut log, 10);
    log.commit(START + 5000).unwrap();
    drop(log);
    assert_eq!(check(dir).clock_back.len(), 1);
}

#[test]
fn a_checkpoint_is_beside_the_log_from_the_start_and_missed_if_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    let start = fs::read(dir.join("checkpoint")).unwrap();
    append(&mut log, 1500);
    log.seal(START).unwrap();
    drop(log);
    // As a crash leaves it before the first sync.
    fs::write(dir.join("checkpoint"), &start).unwrap();
    assert!(check(dir).good());
    let opened = Log::open(dir, "host.example/audit", AuditSettings::default(), START)
        .unwrap()
        .1;
    assert_eq!(opened.alarms, []);
    for at in 0..start.len() {
        let mut bytes = start.clone();
        bytes[at] ^= 1;
        fs::write(dir.join("checkpoint"), bytes).unwrap();
        assert!(!check(dir).good(), "byte {at}");
    }
    fs::remove_file(dir.join("checkpoint")).unwrap();
    assert!(!check(dir).good());
}

#[test]
fn a_run_that_was_cut_off_is_told_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let run = |ends: bool| {
        let mut log =
            Log::open(dir, "host.example/audit", AuditSettings::default(), START).unwrap();
        let start = OwnEvent::Start {
            settings: "00".to_owned(),
            dropped_bytes: 0,
            cut_off: log.1.cut_off,
        };
        log.0.append_own(&start, START).unwrap();
        if ends {
            log.0.append_own(&OwnEvent::Stop, START).unwrap();
        }
        log.0.seal(START).unwrap();
        log.1.cut_off
    };
    assert_eq!(
        [run(true), run(false), run(true), run(true)],
        [false, false, true, false]
    );
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!(report.cut_off, 1);
}

#[test]
fn a_start_makes_missing_tiles_anew() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    tiled(dir);
    fs::remove_dir_all(dir.join("tile")).unwrap();
    assert_eq!(check(dir).tiles_missing, 2);
    open(dir).commit(START).unwrap();
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!((report.tiles, report.tiles_missing), (2, 0));
}

#[test]
fn a_folder_that_cannot_be_written_is_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Log::open(&file.join("audit"), "x", AuditSettings::default(), START).unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
}

#[test]
fn what_the_agent_says_of_itself_reads_back() {
    for event in [
        OwnEvent::KeyEpoch {
            epoch: 2,
            vkey: "a+b".to_owned(),
        },
        OwnEvent::Retention { first: 9 },
        OwnEvent::Loss {
            records: 3,
            reason: "disk",
        },
    ] {
        let (_, record) = event.record(1, START);
        assert_eq!(OwnEvent::parse(record.as_bytes()), Some(event));
    }
}
