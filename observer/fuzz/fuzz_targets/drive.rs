//! What the fuzz targets do with the bytes they are given. The ordinary tests run the same code
//! on random bytes (`observer/tests/fuzz_twins.rs`).

use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use observer::discover::{Finding, examine_file};
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::protocol::h2::hpack::{Decoder, MAX_TABLE, Scratch};
use observer::replay::replay;
use observer::stream::{Bytes, ConnId, Direction, Flow, Input, Segment};

#[path = "drive/operations.rs"]
pub mod operations;
#[path = "drive/tls.rs"]
pub mod tls;
#[path = "drive/whole.rs"]
pub mod whole;

/// More than anything of the size that a fuzzer sends may make the pipeline keep.
const MOST_KEPT: usize = 4 << 20;

/// Connections that inputs are spread over; the table holds fewer.
const CONNECTIONS: u8 = 6;

/// Reads numbers and texts off the front of the fuzzer's bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        Some(text)
    }
}

fn pipeline() -> Pipeline {
    let settings = PipelineSettings {
        max_connections: 4,
        ..PipelineSettings::default()
    };
    Pipeline::new(settings)
}

fn finish(mut pipeline: Pipeline, now_ns: u64) {
    pipeline.finish(now_ns, &mut look);
    assert_eq!(
        pipeline.buffered_bytes(),
        0,
        "something is kept of closed connections"
    );
}

/// What every output must fulfil.
fn look(output: Output) {
    if let Output::Call(call) = output {
        assert!(call.method.len() <= 32 && call.path.len() <= 4096);
        assert!(call.query.is_none_or(|query| query.len() <= 1024));
        assert!(call.flags.is_sorted());
    }
}

fn direction(byte: u8) -> Direction {
    if byte & 1 == 0 {
        Direction::Inbound
    } else {
        Direction::Outbound
    }
}

/// TCP segments near and far, with flags, losses and the passing of time.
pub fn segments(data: &[u8]) {
    let mut reader = Reader(data);
    let mut pipeline = pipeline();
    let mut now_ns = 0u64;
    let mut next = [[1000u32; 2]; CONNECTIONS as usize];
    let end = |port| SocketAddr::from(([127, 0, 0, 1], port));
    while let (Some(kind), Some(flags)) = (reader.byte(), reader.byte()) {
        let index = usize::from(kind % CONNECTIONS);
        let conn = ConnId(index as u64);
        now_ns += u64::from(flags) << 20;
        let way = direction(flags);
        let next = &mut next[index][usize::from(flags & 1)];
        match kind >> 5 {
            0 => pipeline.push(
                Input::Closed {
                    conn,
                    time_ns: now_ns,
                },
                &mut look,
            ),
            1 => pipeline.tick(now_ns, &mut look),
            place => {
                let seq = match place {
                    2 => reader.number().unwrap_or_default(),
                    3 => next.wrapping_add(u32::from(kind)),
                    4 => next.wrapping_sub(u32::from(kind)),
                    _ => *next,
                };
                let bytes = reader.text().unwrap_or_default();
                let missing = if flags & 2 == 0 { 0 } else { u32::from(kind) };
                let len = bytes.len() as u32 + missing;
                let segment = Segment {
                    conn,
                    time_ns: now_ns,
                    direction: way,
                    seq,
                    syn: flags & 12 == 12,
                    fin: flags & 48 == 48,
                    rst: flags & 192 == 192,
                    len,
                    bytes,
                    flow: Flow {
                        local: end(80),
                        remote: end(5000),
                        link: Some(index as u64),
                    },
                    from_start: kind & 1 == 0,
                };
                *next = seq.wrapping_add(len);
                pipeline.push(Input::Segment(segment), &mut look);
            }
        }
        assert!(pipeline.buffered_bytes() < MOST_KEPT);
        assert!(pipeline.connections() <= 4);
    }
    finish(pipeline, now_ns);
}

