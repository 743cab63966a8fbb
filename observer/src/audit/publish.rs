//! A log as a folder of plain files that any web server can offer (C2SP tlog-tiles): `checkpoint`,
//! `tile/L/N` hashes, `tile/entries/N` records, and the partial ones at the end as `….p/W`.
//!
//! In: a log. Out: the files, written so that what was there before stays valid at each moment.
//! Never: a log that is not the one of its checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use super::durable::{make_folder, read_small, replace, replace_derived};
use super::edge::{Edge, TILE_WIDTH, Tile};
use super::error::AuditError;
use super::frame::Kind;
use super::merkle::leaf_hash;
use super::note::Note;
use super::proof::last_checkpoint;
use super::segment::{self, SegmentReader, Step};
use super::tiles;

/// A checkpoint with its signatures.
const MOST_NOTE: u64 = 64 << 10;
/// Levels of tiles that a tree of 2^64 leaves has.
const LEVELS: u32 = 8;

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Records under the checkpoint that is offered.
    pub size: u64,
    /// First record that is offered; those before were removed from the log.
    pub first: u64,
    /// Tiles and bundles that were written now.
    pub written: u64,
}

/// Writes the files of the log in `dir` to `out`, as far as they are not there.
///
/// # Errors
/// If the log cannot be read, if it is not the one of its last checkpoint, or if a file cannot be
/// written.
pub fn publish(dir: &Path, out: &Path) -> Result<Published, AuditError> {
    let text = last_checkpoint(dir)?;
    let note = Note::parse(text.as_bytes()).map_err(|what| AuditError::bad(dir, what))?;
    let size = note.checkpoint.size;
    // From the last whole bundle of what is there already.
    let before = read_small(&out.join("checkpoint"), MOST_NOTE)?
        .and_then(|bytes| Note::parse(&bytes).ok())
        .filter(|before| before.checkpoint.origin == note.checkpoint.origin)
        .map_or(0, |before| before.checkpoint.size)
        .min(size);
    let from = before - before % TILE_WIDTH as u64;
    let segments = segment::list(dir)?;
    let start = segments
        .partition_point(|(first, _)| *first <= from)
        .saturating_sub(1);
    let mut publisher = Publisher {
        dir,
        out,
        size,
        edge: None,
        bundle: Vec::new(),
        bundled: None,
        published: Published {
            size,
            first: segments.first().map_or(0, |(first, _)| *first),
            written: 0,
        },
    };
    for (_, path) in segments.get(start..).unwrap_or_default() {
        publisher.segment(path)?;
    }
    let edge = publisher.edge.take().unwrap_or_default();
    if edge.size() != size || edge.root() != note.checkpoint.root {
        return Err(AuditError::bad(
            dir,
            "is not the log of its last checkpoint: see `observer audit verify`",
        ));
    }
    publisher.partials(&edge)?;
    publisher.earlier_tiles()?;
    replace(&out.join("checkpoint"), text.as_bytes(), 0o644)?;
    Ok(publisher.published)
}

struct Publisher<'a> {
    dir: &'a Path,
    out: &'a Path,
    size: u64,
    edge: Option<Edge>,
    /// Records of the bundle at hand, each with its length before it.
    bundle: Vec<u8>,
    /// Its first record; `None` until one starts where a bundle does.
    bundled: Option<u64>,
    published: Published,
}

impl Publisher<'_> {
    fn segment(&mut self, path: &Path) -> Result<(), AuditError> {
        let mut reader = SegmentReader::open(path)?;
        let mut edge = match self.edge.take() {
            Some(edge) => edge,
            None => reader.edge().clone(),
        };
        let mut raw = Vec::new();
        while edge.size() < self.size {
            let Step::Frame { header, payload } = reader.next(&mut |_| true)? else {
                break;
            };
            if header.kind != Kind::Records {
                continue;
            }
            for record in header.unpack(payload, &mut raw).into_iter().flatten() {
                if edge.size() == self.size {
                    break;
                }
                self.record(edge.size(), record)?;
                let mut full = Vec::new();
                edge.push(leaf_hash(record), &mut |tile| full.push(tile));
                for Tile {
                    level,
                    index,
                    hashes,
                } in full
                {
                    let path = tiles::path(self.out, level, index);
                    self.whole(&path, &hashes.concat())?;
                }
            }
        }
        self.edge = Some(edge);
        Ok(())
    }

    fn record(&mut self, index: u64, record: &[u8]) -> Result<(), AuditError> {
        let width = TILE_WIDTH as u64;
        if index.is_multiple_of(width) {
            self.bundled = Some(index);
        }
        if self.bundled.is_none() {
            return Ok(());
        }
        let length = u16::try_from(record.len())
            .map_err(|_| AuditError::bad(self.dir, "has a record that is too long for a bundle"))?;
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(record);
        if index % width == width - 1 {
            let bundle = std::mem::take(&mut self.bundle);
            self.whole(&self.entries(index / width), &bundle)?;
        }
        Ok(())
    }

    fn entries(&self, index: u64) -> PathBuf {
        tiles::indexed(self.out.join("tile").join("entries"), index)
    }

    /// Writes a file that is full, and removes those that were on the way to it.
    fn whole(&mut self, path: &Path, bytes: &[u8]) -> Result<(), AuditError> {
        self.write(path, bytes)?;
        // Only waste if it stays.
        let _ = fs::remove_dir_all(partial(path));
        Ok(())
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), AuditError> {
        if path.exists() {
            return Ok(());
        }
        make_folder(path.parent().unwrap_or(self.out))?;
        self.published.written += 1;
        replace_derived(path, bytes)
    }

    /// What is at the right edge and not full.
    fn partials(&mut self, edge: &Edge) -> Result<(), AuditError> {
        for level in 0..LEVELS {
            let hashes = edge.partial(level);
            if !hashes.is_empty() {
                let index = self.size.checked_shr(8 * (level + 1)).unwrap_or(0);
                let path = partial(&tiles::path(self.out, level, index));
                self.write(&path.join(hashes.len().to_string()), &hashes.concat())?;
            }
        }
        let width = self.size % TILE_WIDTH as u64;
        if self.bundled.is_some() && width > 0 {
            let bundle = std::mem::take(&mut self.bundle);
            let path = partial(&self.entries(self.size / TILE_WIDTH as u64));
            self.write(&path.join(width.to_string()), &bundle)?;
        }
        Ok(())
    }

    /// Tiles over records that are no longer there, as far as proofs of others need them.
    fn earlier_tiles(&mut self) -> Result<(), AuditError> {
        let first = self.published.first;
        for level in 0..LEVELS {
            let tiles_before = first.checked_shr(8 * (level + 1)).unwrap_or(0);
            for index in (0..=tiles_before).rev() {
                let path = tiles::path(self.out, level, index);
                if path.exists() {
                    continue;
                }
                match tiles::read(self.dir, level, index)? {
                    Some(hashes) => self.whole(&path, &hashes.concat())?,
                    // The first that is gone; so are those before it.
                    None if index < tiles_before => break,
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// Folder of the partial files on the way to `path`.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".p");
    PathBuf::from(name)
}
