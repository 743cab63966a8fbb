//! HTTP/2, from captured bytes to calls.

use super::support::*;
use crate::call::{AuthScheme, Protocol};
use crate::protocol::Verdict;
use proptest::prelude::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of literals; `insert`: that go into the table.
fn block(fields: &[(&str, &str)], insert: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(if insert { 0x40 } else { 0 });
        for text in [name, value] {
            assert!(text.len() < 127);
            bytes.push(text.len() as u8);
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

fn request(stream: u32, path: &str, flags: u8) -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", path),
    ];
    frame(HEADERS, END_HEADERS | flags, stream, &block(&fields, false))
}

fn grpc(stream: u32) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.v1.Orders/Get"),
        ("content-type", "application/grpc+proto"),
        ("authorization", "Bearer s3cr3t"),
    ];
    frame(HEADERS, END_HEADERS, stream, &block(&fields, true))
}

fn answer(stream: u32, status: &str, flags: u8) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | flags,
        stream,
        &block(&[(":status", status)], false),
    )
}

fn start() -> Run {
    let mut run = Run::default();
    run.bytes(Outbound, &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]));
    run.bytes(Inbound, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    run.bytes(Outbound, &frame(SETTINGS, 1, 0, &[]));
    run
}

#[test]
fn interleaved_streams_each_give_their_call() {
    let mut run = start();
    run.bytes(
        Inbound,
        &[request(1, "/a?k=s3cr3t", 1), request(3, "/b", 0)].concat(),
    );
    run.bytes(
        Inbound,
        &frame(DATA, END_STREAM | PADDED, 3, b"\x02hello\0\0"),
    );
    run.bytes(Outbound, &answer(3, "103", 0));
    run.bytes(Outbound, &answer(3, "201", 0));
    run.bytes(Outbound, &answer(1, "200", 0));
    run.bytes(Outbound, &frame(DATA, 0, 1, b"abc"));
    run.bytes(Outbound, &frame(DATA, END_STREAM, 3, b"0123456789"));
    run.bytes(
        Outbound,
        &frame(HEADERS, 5, 1, &block(&[("etag", "x")], false)),
    );
    assert_eq!(run.verdicts(), [Verdict::Http2]);
    let calls = run.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((&*calls[0].path, calls[0].status), ("/b", Some(201)));
    assert_eq!((calls[0].request_bytes, calls[0].response_bytes), (5, 10));
    assert_eq!((&*calls[1].path, calls[1].status), ("/a", Some(200)));
    assert_eq!(calls[1].query.as_deref(), Some("k=*"));
    assert_eq!(calls[1].host.as_deref(), Some("shop.example"));
    assert_eq!((calls[1].request_bytes, calls[1].response_bytes), (0, 3));
    assert!(calls.iter().all(|call| call.protocol == Protocol::Http2));
    assert!(calls.iter().all(|call| call.flags.is_empty()));
    assert!(calls.iter().all(|call| call.duration_ns.is_some()));
    run.assert_empty();
}

#[test]
fn a_grpc_call_has_its_operation_status_and_messages() {
    let mut run = start();
    run.bytes(Inbound, &grpc(1));
    run.bytes(
        Inbound,
        &frame(DATA, END_STREAM, 1, b"\0\0\0\0\x02ab\0\0\0\0\0"),
    );
    run.bytes(Outbound, &answer(1, "200", 0));
    run.bytes(Outbound, &frame(DATA, 0, 1, b"\0\0\0\0\x01x"));
    let trailers = block(&[("grpc-status", "5"), ("grpc-message", "none")], false);
    run.bytes(Outbound, &frame(HEADERS, 5, 1, &trailers));
    // Nothing but trailers.
    run.bytes(Inbound, &grpc(3));
    let only = block(&[(":status", "200"), ("grpc-status", "16")], false);
    run.bytes(Outbound, &frame(HEADERS, 5, 3, &only));
    let calls = run.calls();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(call.protocol, Protocol::Grpc);
        assert_eq!(call.operation.as_deref(), Some("shop.v1.Orders/Get"));
        assert_eq!(call.auth.scheme, AuthScheme::Bearer);
        assert!(!format!("{call:?}").contains("s3cr3t"));
    }
    assert_eq!(calls[0].grpc_status, Some(5));
    let messages = (calls[0].request_messages, calls[0].response_messages);
    assert_eq!(messages, (Some(2), Some(1)));
    assert_eq!(
        (calls[1].grpc_status, calls[1].status),
        (Some(16), Some(200))
    );
    assert!(!format!("{:?}", run.pipeline).contains("s3cr3t"));
    run.assert_empty();
}

