//! A program that writes the audit log is killed at random points; the log must verify each time
//! and hold everything that was committed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use observer::audit::{AuditSettings, Log, OwnEvent, Trust, verify};

/// Says in the environment of the child which log it writes.
const CHILD: &str = "OBSERVER_TEST_AUDIT_DIR";
/// Kills in an ordinary run; `OBSERVER_TEST_KILLS` asks for more.
const KILLS: u64 = 50;
/// A day in 2026, milliseconds.
const START: u64 = 1_795_342_830_000;

/// Not a test of its own: the program that is killed. Prints the size after each commit.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let settings = AuditSettings {
        max_bytes: 400_000,
        ..AuditSettings::default()
    };
    let (log, opened) =
        Log::open(Path::new(&dir), "host.example/audit", settings, START).expect("open");
    let mut log = log.with_segment_bytes(60_000);
    assert_eq!(opened.alarms, []);
    let mut out = std::io::stderr();
    for round in 0..u64::MAX {
        for _ in 0..(round * 7919 % 700) {
            log.append_own(&OwnEvent::Heartbeat, START + round)
                .expect("append");
        }
        if round % 20 == 19 {
            log.rotate_key(START + round).expect("rotate");
        }
        // Time that passes quickly: checkpoints and retention at many of the commits.
        log.commit(START + round * 900).expect("commit");
        writeln!(out, "committed {}", log.next_index()).expect("pipe");
    }
}

#[test]
fn a_log_whose_writer_is_killed_verifies_and_holds_what_was_committed() {
    let kills = std::env::var("OBSERVER_TEST_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(KILLS);
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("audit");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "child_that_writes_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, &dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("child");
        let mut lines = BufReader::new(child.stderr.take().expect("pipe")).lines();
        let mut committed = 0_u64;
        let mut take = |line: Option<std::io::Result<String>>| match line {
            Some(Ok(line)) => {
                let size = line.strip_prefix("committed ").map(str::parse::<u64>);
                committed = size
                    .unwrap_or_else(|| panic!("the child says: {line}"))
                    .expect("size");
                true
            }
            _ => false,
        };
        assert!(take(lines.next()), "the child writes");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 60_000));
        child.kill().expect("kill");
        while take(lines.next()) {}
        child.wait().expect("end");
        let report = verify(&dir, &Trust::default(), &mut |_, _| {}).expect("readable");
        assert!(report.good(), "after kill {kill}: {report}");
        assert!(
            report.size >= committed,
            "after kill {kill}: {committed} were committed: {report}"
        );
    }
}
