//! The file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::batch::{Batch, KeptQuota};
use super::line::Line;
use crate::usage::{Dimension, Measured, Meter, Row};

/// First line of the file.
const TITLE: &str = "observer-usage 1\n";
/// A larger file is not of the agent: the largest has some 70 MiB.
const MOST_BYTES: u64 = 512 << 20;
/// Longest line, bytes: a row has at most some 2 KiB.
const MOST_LINE: u64 = 16 << 10;
/// The file is written anew when it is larger than this and four times what it was then.
const GROWN: u64 = 4 << 20;
/// How often the disk is asked to keep what was appended.
const SYNC: Duration = Duration::from_secs(30);

/// Why usage cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system says no.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is of something else.
    #[error("{path} is not of this form: it does not begin as usage does")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

/// The file under a state folder.
fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("usage")
}

/// Reads what is kept under a state folder, puts the rows into `meter`, and hands out the quotas
/// and how many lines were damaged; `None` if nothing is kept. A line cut in half by a crash is
/// passed over.
///
/// # Errors
/// See [`JournalError`].
pub fn read(
    state_dir: &Path,
    meter: &mut Meter,
) -> Result<Option<(Vec<KeptQuota>, u64)>, JournalError> {
    let path = place(state_dir);
    let io = |source| JournalError::Io {
        path: path.clone(),
        source,
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut from = BufReader::new(file.take(MOST_BYTES));
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        from.by_ref()
            .take(MOST_LINE)
            .read_until(b'\n', line)
            .map_err(io)
    };
    next(&mut line)?;
    if line != TITLE.as_bytes() {
        return Err(JournalError::Foreign {
            path: place(state_dir),
        });
    }
    let mut quotas = std::collections::HashMap::new();
    let mut damaged = 0;
    while next(&mut line)? > 0 {
        let Some(text) = line.strip_suffix(b"\n") else {
            // The one that is being written, or was when the agent died.
            continue;
        };
        let restored = match Line::read(text) {
            Some(Line::Sum { by, total, missed }) => Dimension::named(&by).map(|by| {
                meter.restore_head(by, Measured::from_parts(total), missed);
            }),
            Some(Line::Row { by, name, numbers }) => Dimension::named(&by)
                .zip(Row::from_numbers(&name, &numbers))
                .map(|(by, row)| meter.restore(by, row)),
            Some(Line::Quota {
                limit,
                name,
                period,
                used,
                most,
            }) => {
                let key = (limit.clone(), name.clone());
                let quota = KeptQuota {
                    limit,
                    name,
                    period,
                    used,
                    most,
                };
                quotas.insert(key, quota);
                Some(())
            }
            None => None,
        };
        damaged += u64::from(restored.is_none());
    }
    Ok(Some((quotas.into_values().collect(), damaged)))
}

/// The file, to be written by one thread.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    /// What it had when it was written anew.
    whole: u64,
    synced: Instant,
}

