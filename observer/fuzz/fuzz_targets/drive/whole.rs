//! What is one protocol throughout: the same bytes at once and in small pieces must give the same
//! calls, and nothing that nobody sent.

use observer::call::{ApiCall, OperationKind};
use observer::pipeline::{Counts, Output, Pipeline};
use observer::stream::{Bytes, ConnId, Direction, Input};

use super::{MOST_KEPT, Reader, finish, look, pipeline};

/// What of a call must not depend on how its bytes were cut.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub method: String,
    pub path: String,
    pub status: Option<u16>,
    pub grpc: (Option<u32>, Option<Box<str>>),
    pub operation: Option<String>,
    pub kind: Option<&'static str>,
    pub operations: Option<u32>,
    pub login: Option<Box<str>>,
    pub bytes: [u64; 2],
    pub messages: [Option<u64>; 2],
    pub frames: Option<(u64, u64, Option<u16>)>,
    pub flags: Vec<&'static str>,
}

impl Told {
    fn of(call: &ApiCall) -> Self {
        Self {
            method: call.method.clone(),
            path: call.path.clone(),
            status: call.status,
            grpc: (call.grpc_status, call.grpc_message.clone()),
            operation: call.operation.clone(),
            kind: call.operation_kind.map(OperationKind::as_str),
            operations: call.operations,
            login: call.login.clone(),
            bytes: [call.request_bytes, call.response_bytes],
            messages: [call.request_messages, call.response_messages],
            frames: call.websocket.as_ref().map(|socket| {
                (
                    socket.client_frames,
                    socket.server_frames,
                    socket.close_code,
                )
            }),
            flags: call.flags.iter().map(|flag| flag.as_str()).collect(),
        }
    }
}

/// Calls of a connection whose parts come one after the other, each in pieces of `size` bytes.
pub fn run(parts: &[(Direction, &[u8])], size: usize) -> (Vec<Told>, Counts) {
    run_with(pipeline(), parts, size)
}

/// The same with a pipeline that is set up.
pub fn run_with(
    mut pipeline: Pipeline,
    parts: &[(Direction, &[u8])],
    size: usize,
) -> (Vec<Told>, Counts) {
    let mut told = Vec::new();
    let mut offsets = [0u64; 2];
    let conn = ConnId(1);
    let mut tell = |output: Output| {
        if let Output::Call(call) = &output {
            told.push(Told::of(call));
        }
        look(output);
    };
    for &(direction, part) in parts {
        let offset = &mut offsets[usize::from(direction == Direction::Outbound)];
        for bytes in part.chunks(size.max(1)) {
            let len = bytes.len() as u64;
            let piece = Bytes {
                conn,
                time_ns: 1,
                direction,
                offset: *offset,
                len,
                bytes,
            };
            *offset += len;
            pipeline.push(Input::Bytes(piece), &mut tell);
            assert!(pipeline.buffered_bytes() < MOST_KEPT);
        }
    }
    pipeline.push(Input::Closed { conn, time_ns: 1 }, &mut tell);
    let counts = pipeline.counts();
    finish(pipeline, 1);
    (told, counts)
}

/// HTTP/1: requests, two zero bytes, the answers to them. Asked first and answered then, all at
/// once and in pieces of as many bytes as the first byte says.
pub fn http1(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    let middle = data.windows(2).position(|pair| pair == [0, 0]);
    let (requests, answers) = data.split_at(middle.unwrap_or(data.len()));
    let answers = answers.get(2..).unwrap_or_default();
    let parts = [
        (Direction::Inbound, requests),
        (Direction::Outbound, answers),
    ];
    let (whole, counts) = run(&parts, usize::MAX);
    for call in &whole {
        let method = call.method.as_bytes();
        assert!(
            // Where nothing comes in, what goes out may be the requests.
            method.is_empty()
                || [requests, answers]
                    .iter()
                    .any(|sent| sent.windows(method.len()).any(|word| word == method)),
            "nobody sent the method {}",
            call.method
        );
    }
    let (cut, cut_counts) = run(&parts, usize::from(size) + 1);
    // Where a message is searched for, it is looked for at the start of a piece alone.
    let searched = [counts, cut_counts]
        .iter()
        .any(|counts| counts.protocol.searched_bytes > 0 || counts.protocol.invalid_heads > 0);
    if !searched {
        assert_eq!(cut, whole);
    }
}