#[test]
fn a_reset_stream_and_refused_ones_are_told_so() {
    let mut run = start();
    for stream in [1, 3, 5] {
        run.bytes(Inbound, &request(stream, "/", 1));
    }
    run.bytes(Outbound, &answer(1, "200", 0));
    run.bytes(Inbound, &frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    run.bytes(Outbound, &frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]));
    run.close();
    assert_eq!(
        run.lines(),
        [
            "GET / 200 0 0 response_cut,reset",
            "GET / - 0 0 no_response,reset",
            "GET / - 0 0 no_response",
        ]
    );
}

#[test]
fn a_connection_joined_midway_tells_what_it_can_and_marks_the_rest() {
    let mut run = Run::default();
    run.gap(Inbound, 100).gap(Outbound, 100);
    // 62 was inserted before: it may be the path.
    let head = [
        &block(&[(":method", "GET"), (":scheme", "http")], false)[..],
        &[0xbe],
    ]
    .concat();
    run.bytes(Inbound, &frame(HEADERS, 5, 9, &head));
    run.bytes(Outbound, &answer(7, "200", 1));
    run.bytes(Outbound, &answer(9, "204", 1));
    run.bytes(Inbound, &request(11, "/known", 1));
    run.bytes(Outbound, &frame(HEADERS, 5, 11, &[0xc0]));
    let calls = run.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((&*calls[0].method, &*calls[0].path), ("GET", ""));
    assert_eq!(calls[0].status, Some(204));
    let flags: Vec<_> = calls[0].flags.iter().map(|flag| flag.as_str()).collect();
    assert_eq!(flags, ["joined", "unknown_fields"]);
    assert_eq!((&*calls[1].path, calls[1].status), ("/known", None));
    assert_eq!(calls[1].flags.last().unwrap().as_str(), "unknown_fields");
    let counts = run.pipeline.counts().protocol;
    assert_eq!((counts.unknown_fields, counts.orphan_responses), (2, 1));
    run.assert_empty();
}

#[test]
fn frames_of_a_large_body_are_lost_and_its_size_is_what_was_announced() {
    let fields = [(":status", "200"), ("content-length", "3000000")];
    let head = frame(HEADERS, END_HEADERS, 1, &block(&fields, false));
    let body = frame(DATA, 0, 1, &[b'x'; 10_000]).repeat(299);
    let end = frame(DATA, END_STREAM, 1, &[b'x'; 10_000]);
    // The loss begins and ends anywhere; afterwards frames start within what is seen.
    for (lost, size) in [(5_000, 700_000), (5_005, 700_003), (40_036, 9)] {
        let mut run = start();
        run.bytes(Inbound, &request(1, "/a", END_STREAM));
        run.bytes(Outbound, &[&head[..], &body[..lost]].concat());
        run.gap(Outbound, size as u64);
        for part in body[lost + size..].chunks(60_000) {
            run.bytes(Outbound, part);
        }
        run.bytes(Outbound, &end);
        run.bytes(Inbound, &request(3, "/b", END_STREAM));
        run.bytes(Outbound, &answer(3, "204", END_STREAM));
        run.close();
        assert_eq!(
            run.lines(),
            ["GET /a 200 0 3000000 gap", "GET /b 204 0 0"],
            "{lost} {size}"
        );
    }
}

