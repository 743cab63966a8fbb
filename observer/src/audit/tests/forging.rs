//! What an attacker does who knows the format and repairs every checksum, but has no key.

use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;

use super::{check, tiled};
use crate::audit::frame::{FrameHeader, FrameIndex, Kind, push_frame};
use crate::audit::merkle::{Frontier, leaf_hash};
use crate::audit::note::Checkpoint;
use crate::audit::record_head::RecordHead;
use crate::audit::segment::{self, SegmentReader, Step};
use crate::audit::{Note, Trust, verify};

pub(super) enum Piece {
    Records(Vec<Vec<u8>>),
    Note(String),
}

/// Signs every checkpoint from piece `from` on anew, over the records as they are now.
pub(super) fn reseal(dir: &Path, pieces: &mut [Piece], from: usize, key: &SigningKey) {
    let mut tree = Frontier::default();
    for (at, piece) in pieces.iter_mut().enumerate() {
        match piece {
            Piece::Records(records) => {
                for record in records {
                    tree.push(leaf_hash(record), &mut |_, _, _| {});
                }
            }
            Piece::Note(note) if at >= from => {
                let origin = "host.example/audit".to_owned();
                let (size, root) = (tree.size(), tree.root());
                *note = Checkpoint { origin, size, root }.sign(key);
                fs::write(dir.join("checkpoint"), note.as_bytes()).unwrap();
            }
            Piece::Note(_) => {}
        }
    }
}

