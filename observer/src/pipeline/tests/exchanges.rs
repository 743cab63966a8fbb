//! What HTTP/1 can say when nothing is missing.

use std::sync::Arc;

use super::support::*;
use crate::call::{AuthScheme, Flag, Protocol, Role};
use crate::discover::Process;
use crate::pipeline::{Output, Pipeline, PipelineSettings};
use crate::protocol::Verdict;
use crate::stream::{Bytes, ConnId, Flow, Input, Tls};

#[test]
fn a_call_says_who_asked_whom_for_what() {
    let mut run = Run::with_settings(PipelineSettings {
        clock_offset_ns: 1_000,
        ..Default::default()
    });
    run.input(Input::Owner {
        conn: CONN,
        process: Arc::new(Process {
            pid: 42,
            ..Process::default()
        }),
    });
    run.input(Input::Tls {
        conn: CONN,
        tls: Arc::new(Tls::default()),
    });
    run.bytes(
        Inbound,
        b"POST /v1/items?token=s3cr3t&dry HTTP/1.1\r\nHost: api.example\r\n\
          Authorization: Bearer s3cr3t\r\nContent-Length: 5\r\n\r\nhello",
    );
    run.input(Input::Peer {
        conn: CONN,
        flow: flow(),
    });
    run.bytes(
        Outbound,
        b"HTTP/1.1 201 Created\r\nWWW-Authenticate: Bearer\r\n",
    );
    run.bytes(Outbound, b"Content-Length: 2\r\n\r\nok");
    let calls = run.calls();
    let [call] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(line(call), "POST /v1/items 201 5 2");
    assert_eq!(call.query.as_deref(), Some("token=*&dry"));
    assert_eq!(call.host.as_deref(), Some("api.example"));
    assert_eq!(
        (call.role, call.protocol, call.scheme),
        (Role::Server, Protocol::Http11, "https")
    );
    assert_eq!(
        (call.client, call.server),
        (Some(flow().remote), Some(flow().local))
    );
    assert_eq!(call.process.as_ref().map(|process| process.pid), Some(42));
    assert_eq!(
        (call.auth.scheme, call.auth.challenged),
        (AuthScheme::Bearer, true)
    );
    assert_eq!(call.time_unix_ns, MS + 1_000);
    assert_eq!(call.duration_ns, Some(2 * MS));
    assert!(!format!("{:?}", run.pipeline).contains("s3cr3t"));
    assert!(!format!("{calls:?}").contains("s3cr3t"));
    run.assert_empty();
}

#[test]
fn a_call_waits_a_moment_for_a_process_that_is_about_to_be_known() {
    let mut run = Run::default();
    run.input(Input::OwnerFollows { conn: CONN });
    run.bytes(Inbound, &get("/a")).bytes(Outbound, &ok(0));
    assert_eq!(run.calls().len(), 0);
    let process = Arc::new(Process {
        pid: 42,
        ..Process::default()
    });
    run.input(Input::Owner {
        conn: CONN,
        process,
    });
    run.bytes(Inbound, &get("/b")).bytes(Outbound, &ok(0));
    let pids: Vec<_> = run
        .calls()
        .iter()
        .map(|call| call.process.as_ref().map(|process| process.pid))
        .collect();
    assert_eq!(pids, [Some(42), Some(42)]);
}

#[test]
fn a_process_that_is_never_known_holds_no_call_for_long() {
    let mut run = Run::default();
    run.input(Input::OwnerFollows { conn: CONN });
    run.bytes(Inbound, &get("/a")).bytes(Outbound, &ok(0));
    run.tick(3_000_000_000);
    let [call] = run.calls()[..] else {
        panic!("one call")
    };
    assert!(call.process.is_none());
}

#[test]
fn the_side_that_asks_is_the_client() {
    let mut run = Run::default();
    run.tcp(Outbound, &get("/")).tcp(Inbound, &ok(3));
    let calls = run.calls();
    assert_eq!(calls[0].role, Role::Client);
    assert_eq!(
        (calls[0].client, calls[0].server),
        (Some(flow().local), Some(flow().remote))
    );
}

