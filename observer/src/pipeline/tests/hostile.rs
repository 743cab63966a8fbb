//! What attackers and broken programs send.

use proptest::prelude::*;

use super::support::*;
use crate::call::Protocol;
use crate::protocol::{MAX_HEAD, MAX_IN_FLIGHT};
use crate::stream::{Bytes, ConnId, Input, Segment};

#[test]
fn a_request_without_a_version_ends_with_its_line_however_it_is_cut() {
    let sent = b"POST /a\nHost: h\nContent-Length: 1\nTransfer-Encoding: chunked\n\n1\r\n";
    for size in [1, 8, 9, sent.len()] {
        let mut run = Run::default();
        for piece in sent.chunks(size) {
            run.bytes(Inbound, piece);
        }
        run.bytes(Outbound, b"answer");
        run.input(Input::Closed {
            conn: CONN,
            time_ns: 2,
        });
        let calls = run.calls();
        let [call] = calls.as_slice() else {
            panic!("{size}: {calls:?}")
        };
        assert_eq!(call.protocol, Protocol::Http09, "{size}");
        assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/a"));
        assert_eq!(call.flags, [], "{size}");
        // The host is a courtesy: it is known if it came along.
        let host = (size == sent.len()).then_some("h");
        assert_eq!(call.host.as_deref(), host, "{size}");
    }
}

