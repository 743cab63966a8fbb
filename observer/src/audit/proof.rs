//! Proofs that a record is in the log: C2SP tlog-proof, with the record in its `extra` line.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::consistency::consistency_proof;
use super::durable::read_small;
use super::edge::Edge;
use super::error::AuditError;
use super::frame::Kind;
use super::log::checkpoint_path;
use super::merkle::{Hash, inclusion_proof, leaf_hash, root_of_proof};
use super::note::Note;
use super::segment::{self, SegmentReader, Step};
use super::tiles;
use super::vkey::Vkey;

const TITLE: &str = "c2sp.org/tlog-proof@v1";
/// A record of 64 KiB in base64, 63 hashes, a checkpoint of 64 KiB.
const MOST: u64 = 256 << 10;
/// Most hashes of a proof in a tree of 2^64 records.
const MAX_HASHES: usize = 64;

/// Path of the proof that names the key of an epoch.
pub(super) fn epoch_path(dir: &Path, epoch: u32) -> PathBuf {
    dir.join("epochs").join(format!("{epoch:08}.tlog-proof"))
}

/// The root of a perfect subtree of the tree of `edge`, by level and index.
fn subtrees<'a>(
    dir: &'a Path,
    edge: &'a Edge,
) -> impl FnMut(u32, u64) -> Result<Hash, AuditError> + 'a {
    let size = edge.size();
    let mut tile = move |level: u32, at: u64| -> Result<Vec<Hash>, AuditError> {
        if size.checked_shr(8 * (level + 1)).unwrap_or(0) == at {
            return Ok(edge.partial(level).to_vec());
        }
        tiles::read(dir, level, at)?.ok_or_else(|| {
            AuditError::bad(
                &tiles::path(dir, level, at),
                "is missing: no proof without it",
            )
        })
    };
    move |level, at| {
        tiles::subtree(level, at, &mut tile)?
            .ok_or_else(|| AuditError::bad(dir, "has a tile that is too short"))
    }
}

/// The proof that the tree of `old` records is the beginning of that of `edge`.
pub(super) fn consistency(dir: &Path, edge: &Edge, old: u64) -> Result<Vec<Hash>, AuditError> {
    consistency_proof(old, edge.size(), &mut subtrees(dir, edge))
}

/// The proof of `record` at `index` in the tree of `edge`, whose checkpoint is `note`.
pub(super) fn make(
    dir: &Path,
    edge: &Edge,
    index: u64,
    record: &[u8],
    note: &str,
) -> Result<String, AuditError> {
    let hashes = inclusion_proof(index, edge.size(), &mut subtrees(dir, edge))?;
    let mut out = format!("{TITLE}\nextra {}\nindex {index}\n", BASE64.encode(record));
    for hash in hashes {
        out.push_str(&BASE64.encode(hash));
        out.push('\n');
    }
    out.push('\n');
    out.push_str(note);
    Ok(out)
}

/// The last checkpoint of the log in `dir`, a signed note.
///
/// # Errors
/// If there is none or it cannot be read.
pub fn last_checkpoint(dir: &Path) -> Result<String, AuditError> {
    let path = checkpoint_path(dir);
    let bytes = read_small(&path, MOST)?.ok_or_else(|| AuditError::NoLog {
        path: dir.to_owned(),
    })?;
    Note::parse(&bytes).map_err(|what| AuditError::bad(&path, what))?;
    String::from_utf8(bytes).map_err(|_| AuditError::bad(&path, "is not UTF-8"))
}

/// The proof of the record at `index` in the log in `dir`, against its last checkpoint.
///
/// # Errors
/// If the record is not there or not under the checkpoint yet, or if a file cannot be read.
pub fn prove(dir: &Path, index: u64) -> Result<String, AuditError> {
    let text = last_checkpoint(dir)?;
    let path = checkpoint_path(dir);
    let note = Note::parse(text.as_bytes()).map_err(|what| AuditError::bad(&path, what))?;
    let size = note.checkpoint.size;
    if index >= size {
        return Err(AuditError::bad(
            &path,
            format!(
                "covers records 0 to {}, not {index}",
                size.saturating_sub(1)
            ),
        ));
    }
    let record = read_record(dir, index)?;
    let edge = edge_at(dir, size)?;
    if edge.root() != note.checkpoint.root {
        return Err(AuditError::bad(
            dir,
            "is not the log of its last checkpoint: see `observer audit verify`",
        ));
    }
    make(dir, &edge, index, &record, &text)
}

