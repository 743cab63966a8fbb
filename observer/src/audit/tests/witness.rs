//! A witness signs what continues the log that it knows, and nothing else.

use std::fs;
use std::path::Path;

use super::{START, append, check, copy, open, tiled};
use crate::audit::anchor::Signed;
use crate::audit::witness::{Reply, keep, log_key, reply, submission};
use crate::audit::{Answer, Log, Note, Trust, Vkey, Witness, verify};

const ORIGIN: &str = "host.example/audit";

/// The log with its last checkpoint.
fn sealed(log: &mut Log, count: u64) -> Signed {
    append(log, count);
    log.seal(START).unwrap();
    log.anchor().signed().unwrap()
}

fn witness(dir: &Path, log: &Path) -> Witness {
    let key = log_key(log, ORIGIN).unwrap();
    Witness::open(dir, "witness.example/w", &[Vkey::new(ORIGIN, &key)]).unwrap()
}

/// Sends the checkpoint; the log says that the witness saw `old` records.
fn send(witness: &mut Witness, dir: &Path, signed: &Signed, old: u64) -> Reply {
    let key = log_key(dir, ORIGIN).unwrap();
    let sent = submission(dir, signed, old, &key).unwrap();
    let Answer { status, body, .. } = witness.add_checkpoint(sent.text().as_bytes(), 1_767_225_600);
    reply(&sent, &witness.vkey(), status, body.as_bytes())
}

fn cosigned(reply: Reply) -> Note {
    match reply {
        Reply::Cosigned(note) => note,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_grows_is_cosigned_at_every_size_and_the_cosignature_is_verified() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = folder.path();
    let mut log = open(dir);
    let mut witness = witness(other.path(), dir);
    let mut old = 0;
    for count in [1, 1, 2, 3, 250, 255, 1, 256, 700, 7] {
        let signed = sealed(&mut log, count);
        let note = cosigned(send(&mut witness, dir, &signed, old));
        assert_eq!(note.checkpoint.size, old + count);
        old += count;
        keep(dir, &witness.vkey(), &note).unwrap();
        // Again, as after an answer that was lost.
        cosigned(send(&mut witness, dir, &signed, old));
    }
    append(&mut log, 5);
    log.seal(START).unwrap();
    drop(log);
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!(
        (report.witnesses[0].size, report.witnesses[0].trusted),
        (old, false)
    );
    // What only lies beside the log may have been put back with it.
    assert!(!report.anchored, "{report}");
    let trust = Trust {
        witnesses: vec![witness.vkey()],
        ..Trust::default()
    };
    let report = verify(dir, &trust, &mut |_, _| {}).unwrap();
    assert!(report.good() && report.anchored, "{report}");
    assert_eq!((report.anchored_size, report.unwitnessed), (old, 5));
    // What the witness keeps is an anchor too.
    let (_, path) = witness.logs().next().unwrap();
    let anchor = Note::parse(&fs::read(path).unwrap()).unwrap();
    let trust = Trust {
        anchors: vec![anchor],
        ..Trust::default()
    };
    let report = verify(dir, &trust, &mut |_, _| {}).unwrap();
    assert!(report.good() && report.anchored_size == old, "{report}");
}

#[test]
fn a_witness_that_has_signed_nothing_is_missed() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tiled(folder.path());
    let trust = Trust {
        witnesses: vec![witness(other.path(), folder.path()).vkey()],
        ..Trust::default()
    };
    let report = verify(folder.path(), &trust, &mut |_, _| {}).unwrap();
    assert!(
        report.to_string().contains("has signed nothing"),
        "{report}"
    );
    assert!(!report.good());
}

#[test]
fn every_changed_byte_of_a_kept_cosignature_is_found() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = folder.path();
    let mut log = open(dir);
    let mut witness = witness(other.path(), dir);
    let signed = sealed(&mut log, 20);
    let note = cosigned(send(&mut witness, dir, &signed, 0));
    keep(dir, &witness.vkey(), &note).unwrap();
    drop(log);
    let path = dir
        .join("cosigned")
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let good = fs::read(&path).unwrap();
    let trust = Trust {
        witnesses: vec![witness.vkey()],
        ..Trust::default()
    };
    assert!(verify(dir, &trust, &mut |_, _| {}).unwrap().good());
    let known = log_key(dir, ORIGIN)
        .map(|key| Vkey::new(ORIGIN, &key))
        .unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let report = verify(dir, &trust, &mut |_, _| {}).unwrap();
        // The line with which the log shows itself to the witness is no matter of the log.
        let its_own = String::from_utf8_lossy(&good[..at]).lines().count() == 7
            || good[at..].starts_with(known.name().as_bytes());
        assert!(!report.good() || its_own, "byte {at}");
    }
}

