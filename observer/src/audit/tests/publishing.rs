//! What is published is read and verified by another implementation of tiles and notes.

use std::fs;
use std::path::{Path, PathBuf};

use tlog_tiles::tlog::{self, HashReader as _};
use tlog_tiles::{Tile, TileHashReader, TileReader};

use super::{START, append, open};
use crate::audit::{AuditSettings, Log, publish};

/// Tiles as a client of a web server finds them.
struct Offered(PathBuf);

fn place(index: u64, width: u32) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    match width {
        256 => path,
        width => format!("{path}.p/{width}"),
    }
}

impl TileReader for Offered {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog::Error> {
        let read = |tile: &Tile| {
            let place = place(tile.level_index(), tile.width());
            let path = self.0.join(format!("tile/{}/{place}", tile.level()));
            // A tile that is full serves for one that was not.
            let bytes = fs::read(&path).or_else(|_| {
                let place = self::place(tile.level_index(), 256);
                fs::read(self.0.join(format!("tile/{}/{place}", tile.level())))
            });
            bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                [..tile.width() as usize * 32]
                .to_vec()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

/// The records that are offered, with their indices.
fn entries(out: &Path, size: u64) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let path = out.join(format!("tile/entries/{}", place(bundle, width as u32)));
        let Ok(bytes) = fs::read(path) else { continue };
        let mut rest = &bytes[..];
        for index in bundle * 256..bundle * 256 + width {
            let (length, after) = rest.split_first_chunk().unwrap();
            let (record, after) = after.split_at(u16::from_be_bytes(*length).into());
            found.push((index, record.to_vec()));
            rest = after;
        }
        assert!(rest.is_empty());
    }
    found
}

/// Reads everything as somebody else does; the number of records.
fn read_by_another(dir: &Path, out: &Path) -> usize {
    let vkey = fs::read_to_string(dir.join("vkey")).unwrap();
    let verifier = signed_note::StandardVerifier::new(vkey.trim()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let note = fs::read(out.join("checkpoint")).unwrap();
    let note = signed_note::Note::from_bytes(&note).unwrap();
    note.verify(&known).unwrap();
    let checkpoint = tlog_tiles::checkpoint::Checkpoint::from_bytes(note.text()).unwrap();
    let size = checkpoint.size();
    let offered = Offered(out.to_owned());
    let reader = TileHashReader::new(size, *checkpoint.hash(), &offered);
    let entries = entries(out, size);
    for (index, record) in &entries {
        let stored = tlog::stored_hash_index(0, *index);
        let hashes = reader.read_hashes(&[stored]).unwrap();
        assert_eq!(hashes[0], tlog::record_hash(record), "{index}");
    }
    entries.len()
}

#[test]
fn another_implementation_reads_what_is_published_as_the_log_grows() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = folder.path();
    let mut size = 0;
    for count in [3, 250, 3, 1, 500, 600] {
        let mut log = open(dir).with_segment_bytes(20_000);
        append(&mut log, count);
        log.seal(START).unwrap();
        log.commit(START).unwrap();
        size += count;
        let published = publish(dir, out.path()).unwrap();
        assert_eq!((published.size, published.first), (size, 0));
        assert_eq!(read_by_another(dir, out.path()), size as usize);
    }
    assert_eq!(publish(dir, out.path()).unwrap().written, 0);
    // Partial files go when there is a whole one.
    assert!(!out.path().join("tile/0/000.p").exists());
}

#[test]
fn a_log_without_its_beginning_is_published_from_where_it_starts() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = folder.path();
    let settings = AuditSettings {
        max_bytes: 60_000,
        ..AuditSettings::default()
    };
    let mut log = Log::open(dir, "host.example/audit", settings, START)
        .unwrap()
        .0
        .with_segment_bytes(8000);
    for round in 1..=40 {
        append(&mut log, 100);
        log.commit(START + round * 61_000).unwrap();
    }
    log.seal(START + 41 * 61_000).unwrap();
    let published = publish(dir, out.path()).unwrap();
    assert!(published.first > 1000, "{published:?}");
    let whole = published.size - published.first.next_multiple_of(256);
    assert_eq!(read_by_another(dir, out.path()) as u64, whole);
}

#[test]
fn a_log_that_is_not_that_of_its_checkpoint_is_not_published() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = tempfile::tempdir().unwrap();
    for (dir, count) in [(folder.path(), 20), (other.path(), 21)] {
        let mut log = open(dir);
        append(&mut log, count);
        log.seal(START).unwrap();
    }
    fs::copy(
        other.path().join("checkpoint"),
        folder.path().join("checkpoint"),
    )
    .unwrap();
    publish(folder.path(), out.path()).unwrap_err();
    assert!(!out.path().join("checkpoint").exists());
}
