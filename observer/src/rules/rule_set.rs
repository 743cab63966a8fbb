//! All rules of a folder.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::correlation::{Correlation, Draft, Member};
use super::event_rule::EventRule;
use super::fault::{Fault, RuleError, quoted};
use super::heading::Heading;
use super::read::{Written, read};

/// Files of a folder, and of those in it.
const MOST_FILES: usize = 1_000;
/// Folders within one another.
const DEEPEST: usize = 8;
/// A rule has some thousand bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Rules about single calls: each is held against each call.
const MOST_EVENT_RULES: usize = 1_000;
/// Correlations: each has memory of its own.
const MOST_CORRELATIONS: usize = 64;

/// Rules that are sound, and know each other.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub(super) events: Vec<EventRule>,
    /// Each after those it refers to.
    pub(super) correlations: Vec<Correlation>,
    digest: [u8; 32],
}

/// A correlation and the file it is from.
struct Unlinked {
    path: PathBuf,
    draft: Draft,
}

impl RuleSet {
    /// Reads all `.yml` and `.yaml` files of a folder and of the folders in it.
    ///
    /// # Errors
    /// The first rule that is wrong, in the order of the names of files.
    pub fn load(folder: &Path) -> Result<Self, RuleError> {
        let mut texts = Vec::new();
        for path in files(folder)? {
            let failed = |source| RuleError::Read {
                path: path.clone(),
                source,
            };
            let mut text = String::new();
            File::open(&path)
                .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
                .map_err(failed)?;
            if text.len() as u64 > MOST_BYTES {
                return Err(RuleError::TooMany {
                    path,
                    what: format!("the file is longer than {MOST_BYTES} bytes: is it a rule?"),
                });
            }
            texts.push((path, text));
        }
        Self::of_texts(&texts)
    }

    /// The rules in these texts; paths are only for messages.
    ///
    /// # Errors
    /// The first rule that is wrong.
    pub fn of_texts(texts: &[(PathBuf, String)]) -> Result<Self, RuleError> {
        let mut set = Self::default();
        let mut drafts = Vec::new();
        let mut names: Vec<(Heading, PathBuf)> = Vec::new();
        let mut digest = Sha256::new();
        for (path, text) in texts {
            digest.update(Sha256::digest(text.as_bytes()));
            let at = |Fault { line, what }| RuleError::Line {
                path: path.clone(),
                line,
                what,
            };
            for written in read(text).map_err(at)? {
                let heading = match &written {
                    Written::Event(rule) => &rule.heading,
                    Written::Correlation(draft) => &draft.heading,
                };
                let twin = names.iter().find(|(other, _)| {
                    other.name == heading.name || other.id.is_some() && other.id == heading.id
                });
                if let Some((other, file)) = twin {
                    let what = format!(
                        "{} is there already ({}:{}): give the rule another name and another id",
                        quoted(&heading.name),
                        file.display(),
                        other.line
                    );
                    return Err(at(Fault::new(heading.line, what)));
                }
                names.push((heading.clone(), path.clone()));
                match written {
                    Written::Event(rule) => set.events.push(rule),
                    Written::Correlation(draft) => drafts.push(Unlinked {
                        path: path.clone(),
                        draft,
                    }),
                }
                let (most, what) = if set.events.len() > MOST_EVENT_RULES {
                    (MOST_EVENT_RULES, "rules about single calls")
                } else {
                    (MOST_CORRELATIONS, "correlations")
                };
                if set.events.len() > MOST_EVENT_RULES || drafts.len() > MOST_CORRELATIONS {
                    return Err(RuleError::TooMany {
                        path: path.clone(),
                        what: format!("more than {most} {what}"),
                    });
                }
            }
        }
        set.link(drafts)?;
        set.digest = digest.finalize().into();
        Ok(set)
    }

    /// Rules about single calls, and correlations.
    pub fn len(&self) -> usize {
        self.events.len() + self.correlations.len()
    }