/// Takes the only segment of a log apart, lets `change` work on it, and puts it together with all
/// indices and checksums right.
pub(super) fn reframe(dir: &Path, change: impl FnOnce(&mut Vec<Piece>)) {
    let path = segment::path(dir, 0);
    let mut reader = SegmentReader::open(&path).unwrap();
    let mut bytes = segment::head(reader.edge());
    let mut pieces = Vec::new();
    let mut raw = Vec::new();
    while let Step::Frame { header, payload } = reader.next(&mut |_| true).unwrap() {
        pieces.push(match header.kind {
            Kind::Records => {
                let records = header.unpack(payload, &mut raw).unwrap();
                Piece::Records(records.map(<[u8]>::to_vec).collect())
            }
            Kind::Checkpoint => Piece::Note(String::from_utf8(payload.to_vec()).unwrap()),
        });
    }
    change(&mut pieces);
    let mut first = 0;
    for piece in &pieces {
        let mut header = FrameHeader {
            kind: Kind::Checkpoint,
            stored: 0,
            raw: 0,
            count: 0,
            first,
            index: FrameIndex::default(),
            crc: 0,
        };
        match piece {
            Piece::Records(records) => {
                let mut raw = Vec::new();
                for record in records {
                    raw.extend_from_slice(&u32::try_from(record.len()).unwrap().to_le_bytes());
                    raw.extend_from_slice(record);
                    header.index.add(&RecordHead::parse(record).unwrap());
                }
                header.kind = Kind::Records;
                header.raw = u32::try_from(raw.len()).unwrap();
                header.count = u32::try_from(records.len()).unwrap();
                push_frame(&mut bytes, &header, &lz4_flex::block::compress(&raw));
                first += records.len() as u64;
            }
            Piece::Note(note) => {
                header.raw = u32::try_from(note.len()).unwrap();
                let size = note.lines().nth(1).unwrap().parse().unwrap();
                header.first = size;
                push_frame(&mut bytes, &header, note.as_bytes());
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

pub(super) fn records(piece: &mut Piece) -> &mut Vec<Vec<u8>> {
    match piece {
        Piece::Records(records) => records,
        Piece::Note(_) => panic!("a checkpoint"),
    }
}

/// The frame of records 50 n to 50 n + 49; a checkpoint follows each.
fn of_round(n: usize) -> usize {
    2 * n
}

fn forged(change: impl FnOnce(&mut Vec<Piece>)) -> Option<u64> {
    let folder = tempfile::tempdir().unwrap();
    tiled(folder.path());
    reframe(folder.path(), |_| {});
    assert!(check(folder.path()).good(), "taking apart changes nothing");
    reframe(folder.path(), change);
    let report = check(folder.path());
    assert!(!report.good());
    report.first_bad()
}

#[test]
fn a_changed_record_is_named() {
    let found = forged(|pieces| {
        let record = &mut records(&mut pieces[of_round(2)])[7];
        let text = String::from_utf8(record.clone()).unwrap();
        *record = text.replace("192.0.2.7", "192.0.2.9").into_bytes();
    });
    assert_eq!(found, Some(107));
}

#[test]
fn a_removed_record_is_named() {
    let found = forged(|pieces| {
        records(&mut pieces[of_round(2)]).remove(7);
    });
    assert_eq!(found, Some(107));
}

#[test]
fn a_removed_frame_is_named() {
    let found = forged(|pieces| {
        pieces.drain(of_round(2)..=of_round(2) + 1);
    });
    assert_eq!(found, Some(100));
}

#[test]
fn a_doubled_record_is_named() {
    let found = forged(|pieces| {
        let records = records(&mut pieces[of_round(2)]);
        let record = records[7].clone();
        records.insert(8, record);
    });
    assert_eq!(found, Some(108));
}

#[test]
fn moved_records_are_named() {
    let found = forged(|pieces| records(&mut pieces[of_round(2)]).swap(7, 30));
    assert_eq!(found, Some(107));
}

#[test]
fn where_no_tile_is_full_yet_the_records_since_the_last_good_checkpoint_are_in_doubt() {
    let found = forged(|pieces| {
        records(&mut pieces[of_round(11)]).swap(7, 30);
    });
    assert_eq!(found, Some(550));
}

#[test]
fn a_checkpoint_signed_with_another_key_is_refused() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let found = forged(|pieces| {
        records(&mut pieces[of_round(11)]).swap(7, 30);
        let mut tree = Frontier::default();
        for piece in pieces.iter() {
            if let Piece::Records(records) = piece {
                for record in records {
                    tree.push(leaf_hash(record), &mut |_, _, _| {});
                }
            }
        }
        let note = Checkpoint {
            origin: "host.example/audit".to_owned(),
            size: tree.size(),
            root: tree.root(),
        };
        *pieces.last_mut().unwrap() = Piece::Note(note.sign(&key));
    });
    assert_eq!(found, Some(550));
}

#[test]
fn a_frame_index_that_would_hide_records_from_a_search_is_found() {
    let folder = tempfile::tempdir().unwrap();
    tiled(folder.path());
    let path = segment::path(folder.path(), 0);
    let mut reader = SegmentReader::open(&path).unwrap();
    let offset = usize::try_from(reader.offset()).unwrap();
    let Step::Frame { header, payload } = reader.next(&mut |_| true).unwrap() else {
        panic!("no frame");
    };
    let mut hiding = header;
    hiding.index.status = (500, 599);
    let mut frame = Vec::new();
    push_frame(&mut frame, &hiding, payload);
    let mut bytes = fs::read(&path).unwrap();
    bytes[offset..offset + frame.len()].copy_from_slice(&frame);
    fs::write(&path, bytes).unwrap();
    assert_eq!(check(folder.path()).first_bad(), Some(0));
}

/// The private key in force, as a thief reads it.
pub(super) fn stolen(dir: &Path) -> SigningKey {
    use base64::Engine as _;
    let text = fs::read_to_string(dir.join("key")).unwrap();
    let seed = text.lines().nth(4).unwrap();
    let seed = base64::engine::general_purpose::STANDARD
        .decode(seed)
        .unwrap();
    SigningKey::from_bytes(&seed.try_into().unwrap())
}

#[test]
fn a_thief_with_the_key_is_caught_by_an_anchor() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    tiled(dir);
    let anchor = Note::parse(&fs::read(dir.join("checkpoint")).unwrap()).unwrap();
    let key = stolen(dir);
    reframe(dir, |pieces| {
        records(&mut pieces[0]).swap(7, 30);
        reseal(dir, pieces, 0, &key);
    });
    fs::remove_dir_all(dir.join("tile")).unwrap();
    assert!(check(dir).good(), "without an anchor it cannot be told");
    let trust = Trust {
        anchors: vec![anchor],
        ..Trust::default()
    };
    let report = verify(dir, &trust, &mut |_, _| {}).unwrap();
    assert!(!report.good());
}
