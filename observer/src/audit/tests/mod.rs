//! The log as a whole: what is written, what a start makes of it, and every way to tamper.

mod bytes;
mod forging;
mod journald;
mod life;
mod ocsf_schema;
mod publishing;
mod sealing;
mod search;
mod structure;
mod witness;

use std::fs;
use std::path::{Path, PathBuf};

use super::own_event::OwnEvent;
use super::{AuditSettings, Log, Ocsf, Report, Trust, segment, start, verify};
use crate::catalog::sample;

/// A time that every clock is past, milliseconds.
const START: u64 = 1_700_000_000_000;

fn open(dir: &Path) -> Log {
    Log::open(dir, "host.example/audit", AuditSettings::default(), START)
        .unwrap()
        .0
}

/// Appends `count` calls.
fn append(log: &mut Log, count: u64) {
    let mut ocsf = Ocsf::default();
    for _ in 0..count {
        let index = log.next_index();
        let mut call = sample::call("GET", &format!("/users/{index}"), Some(200));
        call.time_unix_ns = (START + index) * 1_000_000;
        let (head, record) = ocsf.call(&call, index);
        log.append(&head, record.as_bytes()).unwrap();
    }
}

/// A log of several frames, checkpoints, segments and two key epochs; 42 records.
fn small(dir: &Path) {
    let mut log = open(dir).with_segment_bytes(2000);
    log.append_own(
        &OwnEvent::Start {
            settings: "00".to_owned(),
            dropped_bytes: 0,
            cut_off: false,
        },
        START,
    )
    .unwrap();
    for round in 1..=4 {
        append(&mut log, 5);
        log.commit(START + 2000 * round).unwrap();
        append(&mut log, 4);
        log.commit(START + 2000 * round + 1000).unwrap();
        if round == 3 {
            log.rotate_key(START + 7500).unwrap();
        }
    }
    append(&mut log, 4);
    log.seal(START + 20_000).unwrap();
    assert_eq!(log.next_index(), 42);
}

/// 600 records, a checkpoint every 50, so that two lowest tiles are full.
fn tiled(dir: &Path) {
    let mut log = open(dir);
    for round in 1..=12 {
        append(&mut log, 50);
        log.seal(START + round * 1000).unwrap();
    }
}

/// A log of ten records under a checkpoint, and ten more under another.
fn twice_ten(dir: &Path) -> Cut {
    let mut log = open(dir);
    append(&mut log, 10);
    log.seal(START).unwrap();
    let path = segment::path(dir, 0);
    let length = fs::metadata(&path).unwrap().len();
    append(&mut log, 10);
    log.seal(START + 1000).unwrap();
    Cut { path, length }
}

/// Where the first ten records of a log end.
struct Cut {
    path: PathBuf,
    length: u64,
}

impl Cut {
    /// Cuts off what comes after them; what is beside the segments stays.
    fn off(&self) {
        let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        file.set_len(self.length).unwrap();
    }
}

/// A start and a stop of the agent's own thread.
fn run_once(dir: &Path) {
    let settings = AuditSettings::default();
    let (sink, thread) = start(dir.to_owned(), "x", settings, "00".to_owned()).unwrap();
    drop(sink);
    thread.finish();
}

fn check(dir: &Path) -> Report {
    verify(dir, &Trust::default(), &mut |_, _| {}).unwrap()
}

/// All files of a folder, those below it too.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}
