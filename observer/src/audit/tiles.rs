//! Hash tiles on disk, as C2SP tlog-tiles lays them out: `tile/L/N`, 256 hashes each.
//!
//! Full tiles only, written once and never changed. Partial tiles are in the head of each segment
//! and in memory. Tiles serve proofs, and tell which record was changed; they can be made anew
//! from the segments.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use super::durable::{make_folder, read_small, replace_derived};
use super::edge::{TILE_WIDTH, Tile, perfect_root};
use super::error::AuditError;
use super::merkle::Hash;

/// Bytes of a full tile.
const TILE_BYTES: u64 = 8192;
/// Full tiles that wait for space on the disk: 8 MiB. Beyond it the oldest are given up; they come
/// back when the agent starts and reads its last segment.
const MOST_WAITING: usize = 1024;

/// Path of a tile.
pub(super) fn path(dir: &Path, level: u32, index: u64) -> PathBuf {
    indexed(dir.join("tile").join(level.to_string()), index)
}

/// The index below `folder`, in groups of three digits, all but the last marked by an `x`.
pub(super) fn indexed(mut folder: PathBuf, index: u64) -> PathBuf {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    folder.extend(groups.iter().rev());
    folder
}

/// Reads a full tile; `None` if there is none.
pub(super) fn read(dir: &Path, level: u32, index: u64) -> Result<Option<Vec<Hash>>, AuditError> {
    let path = path(dir, level, index);
    let Some(bytes) = read_small(&path, TILE_BYTES)? else {
        return Ok(None);
    };
    let (hashes, rest) = bytes.as_chunks::<32>();
    if hashes.len() != TILE_WIDTH || !rest.is_empty() {
        return Err(AuditError::bad(&path, "is no tile of 256 hashes"));
    }
    Ok(Some(hashes.to_vec()))
}

/// Writes tiles as they fill, and keeps those that could not be written.
#[derive(Debug)]
pub(super) struct TileWriter {
    dir: PathBuf,
    waiting: VecDeque<Tile>,
    given_up: u64,
}

impl TileWriter {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            waiting: VecDeque::new(),
            given_up: 0,
        }
    }

    /// Takes a full tile.
    pub(super) fn push(&mut self, tile: Tile) {
        self.waiting.push_back(tile);
        if self.waiting.len() > MOST_WAITING {
            self.waiting.pop_front();
            self.given_up += 1;
        }
    }

    /// Tiles wait to be written.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tiles that could not be written and are no longer held.
    pub(super) const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Writes what waits. What fails waits on.
    pub(super) fn write(&mut self) -> Result<(), AuditError> {
        while let Some(tile) = self.waiting.front() {
            let path = path(&self.dir, tile.level, tile.index);
            let bytes = tile.hashes.concat();
            if let Err(first) = replace_derived(&path, &bytes) {
                make_folder(path.parent().unwrap_or(&self.dir))?;
                if replace_derived(&path, &bytes).is_err() {
                    return Err(first);
                }
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Writes a tile that should be there if it is not; `false` if another one is there.
    pub(super) fn restore(&mut self, tile: Tile) -> bool {
        match read(&self.dir, tile.level, tile.index) {
            Ok(Some(hashes)) if hashes == tile.hashes => true,
            Ok(None) => {
                self.push(tile);
                true
            }
            _ => {
                self.push(tile);
                false
            }
        }
    }
}

/// Root of the perfect subtree at `level` and `index`, from the tile that holds it.
pub(super) fn subtree(
    level: u32,
    index: u64,
    tile: &mut impl FnMut(u32, u64) -> Result<Vec<Hash>, AuditError>,
) -> Result<Option<Hash>, AuditError> {
    let (tile_level, within) = (level / 8, level % 8);
    let from = index << within;
    let hashes = tile(tile_level, from / TILE_WIDTH as u64)?;
    let at = (from % TILE_WIDTH as u64) as usize;
    Ok(hashes.get(at..at + (1 << within)).and_then(perfect_root))
}

/// Removes the lowest tiles of records before `first`, where a full tile above them keeps their
/// roots: proofs of all that is left stay possible.
pub(super) fn prune(dir: &Path, first: u64) {
    /// Records under one tile of the second level.
    const UNDER: u64 = 65_536;
    for upper in (0..first / UNDER).rev() {
        if !path(dir, 1, upper).exists() {
            continue;
        }
        let lower = upper * TILE_WIDTH as u64;
        // From the last to the first: where the first of them is gone, so are all before it.
        for index in (lower..lower + TILE_WIDTH as u64).rev() {
            if fs::remove_file(path(dir, 0, index)).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::path;
    use std::path::Path;

    #[test]
    fn tiles_lie_where_the_layout_says() {
        let at = |level, index| path(Path::new("/l"), level, index).display().to_string();
        assert_eq!(at(0, 1_234_067), "/l/tile/0/x001/x234/067");
        assert_eq!(at(2, 5), "/l/tile/2/005");
        assert_eq!(at(1, 256_000), "/l/tile/1/x256/000");
    }
}