    /// There is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name and title of each rule.
    pub fn titles(&self) -> impl Iterator<Item = (&str, &str)> {
        let events = self.events.iter().map(|rule| &rule.heading);
        let correlations = self.correlations.iter().map(|rule| &rule.heading);
        events
            .chain(correlations)
            .map(|heading| (&*heading.name, heading.title.as_str()))
    }

    /// SHA-256 of the files, in hexadecimal.
    pub fn sha256(&self) -> String {
        self.digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Finds the rules of each correlation; those that others refer to come first.
    fn link(&mut self, mut drafts: Vec<Unlinked>) -> Result<(), RuleError> {
        let mut silent = Vec::new();
        while !drafts.is_empty() {
            let before = drafts.len();
            let mut waiting = Vec::new();
            for unlinked in drafts {
                let Unlinked { path, draft } = &unlinked;
                let at = |Fault { line, what }| RuleError::Line {
                    path: path.clone(),
                    line,
                    what,
                };
                let mut members = Vec::new();
                for (name, _) in &draft.rules {
                    members.extend(self.member(name));
                }
                if members.len() < draft.rules.len() {
                    waiting.push(unlinked);
                    continue;
                }
                let linked = draft.link(&members).map_err(at)?;
                if !draft.generate {
                    silent.extend(linked.parts.iter().map(|part| part.member));
                }
                self.correlations.push(linked);
            }
            if waiting.len() == before {
                return Err(self.unlinkable(&waiting));
            }
            drafts = waiting;
        }
        // A rule that only serves others does not speak itself, unless it is asked to.
        for member in silent {
            match member {
                Member::Event(at) => {
                    if let Some(rule) = self.events.get_mut(at) {
                        rule.told = false;
                    }
                }
                Member::Correlation(at) => {
                    if let Some(rule) = self.correlations.get_mut(at) {
                        rule.told = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// The rule of this name or id, its name and what was read of it.
    fn member(&self, reference: &str) -> Option<(Member, &str, &str)> {
        let event = self
            .events
            .iter()
            .position(|rule| rule.heading.is_called(reference))
            .and_then(|at| Some((at, self.events.get(at)?)))
            .map(|(at, rule)| {
                (
                    Member::Event(at),
                    &*rule.heading.name,
                    rule.definition.as_str(),
                )
            });
        event.or_else(|| {
            let at = self
                .correlations
                .iter()
                .position(|rule| rule.heading.is_called(reference))?;
            let rule = self.correlations.get(at)?;
            Some((
                Member::Correlation(at),
                &*rule.heading.name,
                rule.definition.as_str(),
            ))
        })
    }

    /// Why none of these can be linked.
    fn unlinkable(&self, waiting: &[Unlinked]) -> RuleError {
        let known = |name: &str| {
            self.member(name).is_some()
                || waiting
                    .iter()
                    .any(|other| other.draft.heading.is_called(name))
        };
        for Unlinked { path, draft } in waiting {
            if let Some((name, line)) = draft.rules.iter().find(|(name, _)| !known(name)) {
                return RuleError::Line {
                    path: path.clone(),
                    line: *line,
                    what: format!("correlation: no rule has the name or id {}", quoted(name)),
                };
            }
        }
        let (path, line) = waiting
            .first()
            .map(|first| (first.path.clone(), first.draft.heading.line))
            .unwrap_or_default();
        let what = "correlation: refers to itself, by way of its rules".to_owned();
        RuleError::Line { path, line, what }
    }
}

/// The files of rules in a folder and in those in it, in the order of their names.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, RuleError> {
    let mut files = Vec::new();
    gather(folder, 0, &mut files)?;
    files.sort();
    Ok(files)
}

/// Adds the files of rules in a folder. Names that start with a dot are an editor's.
fn gather(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), RuleError> {
    let failed = |source: io::Error| RuleError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth + 1 < DEEPEST {
                gather(&path, depth + 1, files)?;
            }
        } else if name.ends_with(".yml") || name.ends_with(".yaml") {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(RuleError::TooMany {
                path: folder.to_owned(),
                what: format!("more than {MOST_FILES} files of rules"),
            });
        }
    }
    Ok(())
}
