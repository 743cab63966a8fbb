//! The signing keys of the audit log sealed with a credential of the service manager: by programs
//! that are given one in `$CREDENTIALS_DIRECTORY`, as systemd gives it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use observer::audit::{AuditSettings, Log, OwnEvent, Report, Trust, verify};

/// Says in the environment of the child which log it writes.
const CHILD: &str = "OBSERVER_TEST_AUDIT_DIR";
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Not a test of its own: the program that is given a credential. A run of the log with ten records
/// and a new key.
#[test]
fn child_that_writes_a_log() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let (mut log, opened) = Log::open(
        Path::new(&dir),
        "host.example/audit",
        AuditSettings::default(),
        1_700_000_000_000,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opened.alarms, []);
    for n in 0..10 {
        if n == 5 {
            log.rotate_key(1_700_000_000_000).expect("rotate");
        }
        log.append_own(&OwnEvent::Heartbeat, 1_700_000_000_000)
            .expect("append");
    }
    log.seal(1_700_000_000_000).expect("seal");
}

fn run(dir: &Path, credentials: Option<&Path>) -> Output {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child
        .args(["--exact", "child_that_writes_a_log", "--nocapture"])
        .env(CHILD, dir)
        .env_remove(CREDENTIALS);
    if let Some(folder) = credentials {
        child.env(CREDENTIALS, folder);
    }
    child.output().expect("child")
}

fn good(dir: &Path) -> Report {
    let report = verify(dir, &Trust::default(), &mut |_, _| {}).expect("readable");
    assert!(report.good(), "{report}");
    report
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder of credentials.
fn credentials(folder: &Path, name: &str, secrets: &[(&str, &[u8])]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::create_dir(&path).expect("folder");
    for (name, secret) in secrets {
        fs::write(path.join(name), secret).expect("credential");
    }
    path
}

#[test]
fn keys_are_sealed_with_the_credential_and_follow_each_other_as_without() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("audit");
    let one = credentials(folder.path(), "one", &[("audit.key", &[7; 32])]);
    for round in 1..=3 {
        let output = run(&dir, Some(&one));
        assert!(output.status.success(), "{}", said(&output));
        let report = good(&dir);
        assert_eq!(report.epochs, round);
        assert_eq!(report.unanchored, 0);
    }
    let key = fs::read_to_string(dir.join("key")).expect("key");
    assert!(key.starts_with("observer audit key, sealed"), "{key}");
    // The command for people needs it too, and says so.
    let rotate = |credentials: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
        command.args(["audit", "rotate-key"]).arg(&dir);
        command.env_remove(CREDENTIALS);
        if let Some(folder) = credentials {
            command.env(CREDENTIALS, folder);
        }
        command.output().expect("observer")
    };
    let output = rotate(None);
    assert!(!output.status.success());
    assert!(
        said(&output).contains("LoadCredentialEncrypted"),
        "{}",
        said(&output)
    );
    assert!(rotate(Some(&one)).status.success());
    assert_eq!(good(&dir).epochs, 4);
}

#[test]
fn another_credential_opens_nothing_unless_the_one_before_is_given_too() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("audit");
    let one = credentials(folder.path(), "one", &[("audit.key", &[7; 32])]);
    let two = credentials(folder.path(), "two", &[("audit.key", &[8; 40])]);
    let both = credentials(
        folder.path(),
        "both",
        &[("audit.key", &[8; 40]), ("audit.key.old", &[7; 32])],
    );
    let short = credentials(folder.path(), "short", &[("audit.key", b"secret")]);
    assert!(run(&dir, Some(&one)).status.success());
    for (credentials, what) in [
        (None, "is sealed: start the agent as the unit"),
        (Some(two.as_path()), "another credential"),
        (Some(short.as_path()), "too short"),
    ] {
        let output = run(&dir, credentials);
        assert!(!output.status.success());
        assert!(said(&output).contains(what), "{}", said(&output));
        assert_eq!(said(&output).matches(['\u{7}', '\u{8}']).count(), 0);
    }
    assert!(run(&dir, Some(&both)).status.success());
    // From then on the new one is enough.
    assert!(run(&dir, Some(&two)).status.success());
    assert_eq!(good(&dir).epochs, 3);
}

#[test]
fn a_log_from_before_is_sealed_at_the_next_start_and_no_key_is_left_in_clear() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("audit");
    let one = credentials(folder.path(), "one", &[("audit.key", &[7; 32])]);
    assert!(run(&dir, None).status.success());
    let plain = fs::read_to_string(dir.join("key")).expect("key");
    let seed = plain.lines().nth(4).expect("seed").to_owned();
    assert!(run(&dir, Some(&one)).status.success());
    assert_eq!(good(&dir).epochs, 2);
    let mut folders = vec![dir];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("file");
            let found = bytes
                .windows(seed.len())
                .any(|part| part == seed.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
