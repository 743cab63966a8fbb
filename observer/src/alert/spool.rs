//! What waits to be delivered: a file each, in a folder. A restart goes on where it stopped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::note::Alert;

/// Deliveries that wait: days of alerts. More are dropped and counted.
pub(super) const MOST_WAITING: usize = 4096;

/// One delivery: an alert and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) to: String,
    pub(super) alert: Alert,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    numbers: BTreeSet<u64>,
    next: u64,
}

impl Spool {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut numbers = BTreeSet::new();
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if let Some(number) = name.strip_suffix(".json").and_then(|n| n.parse().ok()) {
                numbers.insert(number);
            }
        }
        let next = numbers.last().map_or(0, |last| last + 1);
        Ok(Self {
            folder,
            numbers,
            next,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Keeps a delivery; `false` if there is no room.
    pub(super) fn push(&mut self, waiting: &Waiting) -> io::Result<bool> {
        if self.numbers.len() >= MOST_WAITING {
            return Ok(false);
        }
        let number = self.next;
        self.next += 1;
        write_whole(&self.path(number), &serde_json::to_vec(waiting)?)?;
        self.numbers.insert(number);
        Ok(true)
    }

    /// The oldest from `from` on, and its number. One that cannot be read is removed.
    pub(super) fn next(&mut self, from: u64) -> Option<(u64, Waiting)> {
        loop {
            let number = *self.numbers.range(from..).next()?;
            let read = fs::read(self.path(number)).ok();
            match read.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                Some(waiting) => return Some((number, waiting)),
                None => self.done(number),
            }
        }
    }

    pub(super) fn done(&mut self, number: u64) {
        self.numbers.remove(&number);
        // A file that stays is delivered twice, which is better than not at all.
        drop(fs::remove_file(self.path(number)));
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}.json"))
    }
}

/// Writes a file so that it is there as a whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(new, path)
}