/// Plaintext: the first byte says how it is cut, a zero byte pair changes direction.
pub fn bytes(data: &[u8]) {
    let Some((&size, mut data)) = data.split_first() else {
        return;
    };
    let mut pipeline = pipeline();
    let conn = ConnId(1);
    let mut offsets = [0u64; 2];
    let mut side = 0u8;
    let mut now_ns = 0;
    while !data.is_empty() {
        if let [0, 0, gap, rest @ ..] = data {
            side ^= 1;
            offsets[usize::from(side)] += u64::from(*gap >> 3) << (*gap & 7);
            data = rest;
            continue;
        }
        let len = data
            .windows(2)
            .position(|pair| pair == [0, 0])
            .unwrap_or(data.len());
        let (bytes, rest) = data.split_at(len.min(usize::from(size) + 1).max(1));
        data = rest;
        now_ns += 1;
        let offset = offsets[usize::from(side)];
        let len = bytes.len() as u64;
        offsets[usize::from(side)] += len;
        let direction = direction(side);
        let piece = Bytes {
            conn,
            time_ns: now_ns,
            direction,
            offset,
            len,
            bytes,
        };
        pipeline.push(Input::Bytes(piece), &mut look);
        assert!(pipeline.buffered_bytes() < MOST_KEPT);
    }
    pipeline.push(
        Input::Closed {
            conn,
            time_ns: now_ns,
        },
        &mut look,
    );
    finish(pipeline, now_ns);
}

/// HTTP/2: frames of any kind in both directions, with bytes missing here and there. The first
/// byte says whether the connection was seen from its start.
pub fn http2(data: &[u8]) {
    let mut reader = Reader(data);
    let mut pipeline = pipeline();
    let conn = ConnId(1);
    let mut offsets = [0u64; 2];
    let mut now_ns = 0;
    let mut push = |pipeline: &mut Pipeline, side: u8, bytes: &[u8], missing: u64| {
        now_ns += 1;
        let at = &mut offsets[usize::from(side & 1)];
        let offset = *at + missing;
        let len = bytes.len() as u64;
        *at = offset + len;
        let piece = Bytes {
            conn,
            time_ns: now_ns,
            direction: direction(side),
            offset,
            len,
            bytes,
        };
        pipeline.push(Input::Bytes(piece), &mut look);
        assert!(pipeline.buffered_bytes() < MOST_KEPT);
    };
    let midway = reader.byte().unwrap_or_default() & 1;
    if midway == 0 {
        push(&mut pipeline, 0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0);
    } else {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        push(&mut pipeline, 0, &ping, 9);
        push(&mut pipeline, 1, &ping, 9);
    }
    while let (Some(kind), Some(flags), Some(stream)) =
        (reader.byte(), reader.byte(), reader.byte())
    {
        let text = reader.text().unwrap_or_default();
        // One in eight says another length than it has.
        let excess = if kind >> 5 == 7 { flags } else { 0 };
        let length = (text.len() as u32 + u32::from(excess)).to_be_bytes();
        let head = [length[1], length[2], length[3], kind & 0x0f, flags & 0x2d];
        let id = u32::from(stream >> 1).to_be_bytes();
        let frame = [&head[..], &id, text].concat();
        let missing = if kind >> 5 == 6 { u64::from(stream) } else { 0 };
        push(&mut pipeline, stream, &frame, missing);
    }
    finish(pipeline, 1 << 40);
}

/// A file that a process has mapped, as each kind of TLS library that it may say it is.
pub fn elf(data: &[u8]) {
    let Ok(mut file) = tempfile::tempfile() else {
        return;
    };
    if file.write_all(data).is_err() {
        return;
    }
    for (name, executable) in [
        ("libssl.so.3", false),
        ("libssl3.so", false),
        ("libgnutls.so.30", false),
        ("program", true),
    ] {
        let Some(Finding::Plan(plan)) = examine_file(&file, name, executable) else {
            continue;
        };
        assert!(!plan.points.is_empty());
        for point in &plan.points {
            assert!(point.file_offset < data.len() as u64);
        }
    }
}