#[test]
fn a_head_of_megabytes_is_counted_and_the_next_call_is_seen() {
    for size in [100, 1400, 65_536, 3 << 20] {
        let mut run = Run::default();
        let head = [
            b"GET /big HTTP/1.1\r\nX: ".as_slice(),
            &vec![b'x'; 2 << 20],
            b"\r\n\r\n",
        ]
        .concat();
        for piece in head.chunks(size) {
            run.bytes(Inbound, piece);
            assert!(run.pipeline.buffered_bytes() <= 2 * MAX_HEAD + 4096);
        }
        run.bytes(
            Outbound,
            b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n",
        );
        run.bytes(Inbound, &get("/good")).bytes(Outbound, &ok(1));
        assert_eq!(run.lines(), ["GET /good 200 0 1"], "pieces of {size}");
        let counts = run.pipeline.counts().protocol;
        assert_eq!((counts.heads_too_large, counts.orphan_responses), (1, 1));
        run.assert_empty();
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_read_in_linear_time() {
    let mut run = Run::default();
    let head = [
        b"GET /slow HTTP/1.1\r\nX: ".as_slice(),
        &vec![b'x'; 200_000],
        b"\r\n\r\n",
    ]
    .concat();
    let start = std::time::Instant::now();
    for piece in head.chunks(1) {
        run.bytes(Inbound, piece);
    }
    run.bytes(Outbound, &ok(0));
    assert_eq!(run.lines(), ["GET /slow 200 0 0"]);
    // Squared, this would be twenty thousand million steps.
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn incomplete_heads_of_all_connections_are_bounded() {
    let mut run = Run::default();
    let head = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 200_000]].concat();
    for conn in 0..500 {
        let (conn, len) = (ConnId(conn), head.len() as u64);
        let piece = Bytes {
            conn,
            time_ns: 1,
            direction: Inbound,
            offset: 0,
            len,
            bytes: &head,
            skips: None,
        };
        run.input(Input::Bytes(piece));
        assert!(run.pipeline.buffered_bytes() <= 17 << 20);
    }
    assert!(run.pipeline.counts().protocol.heads_over_budget > 0);
    run.assert_empty();
}

#[test]
fn too_many_fields_are_counted_and_the_next_call_is_seen() {
    let mut run = Run::default();
    let head = format!("GET /many HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(300));
    run.bytes(Inbound, head.as_bytes()).bytes(Outbound, &ok(1));
    run.bytes(Inbound, &get("/good")).bytes(Outbound, &ok(2));
    assert_eq!(run.lines(), ["GET /good 200 0 2"]);
    assert_eq!(run.pipeline.counts().protocol.too_many_fields, 1);
}

#[test]
fn garbage_between_messages_is_passed_over() {
    let mut run = Run::default();
    run.bytes(Inbound, &get("/a")).bytes(Outbound, &ok(1));
    run.bytes(Inbound, b"\0\0\xff\xfe garbage")
        .bytes(Inbound, &[0; 300]);
    run.bytes(
        Outbound,
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad",
    );
    run.bytes(Inbound, &get("/b")).bytes(Outbound, &ok(2));
    assert_eq!(run.lines(), ["GET /a 200 0 1", "GET /b 200 0 2"]);
    let counts = run.pipeline.counts().protocol;
    assert_eq!((counts.invalid_heads, counts.orphan_responses), (1, 1));
    assert_eq!(counts.searched_bytes, 312);
}

#[test]
fn nul_in_a_head_is_counted_and_the_next_call_is_seen() {
    let mut run = Run::default();
    run.bytes(Inbound, b"GET /nul HTTP/1.1\r\nA: b\0c\r\nHost: h\r\n\r\n");
    run.bytes(
        Outbound,
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    );
    run.bytes(Inbound, &get("/good")).bytes(Outbound, &ok(1));
    assert_eq!(run.lines(), ["GET /good 200 0 1"]);
    assert_eq!(run.pipeline.counts().protocol.invalid_heads, 1);
}

#[test]
fn a_field_without_a_name_is_passed_over() {
    let mut run = Run::default();
    run.bytes(
        Inbound,
        b"GET /odd HTTP/1.1\r\n: x\r\na b: c\r\nHost: h\r\n\r\n",
    )
    .bytes(Outbound, &ok(0));
    assert_eq!(run.lines(), ["GET /odd 200 0 0 lax_syntax"]);
    assert_eq!(run.calls()[0].host.as_deref(), Some("h"));
}

#[test]
fn a_thousand_requests_without_an_answer_are_bounded() {
    let mut run = Run::default();
    for number in 0..5_000 {
        run.bytes(Inbound, &get(&format!("/{number}")));
        assert!(run.pipeline.buffered_bytes() < 2048 * (MAX_IN_FLIGHT + 1));
    }
    assert!(run.pipeline.counts().protocol.in_flight_over_limit > 0);
    run.close();
    assert_eq!(run.calls().len(), 5_000);
    run.assert_empty();
}

#[test]
fn open_calls_of_all_connections_are_bounded() {
    let mut run = Run::default();
    let request = get(&"/x".repeat(2000));
    for conn in 0..20_000 {
        let (conn, len) = (ConnId(conn), request.len() as u64);
        run.input(Input::Bytes(Bytes {
            conn,
            time_ns: 1,
            direction: Inbound,
            offset: 0,
            len,
            bytes: &request,
            skips: None,
        }));
        assert!(run.pipeline.buffered_bytes() <= 33 << 20);
    }
    assert!(run.pipeline.counts().call.open_over_limit > 0);
    run.assert_empty();
    assert_eq!(run.calls().len(), 20_000);
}

#[test]
fn ten_thousand_connections_opened_and_dropped_leave_nothing() {
    let mut run = Run::default();
    for conn in 0..10_000 {
        let open = Segment {
            conn: ConnId(conn),
            syn: true,
            ..segment(Inbound, conn, 5, 0)
        };
        run.segment(open);
        run.segment(Segment {
            syn: false,
            seq: 6,
            len: 3,
            bytes: b"GET",
            ..open
        });
        run.input(Input::Closed {
            conn: ConnId(conn),
            time_ns: conn,
        });
        assert_eq!(
            (run.pipeline.connections(), run.pipeline.buffered_bytes()),
            (0, 0)
        );
    }
    assert!(run.outputs.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_pieces_in_any_order_are_safe(pieces in pieces()) {
        let mut run = Run::default();
        for (kind, conn, direction, at, text) in pieces {
            let conn = ConnId(conn);
            let direction = if direction { Inbound } else { Outbound };
            run.now_ns += u64::from(at) * 1000;
            let time_ns = run.now_ns;
            let bytes = text.as_slice();
            let len = bytes.len() as u32;
            match kind {
                0..4 => { run.tcp(direction, bytes); }
                4 => {
                    let place = segment(direction, time_ns, 1000 + u32::from(at), len);
                    run.segment(Segment { conn, bytes, ..place });
                }
                5 => {
                    let place = segment(direction, time_ns, u32::from(at) << 16, len);
                    run.segment(Segment { conn, bytes, fin: at % 7 == 0, syn: at % 5 == 0, len: len + u32::from(at % 3), skips: (at % 4 == 0).then_some(len << (at % 20)), ..place });
                }
                6 => run.input(Input::Bytes(Bytes { conn, time_ns, direction, offset: u64::from(at) << (at % 48), len: u64::from(len) + u64::from(at), bytes, skips: (at % 2 == 0).then_some(at.into()) })),
                7 => run.input(Input::Bytes(Bytes { conn, time_ns, direction, offset: u64::MAX - u64::from(at), len: u64::MAX, bytes, skips: (at % 2 == 0).then_some(len) })),
                8 => run.input(Input::End { conn, time_ns, direction }),
                9 => run.tick(time_ns),
                _ => run.input(Input::Closed { conn, time_ns }),
            }
            prop_assert!(run.pipeline.buffered_bytes() < 4 << 20);
        }
        run.assert_empty();
    }
}

/// Fragments that make messages when they meet, and others that break them.
fn pieces() -> impl Strategy<Value = Vec<(u8, u64, bool, u16, Vec<u8>)>> {
    const WORDS: [&[u8]; 16] = [
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b=c HTTP/1.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 Up\r\n",
        b"Content-Length: 7\r\n",
        b"Content-Length: 99999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"\0\xff\x16\x03",
        b"PRI * HTTP/2.0\r\n",
        b" folded\r\n",
        b"CONNECT h:1 HTTP/1.1\r\n\r\n",
    ];
    let text = prop_oneof![
        8 => prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..6)
            .prop_map(|words| words.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec((0u8..12, 6u64..9, any::<bool>(), any::<u16>(), text), 0..60)
}
