//! The fuzz targets, on random bytes and on the sample transcripts.

#[path = "../fuzz/fuzz_targets/drive.rs"]
mod drive;

use std::io::Write as _;

use observer::discover::{Finding, examine_file};
use proptest::prelude::*;

/// Words that messages are made of, and what breaks them.
const WORDS: [&[u8]; 14] = [
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Up\r\n\r\n",
    b"Content-Length: 9\r\n",
    b"Content-Length: 9000000000\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: h\r\n",
    b"\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"\0\0\x07",
    b"\xff\xfe",
    b" folded\r\n",
];

fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => prop::sample::select(WORDS.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// A message in the shape that the segments target reads: kind, flags, length, text.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    let part = (any::<u8>(), any::<u8>(), words()).prop_map(|(kind, flags, mut text)| {
        text.truncate(255);
        let mut part = vec![kind, flags, text.len() as u8];
        part.extend(text);
        part
    });
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// Parts of header blocks, and what breaks them.
const PARTS: [&[u8]; 12] = [
    b"\x82\x86\x84",
    b"\x88",
    b"\x41\x01h",
    b"\x44\x02/a",
    b"\x48\x03404",
    b"\x40\x01a\x01b",
    b"\x0f\x10\x10application/grpc",
    b"\xbe",
    b"\xbf",
    b"\x7e\x01v",
    b"\x20\x3f\xe1\x1f",
    b"\x10\x84\xff\xff\xff\xff\x01b",
];