/// Every shape of message in one connection, and the calls it holds.
fn everything() -> (Vec<u8>, Vec<u8>, Vec<&'static str>) {
    let requests = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n\
        POST /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        4;ext=\"1\"\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\n\
        \r\nHEAD /head HTTP/1.1\r\n\r\n\
        PUT http://u:p@h:8080/absolute?a=1 HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc\
        OPTIONS * HTTP/1.1\r\n\r\n\
        m-search /lower HTTP/1.1\r\n\r\n\
        GET /lf HTTP/1.1\nHost: h\n\n\
        GET /fold HTTP/1.1\r\nX: a\r\n b\r\nHost: h\r\n\r\n\
        DELETE /none HTTP/1.1\r\n\r\n\
        GET /not-modified HTTP/1.1\r\n\r\n\
        POST /both HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
        GET /last HTTP/1.1\r\n\r\n";
    let responses = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody\
        HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n\
        HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 404 Not Found\nContent-Length: 1\n\nx\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHT\
        HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 2\r\n\r\nTP\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\nuntil the end";
    let calls = vec![
        "GET /plain 200 0 4",
        "POST /chunked 201 9 10",
        "HEAD /head 200 0 0",
        "PUT /absolute 200 3 0",
        "OPTIONS * 200 0 0",
        "m-search /lower 404 0 1 lax_syntax",
        "GET /lf 200 0 2 lax_syntax",
        "GET /fold 200 0 2 lax_syntax",
        "DELETE /none 204 0 0",
        "GET /not-modified 304 0 0",
        "POST /both 200 0 0 conflicting_length",
        "GET /last 500 0 13",
    ];
    (requests.to_vec(), responses.to_vec(), calls)
}

#[test]
fn every_split_gives_the_same_calls() {
    let (requests, responses, calls) = everything();
    for split in 0..requests.len().max(responses.len()) {
        let mut run = Run::default();
        let (first, second) = requests.split_at(split.min(requests.len()));
        run.bytes(Inbound, first).bytes(Inbound, second);
        let (first, second) = responses.split_at(split.min(responses.len()));
        run.bytes(Outbound, first).bytes(Outbound, second).close();
        assert_eq!(run.lines(), calls, "split at {split}");
        run.assert_empty();
    }
}

#[test]
fn pieces_of_any_size_give_the_same_calls() {
    let (requests, responses, calls) = everything();
    for size in 1..64 {
        let mut run = Run::default();
        for piece in requests.chunks(size) {
            run.bytes(Inbound, piece);
        }
        for piece in responses.chunks(size) {
            run.bytes(Outbound, piece);
        }
        run.close();
        assert_eq!(run.lines(), calls, "pieces of {size}");
        let counts = run.pipeline.counts().protocol;
        assert_eq!((counts.boundaries_lost, counts.orphan_responses), (0, 0));
        assert_eq!((counts.requests, counts.interim_responses), (12, 2));
        run.assert_empty();
    }
}

