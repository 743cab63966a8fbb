//! What is made of bytes that are missing.

use super::support::*;
use crate::protocol::Verdict;
use crate::stream::{Input, Position, Segment};

#[test]
fn a_gap_inside_a_body_of_known_length_only_advances() {
    let mut run = Run::default();
    run.bytes(Inbound, &get("/a"));
    run.bytes(
        Outbound,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345",
    )
    .gap(Outbound, 90);
    run.bytes(Outbound, b"12345")
        .bytes(Inbound, &get("/b"))
        .bytes(Outbound, &ok(1));
    assert_eq!(run.lines(), ["GET /a 200 0 100 gap", "GET /b 200 0 1"]);

    let mut run = Run::default();
    run.bytes(Inbound, &get("/a"));
    run.bytes(
        Outbound,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n",
    );
    run.gap(Outbound, 100).bytes(Outbound, b"\r\n0\r\n\r\n");
    assert_eq!(run.lines(), ["GET /a 200 0 100 gap"]);
}

#[test]
fn what_was_captured_of_a_segment_is_a_prefix() {
    let mut run = Run::default();
    run.bytes(Inbound, &get("/a"));
    run.piece(
        Outbound,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n123",
        1041,
    );
    assert_eq!(run.lines(), ["GET /a 200 0 1000 gap"]);
}

#[test]
fn a_message_that_is_cut_does_not_spoil_the_next_one() {
    let mut run = Run::default();
    run.bytes(Inbound, &get("/a"));
    run.bytes(
        Outbound,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n123",
    );
    run.gap(Outbound, 1000)
        .bytes(Outbound, b"tail\r\n0\r\n\r\n");
    run.bytes(Inbound, &get("/b")).bytes(Outbound, &ok(2));
    run.bytes(Inbound, &get("/c")).bytes(Outbound, &ok(3));
    assert_eq!(
        run.lines(),
        [
            "GET /a 200 0 3 response_cut,gap",
            "GET /b 200 0 2",
            "GET /c 200 0 3"
        ]
    );
}

#[test]
fn the_response_to_a_lost_request_is_given_to_nobody() {
    let mut run = Run::default();
    run.bytes(Inbound, &get("/a")).bytes(Outbound, &ok(1));
    run.gap(Inbound, 40).bytes(Outbound, &ok(2));
    run.bytes(Inbound, &get("/c")).bytes(Outbound, &ok(3));
    assert_eq!(run.lines(), ["GET /a 200 0 1", "GET /c 200 0 3"]);
    assert_eq!(run.pipeline.counts().protocol.orphan_responses, 1);
}

#[test]
fn a_lost_response_is_not_made_up_from_the_next_one() {
    let mut run = Run::default();
    run.bytes(Inbound, &get("/a")).gap(Outbound, 50);
    run.bytes(Inbound, &get("/b")).bytes(Outbound, &ok(2));
    run.bytes(Inbound, &get("/c")).bytes(Outbound, &ok(3));
    assert_eq!(
        run.lines(),
        [
            "GET /a - 0 0 no_response,gap",
            "GET /b 200 0 2",
            "GET /c 200 0 3"
        ]
    );
}

#[test]
fn a_lost_segment_costs_one_call_and_no_waiting() {
    // TCP, non-pipelined, one request or response lost: all others keep their own answer.
    for lose_request in [true, false] {
        let mut run = Run::default();
        run.open();
        for number in 0..10 {
            let request = get(&format!("/{number}"));
            if number == 5 && lose_request {
                run.lost(Inbound, request.len());
            } else {
                run.tcp(Inbound, &request);
            }
            if number == 5 && !lose_request {
                run.lost(Outbound, ok(number).len());
            } else {
                run.tcp(Outbound, &ok(number));
            }
        }
        run.now_ns += 1000 * MS;
        run.tick(run.now_ns);
        let mut lines = run.lines();
        lines.sort();
        let mut expected: Vec<_> = (0..10).map(|at| format!("GET /{at} 200 0 {at}")).collect();
        expected[5] = "GET /5 - 0 0 no_response,gap".to_owned();
        if lose_request {
            expected.remove(5);
        }
        assert_eq!(lines, expected, "lose_request {lose_request}");
    }
}

