//! Sealed records: unreadable without the key of a reader, verified without any.

use std::fs;
use std::path::Path;

use super::{check, files};
use crate::audit::{
    AuditError, AuditSettings, Field, Filter, Keyring, ReaderKey, ReaderSecret, Search, prove,
    start,
};
use crate::call::{AuthOutcome, AuthScheme};
use crate::catalog::sample;

/// A run with so many calls and a tenth of them failed logins.
fn run(dir: &Path, readers: Vec<ReaderKey>, calls: u64) {
    let settings = AuditSettings {
        readers,
        ..AuditSettings::default()
    };
    let (mut sink, thread) = start(
        dir.to_owned(),
        "host.example/audit",
        settings,
        "00".to_owned(),
    )
    .unwrap();
    for n in 0..calls {
        let mut call = sample::call("GET", &format!("/patients/{n}"), Some(200));
        call.host = Some("clinic.example".to_owned());
        if n % 10 == 0 {
            call = sample::call("POST", "/login", Some(401));
            call.auth.scheme = AuthScheme::Basic;
            call.auth.outcome = AuthOutcome::Failed;
        }
        sink.call(call);
    }
    drop(sink);
    thread.finish();
}

fn count(dir: &Path, filter: &str, keys: Option<&Keyring>) -> (u64, u64) {
    let filter = Filter::parse(filter, 0).unwrap();
    let search = Search {
        dir,
        filter: &filter,
        index: true,
        keys,
        from: 0,
    };
    let stats = search
        .run(None, &mut |_, _| Ok::<(), AuditError>(()))
        .unwrap();
    let (_, counted) = search.count(Some(Field::Path)).unwrap();
    assert_eq!(stats.found, counted.found);
    (stats.found, stats.sealed)
}

#[test]
fn a_reader_finds_what_others_cannot_and_anybody_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (secret, other) = (ReaderSecret::generate(), ReaderSecret::generate());
    run(dir, vec![other.public(), secret.public()], 500);
    for path in files(dir) {
        let bytes = fs::read(&path).unwrap();
        let told = memchr::memmem::find(&bytes, b"clinic").is_some();
        assert!(!told, "{}", path.display());
    }
    run(dir, vec![secret.public()], 300);
    // And some that are not sealed.
    run(dir, Vec::new(), 100);
    let report = check(dir);
    assert!(report.good(), "{report}");
    let sealed = prove(dir, 10).unwrap();
    let sealed = crate::audit::Proof::parse(sealed.as_bytes())
        .unwrap()
        .record;
    let text = String::from_utf8(sealed.clone()).unwrap();
    assert!(
        text.contains("\"sealed\"") && !text.contains("clinic"),
        "{text}"
    );

    let keys = Keyring::open(dir, &secret).unwrap();
    assert_eq!(
        count(dir, "host=\"clinic.example\"", Some(&keys)),
        (450 + 270 + 90, 0)
    );
    assert_eq!(count(dir, "type=call auth=failed", Some(&keys)), (90, 0));
    let theirs = Keyring::open(dir, &other).unwrap();
    assert_eq!(
        count(dir, "host=\"clinic.example\"", Some(&theirs)),
        (450 + 90, 0)
    );
    // Without a key: time, class and status.
    assert_eq!(count(dir, "host=\"clinic.example\"", None), (90, 0));
    assert_eq!(count(dir, "type=call status=401", None), (90, 80));
    let stranger = ReaderSecret::generate();
    assert!(
        Keyring::open(dir, &stranger)
            .unwrap_err()
            .to_string()
            .contains("no data key")
    );

    // Every flipped byte of what is sealed, and of what it is bound to.
    assert!(keys.unseal(&sealed).is_some());
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        if let Some(plain) = keys.unseal(&bytes) {
            // After what is sealed: the number of the record, which the tree vouches for.
            assert!(at > text.find("\"},\"metadata").unwrap(), "byte {at}");
            assert_eq!(Some(plain), keys.unseal(&sealed));
        }
    }
}

#[test]
fn a_data_key_that_was_changed_is_found_and_one_that_was_destroyed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let secret = ReaderSecret::generate();
    run(dir, vec![secret.public()], 50);
    let key = fs::read_dir(dir.join("sealed-keys"))
        .unwrap()
        .next()
        .unwrap();
    let path = key.unwrap().path();
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(check(dir).first_bad(), Some(1), "byte {at}");
    }
    fs::remove_file(&path).unwrap();
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!(report.data_keys_gone, 1);
    let keys = Keyring::open(dir, &secret).unwrap();
    assert_eq!(count(dir, "path ~ \"/patients/*\"", Some(&keys)).0, 0);
}

#[test]
fn sealed_records_are_compressed_though_each_is_sealed_by_itself() {
    let bytes = |readers| {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), readers, 2000);
        let size: u64 = fs::read_dir(folder.path().join("segments"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        size / 2000
    };
    let (plain, sealed) = (
        bytes(Vec::new()),
        bytes(vec![ReaderSecret::generate().public()]),
    );
    // A record is 900 bytes as text, and 1,200 as base64.
    assert!(
        sealed < 600,
        "{sealed} bytes a record sealed, {plain} plain"
    );
    println!("{sealed} bytes a record sealed, {plain} plain");
}

#[test]
fn keys_of_readers_are_written_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let secret = ReaderSecret::generate();
    let text = secret.public().to_string();
    assert_eq!(ReaderKey::parse(&text).unwrap(), secret.public());
    let path = folder.path().join("reader.key");
    fs::write(&path, secret.to_file()).unwrap();
    assert_eq!(ReaderSecret::read(&path).unwrap().public(), secret.public());
    assert_eq!(format!("{secret:?}"), "ReaderSecret");
    for bad in ["", "observer-reader+", "observer-reader+AAAA", "x+y"] {
        ReaderKey::parse(bad).unwrap_err();
    }
    fs::write(&path, text).unwrap();
    ReaderSecret::read(&path).unwrap_err();
}
