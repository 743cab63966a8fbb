//! What can be wrong with the settings.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An error in the settings: which file, where in it, and what to do.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than any settings file.
    #[error("the settings file {} is longer than {most} bytes: is it the right file?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound.
        most: u64,
    },
    /// A line of the file is wrong.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key, if the line has one, and what is wrong with it.
        what: String,
    },
}
