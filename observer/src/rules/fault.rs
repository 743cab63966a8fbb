//! What can be wrong with rules.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A fault in the text of a file: the line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// From 1.
    pub(super) line: usize,
    pub(super) what: String,
}

impl Fault {
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

/// Why a folder of rules is not taken: which file, where in it, and what to do.
#[derive(Debug, Error)]
pub enum RuleError {
    /// The folder, or a file in it, cannot be read.
    #[error("cannot read the rules in {}: {source}", path.display())]
    Read {
        /// Folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A rule is wrong.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, and what to write instead.
        what: String,
    },
    /// There are more than any host needs.
    #[error("{}: {what}", path.display())]
    TooMany {
        /// The folder or the file.
        path: PathBuf,
        /// Which bound it is.
        what: String,
    },
}

/// Text of a file for a message: quoted, escaped, and short.
pub(super) fn quoted(text: &str) -> String {
    /// Longer text is no name that somebody mistyped.
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{}\"", short.escape_debug())
}