/// The segment that holds `index`, or that would be the one to append it.
fn segment_of(dir: &Path, index: u64) -> Result<PathBuf, AuditError> {
    let segments = segment::list(dir)?;
    if segments.is_empty() {
        return Err(AuditError::NoLog {
            path: dir.to_owned(),
        });
    }
    let after = segments.partition_point(|(first, _)| *first <= index);
    after
        .checked_sub(1)
        .and_then(|at| segments.get(at))
        .map(|(_, path)| path.clone())
        .ok_or_else(|| AuditError::bad(dir, format!("no longer holds record {index}")))
}

fn read_record(dir: &Path, index: u64) -> Result<Vec<u8>, AuditError> {
    let path = segment_of(dir, index)?;
    let mut reader = SegmentReader::open(&path)?;
    let mut raw = Vec::new();
    loop {
        let holds = |first: u64, count: u32| (first..first + u64::from(count)).contains(&index);
        let step = reader.next(&mut |header| {
            header.kind == Kind::Records && holds(header.first, header.count)
        })?;
        let Step::Frame { header, payload } = step else {
            return Err(AuditError::bad(&path, format!("has no record {index}")));
        };
        if header.kind == Kind::Records && holds(header.first, header.count) {
            return header
                .unpack(payload, &mut raw)
                .and_then(|mut records| {
                    records.nth(usize::try_from(index - header.first).unwrap_or(usize::MAX))
                })
                .map(<[u8]>::to_vec)
                .ok_or_else(|| AuditError::bad(&path, format!("has a damaged frame at {index}")));
        }
    }
}

/// The tree when it had `size` records.
fn edge_at(dir: &Path, size: u64) -> Result<Edge, AuditError> {
    let path = segment_of(dir, size)?;
    let mut reader = SegmentReader::open(&path)?;
    let mut edge = reader.edge().clone();
    let mut raw = Vec::new();
    while edge.size() < size {
        let Step::Frame { header, payload } = reader.next(&mut |_| true)? else {
            return Err(AuditError::bad(&path, format!("ends before record {size}")));
        };
        if header.kind == Kind::Records {
            let records = header.unpack(payload, &mut raw).into_iter().flatten();
            for record in records {
                if edge.size() < size {
                    edge.push(leaf_hash(record), &mut |_| {});
                }
            }
        }
    }
    Ok(edge)
}

/// A proof as it was read.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Index of the record.
    pub index: u64,
    /// The record.
    pub record: Vec<u8>,
    /// The checkpoint it is proved against.
    pub note: Note,
    hashes: Vec<Hash>,
}

impl Proof {
    /// Reads a proof.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or_else(|| "is no proof: it has no checkpoint".to_owned())?;
        let mut lines = head.split('\n');
        if lines.next() != Some(TITLE) {
            return Err(format!("is no proof: it does not start with {TITLE}"));
        }
        let record = lines
            .next()
            .and_then(|line| line.strip_prefix("extra "))
            .and_then(|line| BASE64.decode(line).ok())
            .ok_or_else(|| "has no record in an `extra` line".to_owned())?;
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|line| line.parse().ok().filter(|n: &u64| n.to_string() == line))
            .ok_or_else(|| "has no index".to_owned())?;
        let hashes = lines
            .take(MAX_HASHES)
            .map(|line| {
                BASE64
                    .decode(line)
                    .ok()
                    .and_then(|hash| hash.try_into().ok())
            })
            .collect::<Option<Vec<Hash>>>()
            .ok_or_else(|| "has a hash that is none".to_owned())?;
        Ok(Self {
            index,
            record,
            hashes,
            note: Note::parse(note.as_bytes())
                .map_err(|what| format!("has a checkpoint that {what}"))?,
        })
    }

    /// Reads the proof in a file.
    ///
    /// # Errors
    /// If it cannot be read or is none.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let bytes = read_small(path, MOST)?.ok_or_else(|| AuditError::bad(path, "is missing"))?;
        Self::parse(&bytes).map_err(|what| AuditError::bad(path, what))
    }

    /// Whether the record is in the log of `vkey`.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn check(&self, vkey: &Vkey) -> Result<(), String> {
        let Self {
            index,
            record,
            note,
            hashes,
        } = self;
        if !note.verify(vkey) {
            return Err(format!("is not signed by {vkey}"));
        }
        let checkpoint = &note.checkpoint;
        let root = root_of_proof(*index, checkpoint.size, leaf_hash(record), hashes);
        if root == Some(checkpoint.root) {
            Ok(())
        } else {
            Err(format!(
                "does not lead from record {index} to the root of its checkpoint"
            ))
        }
    }
}