#[test]
fn a_log_that_was_put_back_is_told_by_the_witness() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut log = open(dir);
    let mut witness = witness(other.path(), dir);
    let signed = sealed(&mut log, 10);
    cosigned(send(&mut witness, dir, &signed, 0));
    copy(dir, old.path());
    let signed = sealed(&mut log, 10);
    cosigned(send(&mut witness, dir, &signed, 10));
    drop(log);
    // Shorter than what the witness saw; then as long, and longer, with other records.
    let mut log = open(old.path());
    let signed = sealed(&mut log, 3);
    assert!(matches!(
        send(&mut witness, old.path(), &signed, 10),
        Reply::Fork(20)
    ));
    append(&mut log, 6);
    log.append_own(&crate::audit::OwnEvent::Heartbeat, START)
        .unwrap();
    let signed = sealed(&mut log, 0);
    assert_eq!(signed.edge.size(), 20);
    assert!(matches!(
        send(&mut witness, old.path(), &signed, 20),
        Reply::Fork(20)
    ));
    let signed = sealed(&mut log, 5);
    assert!(matches!(
        send(&mut witness, old.path(), &signed, 20),
        Reply::Fork(20)
    ));
}

#[test]
fn a_witness_answers_as_the_protocol_says() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = folder.path();
    let mut log = open(dir);
    let first = sealed(&mut log, 10);
    let second = sealed(&mut log, 10);
    let mut witness = witness(other.path(), dir);
    let key = log_key(dir, ORIGIN).unwrap();
    let body = |signed, old| submission(dir, signed, old, &key).unwrap().text();
    let good = body(&first, 0);
    let mut status = |text: &str| {
        let Answer {
            status,
            content_type,
            body,
        } = witness.add_checkpoint(text.as_bytes(), 7);
        (status, content_type, body)
    };
    assert_eq!(status("").0, 400);
    assert_eq!(status(&good.replace("old 0", "old 00")).0, 400);
    assert_eq!(status(&good.replace("old 0", "old 11")).0, 400);
    assert_eq!(status(&good.replace("host.example", "else.example")).0, 404);
    assert_eq!(status(&good.replacen("\n10\n", "\n12\n", 1)).0, 403);
    assert_eq!(
        status(&format!("old 0\n\n{}", first.note)).0,
        403,
        "by the key of the epoch alone"
    );
    assert_eq!(status(&good).0, 200);
    let (code, media, size) = status(&good.replace("old 0", "old 3"));
    assert_eq!((code, media, &*size), (409, "text/x.tlog.size", "10\n"));
    let next = body(&second, 10);
    let proof: Vec<&str> = next
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(
        status(&next.replacen(&format!("{}\n", proof[0]), "", 1)).0,
        422
    );
    assert_eq!(status(&next.replacen(proof[0], proof[1], 1)).0, 422);
    let (code, _, line) = status(&next);
    assert_eq!(code, 200);
    // Another implementation knows the form of what is answered.
    let note = format!("{}{line}", second.note);
    let note = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    let vkey = fs::read_to_string(dir.join("vkey")).unwrap();
    let verifier = signed_note::StandardVerifier::new(vkey.trim()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let (by_log, others) = note.verify(&known).unwrap();
    assert_eq!((by_log.len(), others.len()), (1, 1));
    // It remembers when it starts again.
    let vkeys = [Vkey::new(ORIGIN, &key)];
    let mut again = Witness::open(other.path(), "ignored", &vkeys).unwrap();
    assert_eq!(again.vkey(), witness.vkey());
    assert_eq!(again.add_checkpoint(good.as_bytes(), 8).body, "20\n");
    fs::write(again.logs().next().unwrap().1, "nothing").unwrap();
    Witness::open(other.path(), "ignored", &vkeys).unwrap_err();
}
