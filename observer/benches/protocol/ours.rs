//! The observer's own: from captured bytes to calls, and header blocks.

use std::hint::black_box;

use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::protocol::h2::hpack::{Decoder, Scratch};
use observer::stream::{Bytes, ConnId, Direction, Input};

use super::contender::Contender;
use super::traffic::{CALLS, Exchanges, PREFACE, frame};

const NAME: &str = "observer";

/// Header blocks.
pub fn hpack(stories: &[Vec<Vec<u8>>]) -> Contender {
    let (mut wire, mut text) = (0, 0);
    let stories = stories.to_vec();
    read_blocks(&stories, &mut |block, fields| {
        wire += block;
        text += fields;
    });
    Contender {
        name: NAME,
        units: vec![
            (text as f64 / 1e6, "MB of fields"),
            (wire as f64 / 1e6, "MB on the wire"),
        ],
        run: Box::new(move || read_blocks(&stories, &mut |_, _| {})),
    }
}

/// Tells of each block its length and that of its fields.
fn read_blocks(stories: &[Vec<Vec<u8>>], tell: &mut impl FnMut(usize, usize)) {
    let mut scratch = Scratch::default();
    for story in stories {
        let mut decoder = Decoder::new(false);
        for block in story {
            let mut len = 0;
            let result = decoder.decode(block, &mut scratch, &mut |field| {
                let field = black_box(field);
                len += field.name.map_or(0, <[u8]>::len) + field.value.map_or(0, <[u8]>::len);
            });
            assert!(result.is_ok());
            tell(block.len(), len);
        }
    }
}

/// Calls over HTTP/2.
pub fn http2(exchanges: Exchanges) -> Contender {
    let opening = [PREFACE, &frame(4, 0, 0, b"")].concat();
    calls(NAME, opening, exchanges)
}

/// Calls over HTTP/1.1.
pub fn http1(name: &'static str, exchanges: Exchanges) -> Contender {
    calls(name, Vec::new(), exchanges)
}

fn calls(name: &'static str, opening: Vec<u8>, exchanges: Exchanges) -> Contender {
    let run = move || {
        let mut seen = 0;
        let mut pipeline = Pipeline::new(PipelineSettings::default());
        let (mut offsets, mut time_ns) = ([0; 2], 0);
        let mut push = |index: usize, bytes: &[u8]| {
            let direction = [Direction::Inbound, Direction::Outbound][index];
            let offset = offsets[index];
            offsets[index] += bytes.len() as u64;
            time_ns += 1000;
            let piece = Bytes {
                conn: ConnId(1),
                time_ns,
                direction,
                offset,
                len: bytes.len() as u64,
                bytes,
            };
            pipeline.push(Input::Bytes(piece), &mut |output| {
                seen += u32::from(matches!(black_box(output), Output::Call(_)));
            });
        };
        if !opening.is_empty() {
            push(0, &opening);
        }
        for [request, response] in &exchanges {
            push(0, request);
            push(1, response);
        }
        assert_eq!(seen, CALLS, "{name}");
    };
    Contender {
        name,
        units: vec![(f64::from(CALLS), "calls")],
        run: Box::new(run),
    }
}