/// What went both ways after a handshake, with two zero bytes between the two.
pub fn websocket(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    let mut reader = Reader(data);
    let mut sent: [Vec<u8>; 2] = [
        b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            .to_vec(),
        b"HTTP/1.1 101 Up\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
    ];
    let heads = sent.each_ref().map(Vec::len);
    while let Some(side) = reader.byte() {
        let text = reader.text().unwrap_or_default();
        sent[usize::from(side & 1)].extend(text);
    }
    let [client, server] = &sent;
    let parts = [
        (Direction::Inbound, &client[..heads[0]]),
        (Direction::Outbound, &server[..heads[1]]),
        (Direction::Inbound, &client[heads[0]..]),
        (Direction::Outbound, &server[heads[1]..]),
    ];
    let (whole, _) = run(&parts, usize::MAX);
    assert_eq!(whole.len(), 1);
    let bytes = whole[0].bytes;
    assert!(bytes[0] <= client.len() as u64 && bytes[1] <= server.len() as u64);
    let (cut, _) = run(&parts, usize::from(size) + 1);
    assert_eq!(cut, whole);
}

/// Content types of remote procedure calls.
const RPCS: [&str; 5] = [
    "application/grpc",
    "application/grpc-web",
    "application/grpc-web-text",
    "application/connect+proto",
    "application/proto",
];

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
}

/// A field that enters no table (RFC 7541 §6.2.2); name and value shorter than 127 bytes.
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let value = value.get(..value.len().min(126)).unwrap_or_default();
    [
        &[0, name.len() as u8],
        name.as_bytes(),
        &[value.len() as u8],
        value,
    ]
    .concat()
}

/// A remote procedure call over HTTP/2: of which kind says the first byte; then status, text,
/// and what the two sides send, in frames.
pub fn grpc(data: &[u8]) {
    let mut reader = Reader(data);
    let (Some(size), Some(kind)) = (reader.byte(), reader.byte()) else {
        return;
    };
    let kind_name = RPCS[usize::from(kind) % RPCS.len()].as_bytes();
    let status = reader.text().unwrap_or_default();
    let message = reader.text().unwrap_or_default();
    let mut asked = [
        field(":method", b"POST"),
        field(":path", b"/a.B/C"),
        field(":scheme", b"http"),
        field("content-type", kind_name),
    ]
    .concat();
    if kind & 16 != 0 {
        asked.extend(field("connect-protocol-version", b"1"));
    }
    let answered = [field(":status", b"200"), field("content-type", kind_name)].concat();
    let mut sent = [
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &frame(1, 4, &asked)[..],
        ]
        .concat(),
        frame(1, 4, &answered),
    ];
    while let Some(side) = reader.byte() {
        let text = reader.text().unwrap_or_default();
        sent[usize::from(side & 1)].extend(frame(0, 0, text));
    }
    let [mut client, mut server] = sent;
    client.extend(frame(0, 1, b""));
    let end = [field("grpc-status", status), field("grpc-message", message)].concat();
    server.extend(frame(1, 5, &end));
    let parts = [
        (Direction::Inbound, &client[..]),
        (Direction::Outbound, &server[..]),
    ];
    let (whole, _) = run(&parts, usize::MAX);
    assert_eq!(whole.len(), 1);
    assert_eq!(
        (whole[0].path.as_str(), whole[0].status),
        ("/a.B/C", Some(200))
    );
    let (cut, _) = run(&parts, usize::from(size) + 1);
    assert_eq!(cut, whole);
}
