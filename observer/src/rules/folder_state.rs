//! Whether a folder of rules changed, without reading them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::rule_set::files;

/// Names, times and sizes of the files of a folder. A folder that cannot be read has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderState {
    files: Vec<(PathBuf, Option<SystemTime>, u64)>,
}

impl FolderState {
    /// The folder as it is now.
    pub fn of(folder: &Path) -> Self {
        let files = files(folder).unwrap_or_default();
        let files = files.into_iter().map(|path| {
            let data = path.metadata().ok();
            let changed = data.as_ref().and_then(|data| data.modified().ok());
            (path, changed, data.map_or(0, |data| data.len()))
        });
        Self {
            files: files.collect(),
        }
    }
}
