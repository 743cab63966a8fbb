//! Bodies that the capture leaves out by itself.

use super::support::*;
use crate::stream::{Direction, Position, Segment};

const BODY: u32 = 10 << 20;

/// A head with `fields`, of which the capture says that it leaves out all before `until` of the body;
/// `with` bytes of the body come in the same segment and are not captured.
fn head(run: &mut Run, direction: Direction, head: &[u8], with: u32, until: u32) {
    let seq = run.seqs[direction as usize];
    let len = head.len() as u32 + with;
    run.seqs[direction as usize] = seq.wrapping_add(len);
    run.now_ns += MS;
    run.segment(Segment {
        bytes: head,
        skips: Some(head.len() as u32 + until),
        ..segment(direction, run.now_ns, seq, len)
    });
}

fn answer(length: u32) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

#[test]
fn a_body_left_out_by_the_capture_is_no_gap_and_is_not_asked_for() {
    for with in [0, 1, 60_000, BODY - 1] {
        let mut run = Run::default();
        run.open().tcp(Inbound, &get("/a"));
        head(&mut run, Outbound, &answer(BODY), with, BODY);
        // The last byte says when it ended.
        run.lost(Outbound, (BODY - with - 1) as usize)
            .tcp(Outbound, b"x");
        run.tcp(Inbound, &get("/b")).tcp(Outbound, &ok(3));
        let body = format!("GET /a 200 0 {BODY}");
        assert_eq!(run.lines(), [&*body, "GET /b 200 0 3"], "{with}");
        assert_eq!((run.skips(), run.disputes()), (vec![], 0));
        let counts = run.pipeline.counts();
        assert_eq!(counts.stream.skipped_bytes, u64::from(BODY - 1));
        assert_eq!((counts.stream.gaps, counts.protocol.skips_disputed), (0, 0));
    }
}

#[test]
fn a_body_that_ends_in_the_segment_of_its_head_ends_there() {
    let mut run = Run::default();
    run.open().tcp(Inbound, &get("/a"));
    head(&mut run, Outbound, &answer(30_000), 30_000, 30_000);
    assert_eq!(run.lines(), ["GET /a 200 0 30000"]);
    run.tcp(Inbound, &get("/b")).tcp(Outbound, &ok(3));
    assert_eq!(run.lines(), ["GET /a 200 0 30000", "GET /b 200 0 3"]);
}

#[test]
fn a_request_left_out_by_the_capture_has_its_size() {
    let mut run = Run::default();
    let upload =
        format!("PUT /a HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: {BODY}\r\n\r\n");
    run.open();
    head(&mut run, Inbound, upload.as_bytes(), 1000, BODY);
    run.lost(Inbound, BODY as usize - 1001);
    // What follows in the last segment is the next request.
    run.tcp(Inbound, &[b"x".as_slice(), &get("/b")].concat());
    run.tcp(Outbound, &ok(1)).tcp(Outbound, &ok(2));
    let body = format!("PUT /a 200 {BODY} 1");
    assert_eq!(run.lines(), [&*body, "GET /b 200 0 2"]);
    assert_eq!((run.skips(), run.disputes()), (vec![], 0));
}

#[test]
fn a_head_that_comes_ahead_of_others_is_left_out_as_well() {
    let mut run = Run::default();
    run.open().tcp(Inbound, &get("/a")).tcp(Inbound, &get("/b"));
    let first = ok(5);
    let seq = run.seqs[1];
    run.lost(Outbound, first.len());
    head(&mut run, Outbound, &answer(BODY), 0, BODY);
    let now_ns = run.now_ns;
    run.segment(Segment {
        bytes: &first,
        ..segment(Outbound, now_ns, seq, first.len() as u32)
    });
    run.lost(Outbound, BODY as usize - 1).tcp(Outbound, b"x");
    let body = format!("GET /b 200 0 {BODY}");
    assert_eq!(run.lines(), ["GET /a 200 0 5", &*body]);
    assert_eq!(run.disputes(), 0);
}

#[test]
fn the_length_in_the_answer_to_a_head_is_none_to_leave_out() {
    let mut run = Run::default();
    run.open()
        .tcp(Inbound, b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    head(&mut run, Outbound, &answer(BODY), 0, BODY);
    assert_eq!(run.disputes(), 1);
    run.tcp(Inbound, &get("/b")).tcp(Outbound, &ok(3));
    assert_eq!(run.lines(), ["HEAD /a 200 0 0", "GET /b 200 0 3"]);
    assert_eq!(run.pipeline.counts().protocol.skips_disputed, 1);
}

#[test]
fn what_only_looks_like_a_head_is_disputed_and_missing_bytes_are_a_gap() {
    let mut run = Run::default();
    run.open().tcp(Inbound, &get("/a"));
    run.tcp(
        Outbound,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n",
    );
    // In the middle of a chunk of 200,000 bytes.
    let inner = answer(100_000);
    head(&mut run, Outbound, &inner, 0, 100_000);
    assert_eq!(run.disputes(), 1);
    run.lost(Outbound, 50_000);
    let rest = 150_000 - inner.len();
    run.tcp(Outbound, &vec![b'x'; rest])
        .tcp(Outbound, b"\r\n0\r\n\r\n");
    run.tcp(Inbound, &get("/b")).tcp(Outbound, &ok(3));
    assert_eq!(run.lines().len(), 2, "{:?}", run.lines());
    assert!(run.lines()[0].starts_with("GET /a 200 0 200000"));
    assert_eq!(run.lines()[1], "GET /b 200 0 3");
}

#[test]
fn a_length_that_another_contradicts_is_disputed() {
    let mut run = Run::default();
    run.open().tcp(Inbound, &get("/a"));
    let both = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\nContent-Length : 5\r\n\r\n");
    head(&mut run, Outbound, both.as_bytes(), 0, BODY);
    assert_eq!(run.disputes(), 1);
}

#[test]
fn more_than_the_body_is_never_left_out_unseen() {
    let mut run = Run::default();
    run.open().tcp(Inbound, &get("/a"));
    head(&mut run, Outbound, &answer(BODY), 0, BODY + 1);
    assert_eq!(run.disputes(), 1);
    // The parser asks for what it does not need, which is less.
    let end = run.seqs[1].wrapping_add(BODY);
    assert_eq!(run.skips(), [(Outbound, Position::Seq(end))]);
}

#[test]
fn a_body_left_out_though_it_might_tell_something_is_counted() {
    let mut run = Run::default();
    let upload = format!(
        "POST /a HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n"
    );
    run.open();
    head(&mut run, Inbound, upload.as_bytes(), 0, BODY);
    run.lost(Inbound, BODY as usize - 1).tcp(Inbound, b"}");
    run.tcp(Outbound, &ok(1));
    assert_eq!(run.lines(), [format!("POST /a 200 {BODY} 1")]);
    assert_eq!(run.disputes(), 0);
    assert_eq!(run.pipeline.counts().protocol.peeks_cut, 1);
}