/// HPACK: blocks for one decoder, each with its length before it. The first byte says whether
/// earlier blocks are missing.
pub fn hpack(data: &[u8]) {
    let mut reader = Reader(data);
    let mut decoder = Decoder::new(reader.byte().unwrap_or_default() & 1 == 1);
    let mut scratch = Scratch::default();
    while let Some(block) = reader.text() {
        let partial = decoder.is_partial();
        let mut fields = 0;
        let result = decoder.decode(block, &mut scratch, &mut |field| {
            fields += 1;
            assert!(partial || field.name.is_some() && field.value.is_some());
        });
        assert!(fields <= block.len());
        assert!(result.is_ok() || decoder.is_partial());
        assert!(decoder.memory() < 4 * MAX_TABLE);
    }
}

/// A capture file: `data` is one, or the packets of one, each with its length before it, if the
/// first byte says so.
pub fn capture(data: &[u8]) {
    let file = match data {
        [link @ (0 | 1 | 9 | 101 | 104 | 113 | 239), data @ ..] => {
            let mut reader = Reader(data);
            let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
            file.extend([0; 12]);
            file.extend(u32::from(*link).to_le_bytes());
            while let Some(packet) = reader.text() {
                let len = (packet.len() as u32).to_le_bytes();
                file.extend([[0; 4], [0; 4], len, len].concat());
                file.extend(packet);
            }
            file
        }
        data => data.to_vec(),
    };
    let mut pipeline = pipeline();
    let name = Path::new("input");
    if let Err(error) = replay(&mut Cursor::new(file), name, &mut pipeline, &mut look) {
        assert!(error.to_string().starts_with("input: "));
    }
    finish(pipeline, 0);
}

/// Content types and codings of bodies.
const KINDS: [&str; 8] = [
    "application/json",
    "text/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "application/graphql",
    "text/plain",
    "multipart/mixed",
    "application/soap+xml; action=\"a/b\"",
];
const CODINGS: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];

/// A body, as request and as answer: the first byte says of which type and in which coding.
pub fn body(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    let kind = KINDS[usize::from(first % 8)];
    let coding = CODINGS[usize::from(first / 8) % 5];
    let fields = format!(
        "Content-Type: {kind}\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut pipeline = pipeline();
    let mut calls = 0;
    for (direction, head) in [
        (Direction::Inbound, "POST /a/$batch HTTP/1.1\r\n"),
        (Direction::Outbound, "HTTP/1.1 400 Bad\r\n"),
    ] {
        let text = [head.as_bytes(), fields.as_bytes(), body].concat();
        let piece = Bytes {
            conn: ConnId(1),
            time_ns: 1,
            direction,
            offset: 0,
            len: text.len() as u64,
            bytes: &text,
        };
        pipeline.push(Input::Bytes(piece), &mut |output| {
            if let Output::Call(call) = &output {
                calls += 1;
                assert!(
                    call.operation
                        .as_ref()
                        .is_none_or(|name| name.len() < 16 << 10)
                );
                assert!(
                    call.login
                        .as_ref()
                        .is_none_or(|login| login.chars().count() <= 128)
                );
                let code = call.body_error.as_ref().map(|error| error.code.len());
                assert!(code.is_none_or(|len| len <= 64));
            }
            look(output);
        });
        assert!(pipeline.buffered_bytes() < MOST_KEPT);
    }
    assert_eq!(calls, 1);
    finish(pipeline, 1);
}

/// A file of transcripts.
pub fn transcript(data: &[u8]) {
    let mut pipeline = pipeline();
    if let Err(error) = replay(
        &mut Cursor::new(data),
        Path::new("input"),
        &mut pipeline,
        &mut look,
    ) {
        // What begins as a capture file is read as one.
        assert!(error.to_string().starts_with("input: "));
    }
    finish(pipeline, 0);
}