impl Journal {
    /// The file under a state folder; it is written anew first.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: place(state_dir),
            file: None,
            bytes: 0,
            whole: 0,
            synced: Instant::now(),
        }
    }

    /// The next batch must be all there is.
    pub fn wants_whole(&self) -> bool {
        self.file.is_none() || self.bytes > GROWN.max(self.whole.saturating_mul(4))
    }

    /// Writes a batch. After a failure the next one must be whole.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let written = self.try_write(batch);
        if written.is_err() {
            // Half a line may be there.
            self.file = None;
        }
        written
    }

    fn try_write(&mut self, batch: &Batch) -> io::Result<()> {
        let Batch {
            whole,
            sums,
            rows,
            quotas,
        } = batch;
        let mut text = String::new();
        for (by, total, missed) in sums {
            let line = Line::Sum {
                by: by.as_str().to_owned(),
                total: *total,
                missed: *missed,
            };
            line.write(&mut text);
        }
        for (by, row) in rows {
            let line = Line::Row {
                by: by.as_str().to_owned(),
                name: row.name.to_string(),
                numbers: row.to_numbers(),
            };
            line.write(&mut text);
        }
        for quota in quotas {
            Line::quota(quota).write(&mut text);
        }
        if *whole {
            return self.replace(&text);
        }
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("the file must be written anew first"));
        };
        file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        if self.synced.elapsed() >= SYNC {
            file.sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// A reader sees the old file or the new one, after a crash too.
    fn replace(&mut self, text: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(&self.path);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let temporary = self.path.with_extension("tmp");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(TITLE.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        File::open(folder)?.sync_all()?;
        self.file = Some(file);
        self.bytes = text.len() as u64;
        self.whole = self.bytes;
        self.synced = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::{Journal, JournalError, read};
    use crate::catalog::sample;
    use crate::journal::{Batch, KeptQuota};
    use crate::usage::{Dimension, Meter};

    fn call() -> crate::call::ApiCall {
        let mut call = sample::call("GET", "/a", Some(200));
        call.service = Some("shop".into());
        call.route = Some("/a".into());
        call
    }

    fn quota(used: u64) -> KeptQuota {
        KeptQuota {
            limit: "client calls day *".to_owned(),
            name: "192.0.2.7".to_owned(),
            period: 20_000,
            used,
            most: 100,
        }
    }

    fn calls(meter: &Meter) -> u64 {
        let services = meter.ranking(Dimension::Service);
        services.rows().map(|row| row.total.calls).sum()
    }

    #[test]
    fn what_was_appended_is_there_after_a_crash_and_half_a_line_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(folder.path());
        let mut meter = Meter::default();
        assert!(read(folder.path(), &mut meter).unwrap().is_none());
        assert!(journal.wants_whole());
        meter.push(&call());
        journal.write(&Batch::of(&mut meter, true, 0)).unwrap();
        assert!(!journal.wants_whole());
        for used in 1..4 {
            meter.push(&call());
            let mut batch = Batch::of(&mut meter, false, 100);
            assert_eq!(batch.rows.len(), 3);
            batch.quotas.push(quota(used));
            journal.write(&batch).unwrap();
        }
        drop(journal);
        let path = folder.path().join("usage");
        let whole = fs::read(&path).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"00000000 {\"row\":{}}\n1234abcd {\"quo")
            .unwrap();
        let mut back = Meter::default();
        let (quotas, damaged) = read(folder.path(), &mut back).unwrap().unwrap();
        assert_eq!((quotas, damaged), (vec![quota(3)], 1));
        assert_eq!(calls(&back), 4);
        assert_eq!(back.ranking(Dimension::Service).total().calls, 4);
        // Cut anywhere, what is before the cut is read.
        for end in (17..whole.len()).step_by(37) {
            fs::write(&path, &whole[..end]).unwrap();
            let mut back = Meter::default();
            let (_, damaged) = read(folder.path(), &mut back).unwrap().unwrap();
            assert_eq!(damaged, 0);
            assert!(calls(&back) <= 4);
        }
        fs::write(&path, "something else\n").unwrap();
        let foreign = read(folder.path(), &mut back);
        assert!(matches!(foreign, Err(JournalError::Foreign { .. })));
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(folder.path());
        let mut meter = Meter::default();
        let mut anew = 0;
        for _ in 0..20_000 {
            meter.push(&call());
            let whole = journal.wants_whole();
            anew += u32::from(whole);
            journal.write(&Batch::of(&mut meter, whole, 100)).unwrap();
        }
        let bytes = fs::metadata(folder.path().join("usage")).unwrap().len();
        assert!(bytes < 5 << 20, "{bytes}");
        assert!(anew > 1);
        let mut back = Meter::default();
        read(folder.path(), &mut back).unwrap().unwrap();
        assert_eq!(calls(&back), 20_000);
    }
}