#[test]
fn requests_and_responses_that_overlap_in_time_are_paired() {
    let mut run = Run::default();
    run.bytes(
        Inbound,
        b"POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n01234",
    );
    run.bytes(
        Outbound,
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(run.lines(), ["POST /a 413 5 0"]);
    run.bytes(Inbound, b"56789")
        .bytes(Inbound, &get("/b"))
        .bytes(Outbound, &ok(1));
    assert_eq!(run.lines()[1], "GET /b 200 0 1");
}

#[test]
fn upgrade_and_connect_end_http() {
    for (request, response, line) in [
        (
            &b"GET /other HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"[..],
            &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n\x81\x05hello"[..],
            "GET /other 101 0 0 upgrade",
        ),
        (
            b"CONNECT db.example:443 HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x81\x05hello",
            "CONNECT db.example:443 200 0 0 upgrade",
        ),
    ] {
        let mut run = Run::default();
        run.bytes(Inbound, request).bytes(Outbound, response);
        run.bytes(Inbound, &get("/inside"))
            .bytes(Outbound, &ok(1))
            .close();
        assert_eq!(run.lines(), [line]);
        assert_eq!(run.verdicts(), [Verdict::Http1, Verdict::Upgraded]);
        let inside = 7 + get("/inside").len() + ok(1).len();
        assert_eq!(run.pipeline.counts().protocol.tunnel_bytes, inside as u64);
        run.assert_empty();
    }
}

#[test]
fn a_refused_connect_stays_http() {
    let mut run = Run::default();
    run.bytes(Inbound, b"CONNECT h:443 HTTP/1.1\r\n\r\n");
    run.bytes(
        Outbound,
        b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    );
    run.bytes(Inbound, &get("/next")).bytes(Outbound, &ok(0));
    assert_eq!(run.lines(), ["CONNECT h:443 407 0 0", "GET /next 200 0 0"]);
    assert!(run.calls()[0].auth.challenged);
}

#[test]
fn what_ends_early_is_told_as_cut() {
    let mut run = Run::default();
    run.bytes(
        Inbound,
        b"POST /cut HTTP/1.1\r\nContent-Length: 10\r\n\r\n012",
    )
    .close();
    assert_eq!(run.lines(), ["POST /cut - 3 0 request_cut,no_response"]);

    let mut run = Run::default();
    run.bytes(Inbound, &get("/cut"));
    run.bytes(
        Outbound,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012",
    )
    .close();
    assert_eq!(run.lines(), ["GET /cut 200 0 3 response_cut"]);

    let mut run = Run::default();
    run.bytes(Inbound, &get("/a"))
        .bytes(Outbound, b"HTTP/1.1 200 O")
        .close();
    assert_eq!(run.lines(), ["GET /a - 0 0 no_response"]);
    assert_eq!(run.pipeline.counts().protocol.heads_cut, 1);
    run.assert_empty();
}

#[test]
fn both_sides_of_a_local_connection_are_told_once() {
    for both_sides in [false, true] {
        let settings = PipelineSettings {
            both_sides,
            ..Default::default()
        };
        let mut pipeline = Pipeline::new(settings);
        let mut roles = Vec::new();
        let server = flow();
        let client = Flow {
            local: server.remote,
            remote: server.local,
            link: None,
        };
        let mut out = |output| {
            if let Output::Call(call) = output {
                roles.push(call.role);
            }
        };
        let (asking, serving) = (ConnId(1), ConnId(2));
        pipeline.push(
            Input::Peer {
                conn: asking,
                flow: client,
            },
            &mut out,
        );
        pipeline.push(
            Input::Peer {
                conn: serving,
                flow: server,
            },
            &mut out,
        );
        for (conn, direction, bytes) in [
            (asking, Outbound, get("/")),
            (serving, Inbound, get("/")),
            (serving, Outbound, ok(1)),
            (asking, Inbound, ok(1)),
        ] {
            let len = bytes.len() as u64;
            let bytes = &bytes;
            let piece = Bytes {
                conn,
                time_ns: 1,
                direction,
                offset: 0,
                len,
                bytes,
                skips: None,
            };
            pipeline.push(Input::Bytes(piece), &mut out);
        }
        let duplicates = pipeline.counts().call.duplicates;
        if both_sides {
            assert_eq!((roles, duplicates), (vec![Role::Server, Role::Client], 0));
        } else {
            assert_eq!((roles, duplicates), (vec![Role::Server], 1));
        }
    }
}

#[test]
fn other_protocols_are_named_and_left_alone() {
    for (bytes, verdict) in [
        (
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"[..],
            Verdict::Http2,
        ),
        (b"\x16\x03\x01\x00\xc8\x01\x00", Verdict::Tls),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", Verdict::NotHttp),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", Verdict::NotHttp),
    ] {
        for size in [1, bytes.len()] {
            let mut run = Run::default();
            for piece in bytes.chunks(size) {
                run.bytes(Inbound, piece);
            }
            run.bytes(Outbound, &ok(1)).bytes(Inbound, &get("/"));
            assert_eq!(run.verdicts(), [verdict]);
            assert!(run.calls().is_empty());
            run.assert_empty();
        }
    }
}

fn plaintext(run: &mut Run) {
    run.input(Input::Tls {
        conn: CONN,
        tls: Arc::default(),
    });
}

