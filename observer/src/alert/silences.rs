//! The silences of an agent: a file in its state folder, which people change and the agent reads.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::note::Alert;
use super::silence::Silence;
use super::spool::write_whole;

/// Silences in force at a time: more than anybody keeps in mind.
const MOST: usize = 256;
/// A list of silences is not longer, bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Characters of each text of a silence.
const LONGEST: usize = 256;

/// What is in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Number of the next.
    next: u64,
    silences: Vec<Silence>,
}

/// Reads and changes the list.
#[derive(Debug)]
pub struct Silences {
    path: PathBuf,
    kept: Kept,
    /// Of the file that was read last.
    changed: Option<(SystemTime, u64)>,
}

impl Silences {
    /// Those of the agent with this state folder; none if there is no list.
    ///
    /// # Errors
    /// Those of reading; a list that is none.
    pub fn open(state: &Path) -> io::Result<Self> {
        let mut silences = Self {
            path: state.join("alerts").join("silences.json"),
            kept: Kept::default(),
            changed: None,
        };
        silences.read()?;
        Ok(silences)
    }

    /// Reads the list again if it changed; says whether it did.
    ///
    /// # Errors
    /// Those of reading; a list that is none. Then the one before stays in force.
    pub fn read(&mut self) -> io::Result<bool> {
        let data = match fs::metadata(&self.path) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.kept.silences.clear();
                return Ok(self.changed.take().is_some());
            }
            Err(error) => return Err(error),
        };
        let changed = Some((data.modified()?, data.len()));
        if changed == self.changed {
            return Ok(false);
        }
        // Once, whether it can be read or not.
        self.changed = changed;
        let mut text = String::new();
        File::open(&self.path)?
            .take(MOST_BYTES)
            .read_to_string(&mut text)?;
        self.kept = serde_json::from_str(&text).map_err(io::Error::from)?;
        self.kept.silences.truncate(MOST);
        Ok(true)
    }

    /// Those that are in force at this time.
    pub fn list(&self, now_unix_ns: u64) -> impl Iterator<Item = &Silence> {
        self.kept
            .silences
            .iter()
            .filter(move |silence| now_unix_ns < silence.until_unix_ns)
    }

    /// The alert is not to be told at this time.
    pub fn cover(&self, alert: &Alert, now_unix_ns: u64) -> bool {
        self.kept
            .silences
            .iter()
            .any(|silence| silence.covers(alert, now_unix_ns))
    }

    /// Adds one and gives it its number. Those whose time is over are forgotten.
    ///
    /// # Errors
    /// It covers everything, a text is too long, there are too many, or the list cannot be written.
    pub fn add(&mut self, silence: Silence) -> io::Result<&Silence> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let _lock = self.lock()?;
        self.read()?;
        self.kept
            .silences
            .retain(|other| silence.from_unix_ns < other.until_unix_ns);
        let Silence {
            rule,
            identity,
            client,
            endpoint,
            by,
            comment,
            ..
        } = &silence;
        if [rule, identity, client, endpoint]
            .iter()
            .all(|part| part.is_none())
        {
            return Err(wrong(
                "a silence needs a rule, an identity, a client or an endpoint".to_owned(),
            ));
        }
        let texts = [rule, identity, client, endpoint]
            .into_iter()
            .flatten()
            .chain([by, comment]);
        if texts.into_iter().any(|text| text.chars().count() > LONGEST) {
            return Err(wrong(format!(
                "no text of a silence may be longer than {LONGEST} characters"
            )));
        }
        if client
            .as_deref()
            .is_some_and(|client| super::silence::network(client).is_none())
        {
            return Err(wrong(
                "the client is no address and no network such as 10.0.0.0/8".to_owned(),
            ));
        }
        if self.kept.silences.len() >= MOST {
            return Err(wrong(format!(
                "there are {MOST} silences already: remove one first"
            )));
        }
        self.kept.next = self.kept.next.max(1);
        let id = self.kept.next;
        self.kept.next += 1;
        self.kept.silences.push(Silence { id, ..silence });
        self.write()?;
        self.kept
            .silences
            .last()
            .ok_or_else(|| io::Error::other("the list is empty"))
    }

    /// Takes one away; `None` if there is none with this number.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn remove(&mut self, id: u64) -> io::Result<Option<Silence>> {
        let _lock = self.lock()?;
        self.read()?;
        let Some(at) = self
            .kept
            .silences
            .iter()
            .position(|silence| silence.id == id)
        else {
            return Ok(None);
        };
        let removed = self.kept.silences.remove(at);
        self.write()?;
        Ok(Some(removed))
    }

    /// Held while the list is changed: two people may do so at once.
    fn lock(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = File::create(self.path.with_extension("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn write(&self) -> io::Result<()> {
        write_whole(&self.path, &serde_json::to_vec(&self.kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Silences;
    use crate::alert::{Alert, Silence};

    fn rule(name: &str, from: u64, until: u64) -> Silence {
        Silence {
            rule: Some(name.to_owned()),
            from_unix_ns: from,
            until_unix_ns: until,
            by: "root".to_owned(),
            ..Silence::default()
        }
    }

    #[test]
    fn a_silence_is_seen_by_who_has_the_list_open_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = Silences::open(folder.path()).unwrap();
        assert!(!agent.read().unwrap());
        let mut person = Silences::open(folder.path()).unwrap();
        assert_eq!(person.add(rule("scanner", 10, 100)).unwrap().id, 1);
        assert_eq!(person.add(rule("crawl", 10, 200)).unwrap().id, 2);
        assert!(agent.read().unwrap());
        let alert = Alert {
            rule: "scanner".into(),
            ..Alert::default()
        };
        assert!(agent.cover(&alert, 99) && !agent.cover(&alert, 100));
        assert_eq!(agent.list(150).count(), 1);
        assert_eq!(
            person.remove(1).unwrap().unwrap().rule.as_deref(),
            Some("scanner")
        );
        assert_eq!(person.remove(1).unwrap(), None);
        agent.read().unwrap();
        assert!(!agent.cover(&alert, 99));
        // Its number is not used again, and what is over is forgotten.
        let mut later = Silences::open(folder.path()).unwrap();
        assert_eq!(later.add(rule("spray", 300, 400)).unwrap().id, 3);
        assert_eq!(later.list(0).count(), 1);
    }

    #[test]
    fn what_covers_everything_or_cannot_be_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut silences = Silences::open(folder.path()).unwrap();
        assert!(silences.add(Silence::default()).is_err());
        assert!(silences.add(rule(&"x".repeat(300), 0, 1)).is_err());
        let client = Silence {
            client: Some("10.0.0.0/40".to_owned()),
            ..Silence::default()
        };
        assert!(silences.add(client).is_err());
        for _ in 0..256 {
            silences.add(rule("r", 0, 10)).unwrap();
        }
        assert!(silences.add(rule("r", 0, 10)).is_err());
        assert!(
            silences.add(rule("r", 10, 20)).is_ok(),
            "those before are over"
        );
        std::fs::write(folder.path().join("alerts/silences.json"), "no list").unwrap();
        assert!(silences.read().is_err());
        assert_eq!(
            silences.list(15).count(),
            1,
            "the list before stays in force"
        );
        assert!(!silences.read().unwrap(), "the same fault is told once");
    }
}