#[test]
fn whatever_is_lost_no_call_has_the_answer_of_another() {
    // Drops each pair of segments of a keep-alive connection in turn.
    let count = 12usize;
    for first in 0..2 * count {
        for second in first..2 * count {
            let mut run = Run::default();
            run.open();
            for at in 0..2 * count {
                let number = at / 2;
                let (direction, bytes) = if at % 2 == 0 {
                    (Inbound, get(&format!("/{number}")))
                } else {
                    (Outbound, ok(number))
                };
                if at == first || at == second {
                    run.lost(direction, bytes.len());
                } else {
                    run.tcp(direction, &bytes);
                }
            }
            run.now_ns += 1000 * MS;
            run.close();
            let mut answered = 0;
            for call in run.calls() {
                if call.status.is_some() {
                    answered += 1;
                    let own = call.path[1..].parse::<u64>().unwrap();
                    assert_eq!(call.response_bytes, own, "{first} {second}: {}", line(call));
                }
            }
            assert!(
                answered >= count - 3,
                "{first} {second}: {answered} {:?}",
                run.lines()
            );
            run.assert_empty();
        }
    }
}

#[test]
fn after_a_loss_in_a_pipeline_nothing_is_guessed_until_it_was_quiet() {
    let mut run = Run::default();
    let both = |first: usize| [get(&format!("/{first}")), get(&format!("/{}", first + 1))].concat();
    run.bytes(Inbound, &both(0))
        .bytes(Outbound, &[ok(0), ok(1)].concat());
    run.bytes(Inbound, &both(2))
        .gap(Outbound, ok(2).len() as u64)
        .bytes(Outbound, &ok(3));
    run.bytes(Inbound, &both(4))
        .bytes(Outbound, &[ok(4), ok(5)].concat());
    run.now_ns += 5_000 * MS;
    run.bytes(Inbound, &both(6))
        .bytes(Outbound, &[ok(6), ok(7)].concat());
    for call in run.calls() {
        if call.status.is_some() {
            assert_eq!(call.path, format!("/{}", call.response_bytes));
        }
    }
    let lines = run.lines();
    assert_eq!(
        lines[lines.len() - 2..],
        ["GET /6 200 0 6", "GET /7 200 0 7"]
    );
    assert_eq!(lines.len(), 8);
}

#[test]
fn a_connection_joined_midway_is_understood_from_its_next_message() {
    let mut run = Run::default();
    let join = |direction, seq, bytes: &'static [u8]| Segment {
        from_start: false,
        bytes,
        ..segment(direction, 1, seq, bytes.len() as u32)
    };
    run.segment(join(Outbound, 100, b"tail of a body, "));
    run.segment(join(Outbound, 116, b"and more of it"));
    run.now_ns = 2;
    let request = get("/first");
    run.segment(Segment {
        from_start: false,
        bytes: &request,
        ..segment(Inbound, 3, 7, request.len() as u32)
    });
    let response = ok(4);
    run.segment(Segment {
        from_start: false,
        bytes: &response,
        ..segment(Outbound, 4, 130, response.len() as u32)
    });
    let request = get("/second");
    run.segment(Segment {
        from_start: false,
        bytes: &request,
        ..segment(Inbound, 5, 7 + 45 - 3, request.len() as u32)
    });
    assert_eq!(run.lines()[0], "GET /first 200 0 4 joined");
    assert_eq!(run.verdicts(), [Verdict::Http1]);
    assert_eq!(run.pipeline.counts().stream.joined, 1);
}

#[test]
fn a_response_already_under_way_when_joining_is_an_orphan() {
    let mut run = Run::default();
    // The answer to a HEAD that was not seen: its length is not that of a body.
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    run.segment(Segment {
        from_start: false,
        bytes: head,
        ..segment(Outbound, 1, 100, 40)
    });
    let request = get("/next");
    run.segment(Segment {
        from_start: false,
        bytes: &request,
        ..segment(Inbound, 2, 7, request.len() as u32)
    });
    let response = ok(4);
    run.segment(Segment {
        from_start: false,
        bytes: &response,
        ..segment(Outbound, 3, 140, response.len() as u32)
    });
    assert_eq!(run.lines(), ["GET /next 200 0 4 joined"]);
    assert_eq!(run.pipeline.counts().protocol.orphan_responses, 1);
}

