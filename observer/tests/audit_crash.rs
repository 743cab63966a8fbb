//! A program that writes the audit log is killed at random points; the log must verify each time
//! and hold everything that was committed.
//!
//! `OBSERVER_TEST_KILLS=1000 cargo test -p observer --test audit_crash -- --nocapture` kills more
//! often, and tells what was lost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use observer::audit::{AuditSettings, Log, OwnEvent, Trust, start, verify};

#[path = "../benches/audit/traffic.rs"]
mod traffic;

use traffic::Traffic;

/// Says in the environment of the child which log it writes.
const CHILD: &str = "OBSERVER_TEST_AUDIT_DIR";
/// Kills in an ordinary run; `OBSERVER_TEST_KILLS` asks for more.
const KILLS: u64 = 30;
/// A time that every clock is past, milliseconds.
const START: u64 = 1_700_000_000_000;
/// Longest time after which a call is safe in these tests.
const COMMIT: Duration = Duration::from_millis(200);
/// What a busy machine may add to it: the writer has to be given the processor, and the disk.
const BUSY: Duration = Duration::from_secs(5);

/// Calls given at a time.
const BURST: u64 = 32;
/// Kills of one log: it is verified as a whole after each.
const KILLS_OF_A_LOG: u64 = 20;

fn kills() -> u64 {
    std::env::var("OBSERVER_TEST_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(KILLS)
}

/// Not a test of its own: the program that is killed. Prints the size after each commit. Segments,
/// keys, checkpoints and retention follow each other as fast as they can.
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
        writeln!(out, "at {}", log.next_index()).expect("pipe");
    }
}

/// Not a test of its own either: the thread of the agent under load. Prints how many calls it was
/// given.
#[test]
fn child_that_is_given_calls_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let settings = AuditSettings {
        commit: COMMIT,
        ..AuditSettings::default()
    };
    let (mut sink, _thread) = start(
        std::path::PathBuf::from(dir),
        "host.example/audit",
        settings,
        "00".to_owned(),
    )
    .expect("start");
    let mut out = std::io::stderr();
    writeln!(out, "at 0").expect("pipe");
    let mut traffic = Traffic::default();
    for n in 1..u64::MAX {
        sink.call(traffic.call());
        if n.is_multiple_of(BURST) {
            sink.flush();
            assert_eq!(
                sink.counts().queue_full,
                0,
                "the load is too much to tell what was lost"
            );
            writeln!(out, "at {n}").expect("pipe");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Starts a child; its numbers come with the time at which they were read.
fn child(name: &str, dir: &Path) -> (Child, Receiver<(Instant, u64)>) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("child");
    let lines = BufReader::new(child.stderr.take().expect("pipe")).lines();
    let (to, from) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // A line that the kill cut is no number.
            let Some(number) = line.strip_prefix("at ") else {
                eprintln!("the child says: {line}");
                continue;
            };
            if let Ok(number) = number.parse()
                && to.send((Instant::now(), number)).is_err()
            {
                return;
            }
        }
    });
    (child, from)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Lets a child work for a random time, kills it, and gives what it said, and when it was killed.
fn killed(name: &str, dir: &Path, time: Duration) -> (Instant, Vec<(Instant, u64)>) {
    let (mut child, numbers) = child(name, dir);
    let mut said = vec![numbers.recv().expect("the child writes")];
    std::thread::sleep(time);
    child.kill().expect("kill");
    let at = Instant::now();
    child.wait().expect("end");
    said.extend(numbers.iter());
    (at, said)
}

#[test]
fn a_log_whose_writer_is_killed_verifies_and_holds_what_was_committed() {
    let mut folder = tempfile::tempdir().expect("folder");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for kill in 0..kills() {
        if kill.is_multiple_of(KILLS_OF_A_LOG) {
            folder = tempfile::tempdir().expect("folder");
        }
        let dir = folder.path().join("audit");
        let time = Duration::from_micros(random.next() % 60_000);
        let (_, said) = killed("child_that_writes_until_it_is_killed", &dir, time);
        let committed = said.last().map_or(0, |(_, number)| *number);
        let report = verify(&dir, &Trust::default(), &mut |_, _| {}).expect("readable");
        assert!(report.good(), "after kill {kill}: {report}");
        assert!(
            report.size >= committed,
            "after kill {kill}: {committed} were committed: {report}"
        );
    }
}

#[test]
fn an_agent_killed_under_load_loses_no_more_than_its_window_and_the_next_run_says_so() {
    let mut folder = tempfile::tempdir().expect("folder");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut before, mut given, mut lost) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    let mut within = 0;
    let mut late = 0;
    let kills = kills();
    for kill in 0..kills {
        if kill.is_multiple_of(KILLS_OF_A_LOG) {
            folder = tempfile::tempdir().expect("folder");
            before = 0;
        }
        let dir = folder.path().join("audit");
        let time = Duration::from_micros(random.next() % 500_000);
        let (at, said) = killed("child_that_is_given_calls_until_it_is_killed", &dir, time);
        let report = verify(&dir, &Trust::default(), &mut |_, _| {}).expect("readable");
        assert!(report.good(), "after kill {kill}: {report}");
        let runs_before = kill % KILLS_OF_A_LOG;
        assert_eq!(
            report.cut_off, runs_before,
            "each run but the last is told of"
        );
        // Records of this run, without those in which the agent speaks of itself.
        let kept = report.size - before;
        before = report.size;
        let all = said.last().map_or(0, |(_, number)| *number);
        let first_lost = said.iter().find(|(_, number)| *number > kept);
        let window = first_lost.map_or(Duration::ZERO, |(time, _)| at.duration_since(*time));
        given += all;
        lost += all.saturating_sub(kept);
        longest = longest.max(window);
        within += u64::from(window <= COMMIT);
        if kill % KILLS_OF_A_LOG == KILLS_OF_A_LOG - 1 || kill == kills - 1 {
            late += report.late_commits;
        }
        assert!(
            window <= COMMIT + BUSY,
            "after kill {kill}: calls given {window:?} before are lost: {report}"
        );
    }
    println!(
        "{kills} kills: of {given} calls {lost} lost; the oldest was {longest:?} old; within {COMMIT:?}: \
         {within} of {kills} kills; the logs tell of {late} commits that were late"
    );
}
