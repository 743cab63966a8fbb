//! Feeds recordings to a pipeline: transcripts line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::capture_file::replay_capture;
use super::open_lines::OpenLines;
use super::packets::is_capture;
use super::{ReplayError, Wrong};
use crate::pipeline::{Output, Pipeline};
use crate::stream::ConnId;

/// Longest line taken, bytes. One connection is held in memory at a time.
pub const MAX_LINE: usize = 64 << 20;

/// First bytes of a file compressed with gzip (RFC 1952 §2.3.1).
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Connections: lines of a transcript, connections of a capture file.
    pub connections: u64,
    /// Chunks and gaps, or segments with payload.
    pub chunks: u64,
}

/// Replays a file: transcripts, pcap or pcapng, compressed with gzip or not.
///
/// Each line of a transcript is a connection seen from its server's end unless it says otherwise,
/// opened and closed within the line unless that says that there is more; blank lines are passed
/// over. Connections of a capture file are seen from the end
/// that was called. Times are those of the file. A connection whose chunks have none has calls
/// without duration.
pub fn replay_file(
    path: &Path,
    pipeline: &mut Pipeline,
    out: &mut impl FnMut(Output),
) -> Result<Replayed, ReplayError> {
    let file = File::open(path).map_err(|source| ReplayError::Open {
        path: path.to_owned(),
        source,
    })?;
    replay(&mut BufReader::new(file), path, pipeline, out)
}

/// Replays a recording from a reader; `name` stands for it in errors.
pub fn replay(
    reader: &mut impl BufRead,
    name: &Path,
    pipeline: &mut Pipeline,
    out: &mut impl FnMut(Output),
) -> Result<Replayed, ReplayError> {
    // A recording has what it has: a gap in it is a loss.
    let skip_bodies = pipeline.skip_bodies(false);
    let replayed = replay_any(reader, name, pipeline, out);
    pipeline.skip_bodies(skip_bodies);
    replayed
}

/// Looks at the first bytes for what it is.
fn replay_any(
    reader: &mut impl BufRead,
    name: &Path,
    pipeline: &mut Pipeline,
    out: &mut impl FnMut(Output),
) -> Result<Replayed, ReplayError> {
    let (magic, mut reader) = first_bytes(reader, name)?;
    if magic.starts_with(&GZIP) {
        let mut text = BufReader::new(MultiGzDecoder::new(reader));
        let (magic, mut text) = first_bytes(&mut text, name)?;
        return replay_plain(&magic, &mut text, name, pipeline, out);
    }
    replay_plain(&magic, &mut reader, name, pipeline, out)
}

/// The first four bytes, and a reader that has them still.
fn first_bytes(
    mut reader: impl BufRead,
    name: &Path,
) -> Result<(Vec<u8>, impl BufRead), ReplayError> {
    let mut magic = Vec::new();
    let read = reader.by_ref().take(4).read_to_end(&mut magic);
    read.map_err(|source| ReplayError::Read {
        path: name.to_owned(),
        line: 1,
        source,
    })?;
    Ok((magic.clone(), Cursor::new(magic).chain(reader)))
}

fn replay_plain(
    magic: &[u8],
    reader: &mut impl BufRead,
    name: &Path,
    pipeline: &mut Pipeline,
    out: &mut impl FnMut(Output),
) -> Result<Replayed, ReplayError> {
    if magic.first_chunk().is_some_and(|magic| is_capture(*magic)) {
        replay_capture(reader, name, pipeline, out)
    } else {
        replay_lines(reader, name, pipeline, out)
    }
}

fn replay_lines(
    reader: &mut impl BufRead,
    name: &Path,
    pipeline: &mut Pipeline,
    out: &mut impl FnMut(Output),
) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed::default();
    let mut open = OpenLines::default();
    let mut text = Vec::new();
    for line in 1u64.. {
        let path = || name.to_owned();
        text.clear();
        let more = read_line(reader, &mut text).map_err(|source| ReplayError::Read {
            path: path(),
            line,
            source,
        })?;
        if !more {
            break;
        }
        if text.len() > MAX_LINE {
            return Err(ReplayError::Line {
                path: path(),
                line,
                wrong: Wrong::TooLong,
            });
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let part = open
            .replay(&text, ConnId(line), pipeline, out)
            .map_err(|wrong| ReplayError::Line {
                path: path(),
                line,
                wrong,
            })?;
        replayed.chunks += part.chunks;
        replayed.connections += part.connections;
    }
    open.finish(pipeline, out);
    Ok(replayed)
}

/// Reads up to a line end, or one byte more than a line may have.
fn read_line(reader: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<bool> {
    let bound = MAX_LINE as u64 + 1;
    Ok(reader.take(bound).read_until(b'\n', text)? > 0)
}