#[test]
fn something_else_joined_midway_is_given_up_after_a_while() {
    let mut run = Run::default();
    let bytes = [0xa5u8; 65_536];
    for piece in 0..100u32 {
        let part = segment(Inbound, 1, piece * 65_536, 65_536);
        run.segment(Segment {
            from_start: false,
            bytes: &bytes,
            ..part
        });
    }
    assert_eq!(run.verdicts(), [Verdict::NotHttp]);
    run.assert_empty();
}

#[test]
fn large_bodies_are_asked_to_be_left_out_and_still_count() {
    let length = 3u64 << 30;
    let mut run = Run::default();
    run.tcp(Inbound, &get("/large"));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let start = 9000u32.wrapping_add(head.len() as u32);
    run.tcp(Outbound, head.as_bytes());
    let gib = 1u32 << 30;
    assert_eq!(
        run.skips(),
        [(Outbound, Position::Seq(start.wrapping_add(gib)))]
    );
    // Some bytes were under way before the capture heard of it; then it jumps.
    run.tcp(Outbound, &[b'x'; 1000]);
    for step in 1..3u32 {
        run.segment(Segment {
            bytes: &[b'x'; 10],
            ..segment(Outbound, run.now_ns, start.wrapping_add(gib * step), 10)
        });
    }
    assert_eq!(run.skips().len(), 3);
    // Three times 2^30: the numbers have wrapped.
    run.tcp(Inbound, &get("/next"));
    let end = start.wrapping_add(gib.wrapping_mul(3));
    assert_eq!(run.skips()[2], (Outbound, Position::Seq(end)));
    let response = ok(5);
    run.segment(Segment {
        bytes: &response,
        ..segment(Outbound, run.now_ns, end, response.len() as u32)
    });
    assert_eq!(
        run.lines(),
        [
            format!("GET /large 200 0 {length}"),
            "GET /next 200 0 5".to_owned()
        ]
    );
    let counts = run.pipeline.counts().stream;
    assert_eq!((counts.gaps, counts.reordered_segments), (0, 0));
    assert_eq!(counts.skipped_bytes, length - 1000 - 20);
}

#[test]
fn a_body_left_out_and_then_cut_has_the_size_that_went() {
    let mut run = Run::default();
    run.tcp(Inbound, &get("/large"));
    run.tcp(
        Outbound,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    );
    assert_eq!(run.skips().len(), 1);
    run.lost(Outbound, 500_000);
    let at = 9000 + 44 + 500_000 - 1;
    run.segment(Segment {
        fin: true,
        ..segment(Outbound, run.now_ns, at, 0)
    });
    run.input(Input::Closed {
        conn: CONN,
        time_ns: run.now_ns,
    });
    let lines = run.lines();
    assert!(
        lines[0].starts_with("GET /large 200 0 4999")
            || lines[0].starts_with("GET /large 200 0 5000"),
        "{lines:?}"
    );
    assert!(lines[0].ends_with("response_cut"), "{lines:?}");
    run.assert_empty();
}

#[test]
fn chunks_and_plaintext_are_left_out_by_offset() {
    let mut run = Run::default();
    run.bytes(Inbound, &get("/large"));
    run.bytes(
        Outbound,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n",
    );
    assert_eq!(run.skips(), [(Outbound, Position::Offset(55 + 0x10_0000))]);
    run.gap(Outbound, 0x10_0000)
        .bytes(Outbound, b"\r\n0\r\n\r\n");
    assert_eq!(run.lines(), ["GET /large 200 0 1048576"]);
}

#[test]
fn a_large_body_that_ends_with_the_connection_is_left_out_and_has_its_size() {
    let mut run = Run::default();
    run.tcp(Inbound, &get("/dump"));
    let head = b"HTTP/1.0 200 OK\r\n\r\n";
    run.tcp(Outbound, head);
    run.tcp(Outbound, &[b'x'; 60_000]);
    assert_eq!(run.skips(), [], "a short one is not worth the asking");
    run.tcp(Outbound, &[b'x'; 60_000]);
    assert_eq!(run.skips().len(), 1);
    let end = 9000u32
        .wrapping_add(head.len() as u32)
        .wrapping_add(50_000_000);
    run.segment(Segment {
        fin: true,
        ..segment(Outbound, run.now_ns, end, 0)
    });
    run.input(Input::Closed {
        conn: CONN,
        time_ns: run.now_ns,
    });
    assert_eq!(run.lines(), ["GET /dump 200 0 50000000"]);
    assert_eq!(run.pipeline.counts().stream.gaps, 0);
    run.assert_empty();
}