#[test]
fn a_websocket_over_http2_is_one_call_with_its_messages() {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "h"),
        (":path", "/live"),
    ];
    let mut run = start();
    run.bytes(
        Inbound,
        &frame(HEADERS, END_HEADERS, 1, &block(&fields, false)),
    );
    run.bytes(Outbound, &answer(1, "200", 0));
    run.bytes(Inbound, &frame(DATA, 0, 1, b"\x81\x85\0\0\0\0hel"));
    run.bytes(Inbound, &frame(DATA, 0, 1, b"lo\x89\x80\0\0\0\0"));
    run.bytes(Outbound, &frame(DATA, 0, 1, b"\x81\x02ok\x8a\x00\x82\x00"));
    run.bytes(
        Inbound,
        &frame(DATA, END_STREAM, 1, b"\x88\x82\0\0\0\0\x03\xe8"),
    );
    run.bytes(Outbound, &frame(DATA, END_STREAM, 1, b"\x88\x02\x03\xe8"));
    run.close();
    let calls = run.calls();
    assert_eq!(calls.len(), 1);
    let call = calls[0];
    assert_eq!((call.path.as_str(), call.status), ("/live", Some(200)));
    assert_eq!((call.request_bytes, call.response_bytes), (7, 4));
    let messages = (call.request_messages, call.response_messages);
    assert_eq!(messages, (Some(1), Some(2)));
    let socket = call.websocket.as_deref().unwrap();
    assert_eq!((socket.client_frames, socket.server_frames), (3, 4));
    assert_eq!(socket.close_code, Some(1000));
}

#[test]
fn what_a_body_holds_is_no_frame_of_another_stream_after_a_loss() {
    // A client sends what looks like requests in the body of one.
    let forged = request(9, "/never-sent", END_STREAM).repeat(20);
    let mut run = start();
    run.bytes(Inbound, &request(1, "/a", 0));
    run.bytes(Inbound, &frame(DATA, 0, 1, &[b'x'; 100])[..50]);
    run.gap(Inbound, 20_000);
    run.bytes(Inbound, &[&b"rest"[..], &forged].concat());
    run.close();
    assert_eq!(run.lines().len(), 1, "{:?}", run.lines());
}

#[test]
fn bytes_lost_inside_a_body_cost_nothing_and_elsewhere_the_boundary() {
    let mut run = start();
    run.bytes(Inbound, &request(1, "/a", 1));
    run.bytes(Outbound, &answer(1, "200", 0));
    let data = frame(DATA, END_STREAM, 1, &[b'x'; 1000]);
    run.bytes(Outbound, &data[..300]);
    run.gap(Outbound, 500);
    run.bytes(Outbound, &data[800..]);
    // A whole answer and the start of another are lost.
    run.bytes(
        Inbound,
        &[request(3, "/b", 1), request(5, "/c", 1)].concat(),
    );
    run.gap(Outbound, 40);
    run.bytes(Outbound, b"middle of something");
    run.bytes(
        Outbound,
        &[frame(DATA, 0, 5, b"abc"), answer(5, "200", 1)].concat(),
    );
    run.close();
    let mut lines = run.lines();
    lines.sort();
    assert_eq!(
        lines,
        [
            "GET /a 200 0 1000 gap",
            "GET /b - 0 0 no_response,gap",
            "GET /c 200 0 3 gap",
        ]
    );
    assert_eq!(run.pipeline.counts().protocol.boundaries_lost, 1);
}

#[test]
fn a_flood_of_continuations_is_bounded_flagged_and_counted() {
    let mut run = start();
    let head = request(1, "/flood", 1);
    run.bytes(Inbound, &frame(HEADERS, END_STREAM, 1, &head[9..]));
    let more = frame(CONTINUATION, 0, 1, &block(&[("x", "y")], false));
    for _ in 0..5_000 {
        run.bytes(Inbound, &more);
    }
    assert!(run.pipeline.buffered_bytes() < 64 << 10);
    run.bytes(Inbound, &frame(CONTINUATION, END_HEADERS, 1, &[]));
    run.bytes(Inbound, &request(3, "/after", 1));
    run.bytes(
        Outbound,
        &[answer(1, "431", 1), answer(3, "200", 1)].concat(),
    );
    assert_eq!(
        run.lines(),
        ["GET /flood 431 0 0 header_flood", "GET /after 200 0 0"]
    );
    assert_eq!(run.pipeline.counts().protocol.continuation_floods, 1);
    run.assert_empty();
}