#[test]
fn a_call_waits_for_the_addresses_of_its_tls_connection() {
    let mut run = Run::default();
    plaintext(&mut run);
    run.bytes(Inbound, &get("/a")).bytes(Outbound, &ok(3));
    assert_eq!(run.lines(), [""; 0]);
    run.input(Input::Peer {
        conn: CONN,
        flow: flow(),
    });
    assert_eq!(run.lines(), ["GET /a 200 0 3"]);
    run.bytes(Inbound, &get("/b")).bytes(Outbound, &ok(4));
    assert_eq!(run.lines(), ["GET /a 200 0 3", "GET /b 200 0 4"]);
    run.assert_empty();
}

#[test]
fn a_call_whose_addresses_never_come_is_told_as_unbound() {
    let mut run = Run::default();
    plaintext(&mut run);
    run.bytes(Inbound, &get("/a")).bytes(Outbound, &ok(3));
    run.tick(run.now_ns + 500 * MS);
    assert_eq!(run.lines(), [""; 0]);
    run.tick(run.now_ns + 600 * MS);
    assert_eq!(run.lines(), ["GET /a 200 0 3 unbound"]);
    run.bytes(Inbound, &get("/b")).bytes(Outbound, &ok(4));
    run.input(Input::Closed {
        conn: CONN,
        time_ns: run.now_ns,
    });
    assert_eq!(
        run.lines(),
        ["GET /a 200 0 3 unbound", "GET /b 200 0 4 unbound"]
    );
    run.assert_empty();
}

#[test]
fn a_request_of_http_0_9_is_answered_by_a_body_alone() {
    for cut in 1..12 {
        let mut run = Run::default();
        for part in b"GET /old\r\n".chunks(cut) {
            run.bytes(Inbound, part);
        }
        run.bytes(Outbound, b"<html>hi</html>").close();
        assert_eq!(run.lines(), ["GET /old - 0 15"], "{cut}");
        assert_eq!(run.calls()[0].protocol, Protocol::Http09);
        run.assert_empty();
    }
    let mut run = Run::default();
    run.bytes(Inbound, b"GET /old\r\nHost: x\r\n\r\n");
    run.bytes(Outbound, b"HTTP/1.0 400 Bad\r\n\r\n").close();
    assert_eq!(run.lines(), ["GET /old 400 0 0"]);
}

#[test]
fn a_version_without_its_minor_number_is_taken_and_flagged() {
    let mut run = Run::default();
    run.bytes(
        Inbound,
        b"GET / HTTP/1.\r\nHost: x\r\n\r\nGET /b HTTP/1\r\nHost: x\r\n\r\n",
    );
    run.bytes(Outbound, &[ok(1), ok(2)].concat());
    assert_eq!(
        run.lines(),
        ["GET / 200 0 1 lax_syntax", "GET /b 200 0 2 lax_syntax"]
    );
}

#[test]
fn what_goes_through_a_socks_proxy_is_seen() {
    let mut run = Run::default();
    run.bytes(Inbound, b"\x05\x01\x00")
        .bytes(Outbound, b"\x05\x00");
    run.bytes(Inbound, b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50");
    run.bytes(Outbound, b"\x05\x00\x00\x01\x0a\x00\x00\x01\x12\x34");
    run.bytes(Inbound, &get("/through")).bytes(Outbound, &ok(3));
    assert_eq!(run.lines(), ["GET /through 200 0 3"]);
    run.assert_empty();
}

#[test]
fn an_answer_of_http_0_9_that_comes_a_byte_at_a_time_is_counted_whole() {
    // It starts as a status line does, and is none.
    let mut run = Run::default();
    run.bytes(Inbound, b"GET /old\r\n");
    for byte in b"HTTP/3 is newer" {
        run.bytes(Outbound, &[*byte]);
    }
    run.close();
    let calls = run.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].protocol, calls[0].response_bytes),
        (Protocol::Http09, 15)
    );
}

#[test]
fn a_length_that_some_read_as_negative_is_flagged() {
    let mut run = Run::default();
    run.bytes(
        Inbound,
        b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
    );
    run.close();
    assert!(run.calls()[0].flags.contains(&Flag::ConflictingLength));
}