fn parts() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => prop::sample::select(PARTS.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

const TLS_HTTP1: &[u8] = include_bytes!("../fuzz/seeds/tls/tls-chacha20-poly1305-sha256");
const TLS_HTTP2: &[u8] = include_bytes!("../fuzz/seeds/tls/h2");

const SHARED_OBJECT: &[u8] = include_bytes!("../fuzz/seeds/elf/shared-object");
const GO_PROGRAM: &[u8] = include_bytes!("../fuzz/seeds/elf/go-program");

/// The damaged images below are of ones that are understood.
#[test]
fn whole_images_have_a_plan() {
    for (image, name, library) in [
        (SHARED_OBJECT, "libssl.so.3", "openssl"),
        (GO_PROGRAM, "program", "go crypto/tls"),
    ] {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(image).expect("written");
        let executable = name == "program";
        let Some(Finding::Plan(plan)) = examine_file(&file, name, executable) else {
            panic!("{name}: no plan");
        };
        assert!(plan.library.starts_with(library), "{}", plan.library);
    }
}

/// What sizes and offsets in a file are overwritten with.
fn damaged() -> impl Strategy<Value = [u8; 8]> {
    prop_oneof![
        Just([0; 8]),
        Just([0xff; 8]),
        Just([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        Just([0, 0, 0, 0x80, 0, 0, 0, 0]),
        any::<[u8; 8]>(),
    ]
}

/// Frames in the shape that the http2 target reads.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => Just(1u8), 2 => Just(0u8), 2 => Just(9u8), 2 => any::<u8>()];
    let frame = (kind, any::<u8>(), 0u8..16, parts()).prop_map(|(kind, flags, stream, text)| {
        let mut frame = vec![kind, flags, stream, text.len() as u8];
        frame.extend(text);
        frame
    });
    (any::<u8>(), prop::collection::vec(frame, 0..40))
        .prop_map(|(first, frames)| [vec![first], frames.concat()].concat())
}

/// Header blocks in the shape that the hpack target reads.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let block = parts().prop_map(|text| [vec![text.len() as u8], text].concat());
    (any::<u8>(), prop::collection::vec(block, 0..20))
        .prop_map(|(first, blocks)| [vec![first], blocks.concat()].concat())
}

/// Words of bodies that name operations and errors.
const TEXTS: [&[u8]; 20] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\"jsonrpc\":\"2.0\"",
    b"\"method\":\"m\"",
    b"\"query\":\"query Q{a}\"",
    b"\"errors\":",
    b"\"error\":",
    b"\"code\":\"c\"",
    b"\"\\ud83d",
    b"<s:Envelope xmlns:s='soap-envelope'>",
    b"<s:Body>",
    b"<a/>",
    b"<methodCall><methodName>m",
    b"Action=A&Version=1",
    b"--b\r\n\r\n",
    b"name=\"operations\"",
    b"query Q { a(b: \"\"\"c\"\"\") }",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => prop::sample::select(TEXTS.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

/// What a target is called, and what it does.
type Target = (&'static str, fn(&[u8]));

/// The parsers of operations, each with seeds of its own.
const OPERATIONS: [Target; 6] = [
    ("soap", drive::operations::soap),
    ("xml_rpc", drive::operations::xml_rpc),
    ("json_rpc", drive::operations::json_rpc),
    ("graphql", drive::operations::graphql),
    ("odata", drive::operations::odata),
    ("aws", drive::operations::aws),
];

const TARGETS: [Target; 12] = [
    ("http1", drive::whole::http1),
    ("grpc", drive::whole::grpc),
    ("websocket", drive::whole::websocket),
    ("bytes", drive::bytes),
    ("segments", drive::segments),
    ("http2", drive::http2),
    ("hpack", drive::hpack),
    ("capture", drive::capture),
    ("body", drive::body),
    ("transcript", drive::transcript),
    ("elf", drive::elf),
    ("tls", drive::tls::tls),
];

/// The seeds hold, and so does every prefix of them; among them is what fuzzing has found.
#[test]
fn seeds_and_their_prefixes() {
    for (name, target) in OPERATIONS.iter().chain(&TARGETS) {
        let folder = format!("{}/fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).expect("seeds") {
            let seed = std::fs::read(entry.expect("an entry").path()).expect("a seed");
            count += 1;
            target(&seed);
            let step = seed.len() / 200 + 1;
            for end in (0..seed.len()).step_by(step) {
                target(&seed[..end]);
            }
        }
        assert!(count > 0, "{folder} is empty");
    }
}

/// Texts of a length before each, after so many bytes.
fn texts(first: usize) -> impl Strategy<Value = Vec<u8>> {
    let part = (any::<u8>(), prop_oneof![text(), words(), parts()]).prop_map(|(side, mut text)| {
        text.truncate(255);
        [vec![side, text.len() as u8], text].concat()
    });
    let head = prop::collection::vec(any::<u8>(), first);
    (head, prop::collection::vec(part, 0..12))
        .prop_map(|(head, parts)| [head, parts.concat()].concat())
}

/// Packets in the shape that the capture target reads, most of them of one connection.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let packet = (any::<u8>(), 0u32..200, words(), any::<u16>()).prop_map(
        |(flags, seq, mut text, place)| {
            text.truncate(150);
            let client = flags & 128 == 0;
            let mut packet = vec![0x45, 0, 0, 40 + text.len() as u8, 0, 1];
            packet.extend(if place < 3000 {
                place.to_be_bytes()
            } else {
                [0; 2]
            });
            packet.extend([64, 6, 0, 0]);
            packet.extend(if client {
                [10, 0, 0, 2, 10, 0, 0, 1, 0x13, 0x88, 0, 80]
            } else {
                [10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0x13, 0x88]
            });
            packet.extend(seq.to_be_bytes());
            packet.extend([0, 0, 0, 0, 0x50, flags & 0x17, 0, 0, 0, 0, 0, 0]);
            packet.extend(text);
            [vec![packet.len() as u8], packet].concat()
        },
    );
    prop::collection::vec(packet, 0..30).prop_map(|packets| [vec![101], packets.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn segments(data in prop_oneof![3 => framed(), 1 => prop::collection::vec(any::<u8>(), 0..600)]) {
        drive::segments(&data);
    }

    #[test]
    fn bytes(data in prop_oneof![3 => words(), 1 => prop::collection::vec(any::<u8>(), 0..600)]) {
        drive::bytes(&data);
    }

    #[test]
    fn http2(data in prop_oneof![3 => frames(), 1 => prop::collection::vec(any::<u8>(), 0..600)]) {
        drive::http2(&data);
    }

    #[test]
    fn hpack(data in prop_oneof![3 => blocks(), 1 => prop::collection::vec(any::<u8>(), 0..600)]) {
        drive::hpack(&data);
    }

    #[test]
    fn elf(
        go in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..9, damaged()), 0..12),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut image = if go { GO_PROGRAM } else { SHARED_OBJECT }.to_vec();
        for (at, width, bytes) in damage {
            let at = at.index(image.len());
            for (place, byte) in image.iter_mut().skip(at).zip(bytes).take(width) {
                *place = byte;
            }
        }
        if let Some(cut) = cut {
            image.truncate(cut.index(image.len()));
        }
        drive::elf(&image);
    }

    #[test]
    fn body(first in any::<u8>(), data in prop_oneof![3 => text(), 1 => prop::collection::vec(any::<u8>(), 0..600)]) {
        drive::body(&[vec![first], data].concat());
    }

    #[test]
    fn operations(first in any::<u8>(), data in prop_oneof![3 => text(), 1 => prop::collection::vec(any::<u8>(), 0..600)]) {
        for (_, target) in OPERATIONS {
            target(&[vec![first], data.clone()].concat());
        }
    }

    #[test]
    fn http1(first in any::<u8>(), data in (words(), words())) {
        let (requests, answers) = data;
        drive::whole::http1(&[vec![first], requests, vec![0, 0], answers].concat());
    }

    #[test]
    fn grpc(data in texts(4)) {
        drive::whole::grpc(&data);
    }

    #[test]
    fn websocket(data in texts(1)) {
        drive::whole::websocket(&data);
    }

    #[test]
    fn capture(data in prop_oneof![3 => packets(), 1 => prop::collection::vec(any::<u8>(), 0..600)]) {
        drive::capture(&data);
    }

    #[test]
    fn transcript_with_a_damaged_byte(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = include_bytes!("../../tests/transcripts/loss.jsonl").to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        drive::transcript(&text);
    }

    #[test]
    fn tls(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        size in any::<u8>(),
        http2 in any::<bool>(),
    ) {
        let mut session = if http2 { TLS_HTTP2 } else { TLS_HTTP1 }.to_vec();
        session[0] = size;
        for (at, byte) in damage {
            let at = at.index(session.len());
            session[at] = byte;
        }
        if let Some(cut) = cut {
            session.truncate(cut.index(session.len()));
        }
        drive::tls::tls(&session);
    }
}