#[test]
fn what_a_server_pushes_is_no_call() {
    let mut run = start();
    run.bytes(Inbound, &request(1, "/", 1));
    let promise = [&[0, 0, 0, 2][..], &request(2, "/pushed", 0)[9..]].concat();
    run.bytes(Outbound, &frame(PUSH_PROMISE, END_HEADERS, 1, &promise));
    run.bytes(
        Outbound,
        &[answer(2, "200", 1), answer(1, "200", 1)].concat(),
    );
    assert_eq!(run.lines(), ["GET / 200 0 0"]);
    assert_eq!(run.pipeline.counts().protocol.push_promises, 1);
    run.assert_empty();
}

#[test]
fn streams_without_answers_and_their_tables_are_bounded() {
    let mut run = start();
    for stream in 0..5_000 {
        run.bytes(Inbound, &request(stream * 2 + 1, "/", 1));
    }
    assert!(run.pipeline.buffered_bytes() < 2 << 20);
    assert_eq!(
        run.pipeline.counts().protocol.in_flight_over_limit,
        5_000 - 1024
    );
    run.close();
    assert_eq!(run.calls().len(), 5_000);
    run.assert_empty();
}

#[test]
fn requests_that_break_the_rules_are_no_calls() {
    let mut run = start();
    let bad: [&[(&str, &str)]; 5] = [
        &[(":method", "GET"), (":scheme", "http")],
        &[(":scheme", "http"), (":path", "/")],
        &[(":method", "G T"), (":path", "/")],
        &[(":method", "GET"), (":path", "odd")],
        &[("only", "fields")],
    ];
    for (stream, fields) in (1..).step_by(2).zip(bad) {
        run.bytes(Inbound, &frame(HEADERS, 5, stream, &block(fields, false)));
    }
    run.bytes(Inbound, &request(12, "/even", 1));
    run.bytes(Inbound, &request(21, "/fine", 1));
    run.bytes(Inbound, &request(13, "/late", 1));
    run.close();
    assert_eq!(run.lines(), ["GET /fine - 0 0 no_response"]);
    assert_eq!(run.pipeline.counts().protocol.invalid_heads, 7);
}

fn whole() -> [Vec<u8>; 2] {
    let client = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[]),
        &grpc(1),
        &frame(DATA, END_STREAM, 1, b"\0\0\0\0\x02ab"),
        &request(3, "/second", 1),
    ]
    .concat();
    let trailers = block(&[("grpc-status", "0")], true);
    let server = [
        frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]),
        answer(1, "200", 0),
        frame(DATA, PADDED, 1, b"\x01\0\0\0\0\x01x\0"),
        frame(HEADERS, 5, 1, &trailers),
        answer(3, "404", 1),
    ]
    .concat();
    [client, server]
}

proptest! {
    #[test]
    fn every_split_gives_the_same_calls(cuts in proptest::collection::vec(1usize..40, 1..60)) {
        let mut run = Run::default();
        for (direction, bytes) in [Inbound, Outbound].into_iter().zip(whole()) {
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                run.bytes(direction, piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
        prop_assert_eq!(
            run.lines(),
            ["POST /shop.v1.Orders/Get 200 7 6", "GET /second 404 0 0"]
        );
        run.assert_empty();
    }

    #[test]
    fn a_gap_anywhere_invents_nothing(
        at in any::<proptest::sample::Index>(), len in 1usize..60, server in any::<bool>(),
    ) {
        let mut run = Run::default();
        let texts = whole();
        for (direction, bytes) in [Inbound, Outbound].into_iter().zip(&texts) {
            if server != (direction == Outbound) {
                run.bytes(direction, bytes);
                continue;
            }
            let from = at.index(bytes.len());
            let to = (from + len).min(bytes.len());
            run.bytes(direction, &bytes[..from]);
            run.gap(direction, (to - from) as u64);
            run.bytes(direction, &bytes[to..]);
        }
        run.close();
        let calls = run.calls();
        prop_assert!(calls.len() <= 2);
        for call in calls {
            prop_assert!(matches!(&*call.path, "/shop.v1.Orders/Get" | "/second" | ""));
            prop_assert!(matches!(call.status, None | Some(200 | 404)));
            prop_assert!(matches!(call.grpc_status, None | Some(0)));
        }
        run.assert_empty();
    }
}
