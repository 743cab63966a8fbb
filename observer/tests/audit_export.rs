//! `observer audit export`: each record once over breaks and while the log grows, with anchors.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use observer::audit::{AuditSettings, start};
use serde_json::Value;

#[path = "../benches/audit/traffic.rs"]
mod traffic;

use traffic::Traffic;

/// For what takes a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A run of the log: a start, so many calls, a stop.
fn run(dir: &Path, calls: u64) {
    let (mut sink, thread) = start(
        dir.to_owned(),
        "host.example/audit",
        AuditSettings {
            // Nothing is late then, which would be a record more.
            commit: Duration::from_secs(60),
            ..AuditSettings::default()
        },
        "00".to_owned(),
    )
    .expect("start");
    let mut traffic = Traffic::default();
    for _ in 0..calls {
        sink.call(traffic.call());
    }
    drop(sink);
    thread.finish();
}

fn export(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_observer"))
        .args(["audit", "export"])
        .arg(dir)
        .args(arguments)
        .output()
        .expect("export");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output.stdout
}

/// Numbers of the records in lines, and the checkpoints among them.
fn read(lines: &[u8]) -> (Vec<u64>, Vec<String>) {
    let (mut numbers, mut checkpoints) = (Vec::new(), Vec::new());
    for line in String::from_utf8_lossy(lines).lines() {
        let record: Value = serde_json::from_str(line).expect(line);
        match record["unmapped"]["checkpoint"].as_str() {
            Some(checkpoint) => checkpoints.push(checkpoint.to_owned()),
            None => numbers.push(record["metadata"]["sequence"].as_u64().expect(line)),
        }
    }
    (numbers, checkpoints)
}

#[test]
fn a_cursor_gives_each_record_once_with_the_checkpoint_over_it() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("audit");
    let cursor = folder.path().join("cursor");
    let cursor = cursor.to_str().expect("a path");
    let mut seen = Vec::new();
    for calls in [100, 3000, 1] {
        run(&dir, calls);
        let (numbers, checkpoints) = read(&export(&dir, &["--cursor", cursor, "--anchors"]));
        assert_eq!(numbers.len() as u64, calls + 2);
        seen.extend(numbers);
        let published = std::fs::read_to_string(dir.join("checkpoint")).expect("a checkpoint");
        assert_eq!(checkpoints, [published]);
    }
    assert_eq!(seen, (0..3107).collect::<Vec<u64>>());
    assert_eq!(export(&dir, &["--cursor", cursor]), b"");
    // Of the index and the segments, only what is asked for.
    let (numbers, _) = read(&export(&dir, &["--filter", "status>=400"]));
    assert!(!numbers.is_empty());
}

#[test]
fn what_comes_is_followed() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("audit");
    run(&dir, 10);
    let mut child = Command::new(env!("CARGO_BIN_EXE_observer"))
        .args(["audit", "export", "--follow"])
        .arg(&dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("export");
    let lines = BufReader::new(child.stdout.take().expect("pipe")).lines();
    let (to, from) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
    let mut next = 0;
    for size in [12, 34, 57] {
        while next < size {
            let line = from.recv_timeout(LIMIT).expect("a record");
            assert_eq!(read(line.as_bytes()).0, [next]);
            next += 1;
        }
        run(&dir, if size == 12 { 20 } else { 21 });
    }
    child.kill().expect("kill");
    child.wait().expect("end");
}

#[test]
fn parquet_is_a_file_of_its_own() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("audit");
    run(&dir, 10);
    let bytes = export(&dir, &["--format", "parquet"]);
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let output = Command::new(env!("CARGO_BIN_EXE_observer"))
        .args(["audit", "export", "--format", "parquet", "--follow"])
        .arg(&dir)
        .output()
        .expect("export");
    assert_eq!(output.status.code(), Some(2));
}
