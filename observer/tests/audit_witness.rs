//! Two agents and a witness, each as it runs: cosignatures, and what a log that was put back gets.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use observer::audit::{AuditSettings, Trust, Vkey, WitnessAddress, start, verify};

#[path = "../benches/audit/traffic.rs"]
mod traffic;

use traffic::Traffic;

/// For what takes a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

fn observer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_observer"))
}

/// `observer audit witness`, ended with the test.
struct Witness {
    child: Child,
    /// As the settings of an agent name it.
    address: WitnessAddress,
    vkey: Vkey,
}

impl Witness {
    fn start(dir: &Path, logs: &[String]) -> Self {
        let mut command = observer();
        command.args([
            "audit",
            "witness",
            "--listen",
            "127.0.0.1:0",
            "--name",
            "witness.example/w",
        ]);
        command.arg("--dir").arg(dir);
        for log in logs {
            command.args(["--log", log]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("witness");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("pipe"))
            .read_line(&mut line)
            .expect("the address of the witness");
        let address = WitnessAddress::parse(&line).expect(&line);
        let vkey = line.split(' ').next().expect("a key");
        Self {
            child,
            address,
            vkey: Vkey::parse_witness(vkey).expect("a key"),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(witness: Option<&Witness>) -> AuditSettings {
    AuditSettings {
        witnesses: witness
            .iter()
            .map(|witness| witness.address.clone())
            .collect(),
        witness_every: Duration::from_millis(50),
        ..AuditSettings::default()
    }
}

/// A run of the agent's log with so many calls. What `until` waits for is what the witness said.
fn run(dir: &Path, name: &str, witness: Option<&Witness>, calls: u64, until: fn(u64, u64) -> bool) {
    let settings = settings(witness);
    let (mut sink, thread) =
        start(PathBuf::from(dir), name, settings, "00".to_owned()).expect("start");
    let mut traffic = Traffic::default();
    for _ in 0..calls {
        sink.call(traffic.call());
    }
    sink.flush();
    let began = Instant::now();
    loop {
        let counts = sink.counts();
        if until(counts.cosigned, counts.alarms) {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{counts:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(sink);
    thread.finish();
}

fn log_key(dir: &Path) -> String {
    let key = std::fs::read_to_string(dir.join("witness.vkey")).expect("a key");
    key.trim().to_owned()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.expect("cp").success());
}

#[test]
fn two_agents_are_witnessed_and_one_that_was_put_back_is_found_out() {
    let folder = tempfile::tempdir().expect("folder");
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let witness_dir = folder.path().join("witness");
    // The first run makes the keys.
    run(&a, "a.example/audit", None, 10, |_, _| true);
    run(&b, "b.example/audit", None, 10, |_, _| true);
    let logs = [log_key(&a), log_key(&b)];
    let witness = Witness::start(&witness_dir, &logs);
    run(
        &a,
        "a.example/audit",
        Some(&witness),
        3000,
        |cosigned, _| cosigned > 0,
    );
    run(&b, "b.example/audit", Some(&witness), 50, |cosigned, _| {
        cosigned > 0
    });
    let earlier = folder.path().join("earlier");
    copy(&a, &earlier);
    run(&a, "a.example/audit", Some(&witness), 700, |cosigned, _| {
        cosigned > 0
    });
    let trust = Trust {
        witnesses: vec![witness.vkey.clone()],
        ..Trust::default()
    };
    for dir in [&a, &b] {
        let report = verify(dir, &trust, &mut |_, _| {}).expect("readable");
        assert!(report.good() && report.anchored, "{report}");
        // The end of a run was taken to the witness too.
        assert_eq!(report.unwitnessed, 0, "{report}");
    }
    // All of it is put back, what the witness signed too: only the witness knows.
    std::fs::remove_dir_all(&a).expect("remove");
    copy(&earlier, &a);
    assert!(verify(&a, &trust, &mut |_, _| {}).expect("readable").good());
    run(&a, "a.example/audit", Some(&witness), 5, |_, alarms| {
        alarms > 0
    });
    let report = verify(&a, &trust, &mut |_, _| {}).expect("readable");
    assert!(!report.good(), "{report}");
    let text = report.to_string();
    assert!(
        text.contains("the witness witness.example/w has seen another log"),
        "{report}"
    );
}

#[test]
fn a_witness_without_a_log_prints_its_key_and_ends() {
    let folder = tempfile::tempdir().expect("folder");
    let key = || {
        let output = observer()
            .args(["audit", "witness", "--dir"])
            .arg(folder.path())
            .output()
            .expect("witness");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let first = key();
    Vkey::parse_witness(first.trim()).expect("a key");
    assert_eq!(key(), first);
}
