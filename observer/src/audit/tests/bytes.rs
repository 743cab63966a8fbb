//! Every byte of every file of a small log is changed, one at a time.

use std::fs;
use std::path::Path;

use super::{check, files, small, tiled};
use crate::audit::frame::{FRAME_HEADER, FrameHeader};
use crate::audit::segment::{SegmentReader, Step};

/// Where each frame of a segment begins, and its first index. Before the first: the head.
fn frames(path: &Path) -> Vec<(u64, u64)> {
    let mut reader = SegmentReader::open(path).unwrap();
    let mut found = vec![(0, reader.edge().size())];
    loop {
        let offset = reader.offset();
        match reader.next(&mut |_| true).unwrap() {
            Step::Frame { header, .. } => found.push((offset, header.first)),
            _ => return found,
        }
    }
}

#[test]
fn every_flipped_byte_of_a_small_log_is_found_at_the_right_record() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    small(dir);
    let report = check(dir);
    assert!(report.good(), "{report}");
    assert_eq!((report.size, report.verified), (42, 42));
    assert_eq!(report.epochs, 1);
    let mut segments = 0;
    for path in files(dir) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Not part of what others verify: the lock, and the private key.
        if name == "lock" || name == "key" {
            continue;
        }
        let is_segment = name.ends_with(".seg");
        let frames = if is_segment {
            frames(&path)
        } else {
            Vec::new()
        };
        segments += usize::from(is_segment);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            let report = check(dir);
            assert!(!report.good(), "{name}: byte {at} of {}", good.len());
            if is_segment {
                let frame = frames.partition_point(|(offset, _)| *offset <= at as u64) - 1;
                assert_eq!(
                    report.first_bad(),
                    Some(frames[frame].1),
                    "{name}: byte {at}: {report}"
                );
            }
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(segments >= 3, "{segments} segments");
    assert!(check(dir).good());
}

#[test]
fn every_flipped_byte_of_a_hash_tile_is_found_at_the_record_it_stands_for() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    tiled(dir);
    assert!(check(dir).good());
    let path = dir.join("tile/0/001");
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let report = check(dir);
        assert_eq!(report.first_bad(), Some(256 + at as u64 / 32), "byte {at}");
    }
    fs::write(&path, &good).unwrap();
    assert!(check(dir).good());
}

#[test]
fn hostile_lengths_in_a_frame_take_no_memory() {
    let mut header = b"OAF1\x01\0\0\0".to_vec();
    header.extend_from_slice(&[0xff; FRAME_HEADER - 8]);
    assert_eq!(FrameHeader::parse(&header), None);
}
