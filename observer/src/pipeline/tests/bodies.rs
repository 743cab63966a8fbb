//! What is read in bodies, on its way through the protocols.

use super::support::*;
use crate::pipeline::PipelineSettings;

fn request(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /api HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn answer(status: u16, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Operation, count, login and error of each call.
fn read(run: &Run) -> Vec<String> {
    let show = |call: &&crate::call::ApiCall| {
        let error = call.body_error.as_deref();
        format!(
            "{}/{:?}/{}/{}",
            call.operation.as_deref().unwrap_or_default(),
            call.operations,
            call.login.as_deref().unwrap_or_default(),
            error.map_or(String::new(), |error| format!(
                "{}:{}",
                error.source.as_str(),
                error.code
            )),
        )
    };
    run.calls().iter().map(show).collect()
}

const QUERY: &[u8] = br#"{"query":"query Me { me }"}"#;
const ERRORS: &[u8] = br#"{"errors":[{"extensions":{"code":"FORBIDDEN"}}],"data":null}"#;

#[test]
fn operation_and_error_are_read_however_the_bytes_are_cut() {
    let request = request("application/json", QUERY);
    let answer = answer(200, "application/json", ERRORS);
    for cut in 1..60 {
        let mut run = Run::default();
        for part in request.chunks(cut) {
            run.bytes(Inbound, part);
        }
        for part in answer.chunks(cut) {
            run.bytes(Outbound, part);
        }
        assert_eq!(read(&run), ["query Me/Some(1)//graphql:FORBIDDEN"], "{cut}");
        assert_eq!(run.pipeline.buffered_bytes(), 0);
    }
}

#[test]
fn chunked_and_compressed_bodies_are_read() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(br#"{"username":"ann","password":"hunter2"}"#)
        .unwrap();
    let body = gzip.finish().unwrap();
    let mut text = b"POST /login HTTP/1.1\r\nContent-Type: application/json\r\n\
        Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for part in body.chunks(7) {
        text.extend(format!("{:x}\r\n", part.len()).bytes());
        text.extend(part);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\n\r\n");
    let mut run = Run::default();
    run.bytes(Inbound, &text);
    run.bytes(
        Outbound,
        &answer(400, "application/json", br#"{"error":"invalid_grant"}"#),
    );
    assert_eq!(read(&run), ["/None/ann/oauth:invalid_grant"]);
    assert!(!format!("{:?}", run.outputs).contains("hunter2"));
}

#[test]
fn a_large_body_is_peeked_and_the_rest_is_left_out() {
    let mut body = br#"{"jsonrpc":"2.0","id":1,"method":"store","params":[""#.to_vec();
    body.resize(1 << 20, b'x');
    let text = request("application/json", &body);
    let mut run = Run::default();
    run.bytes(Inbound, &text[..40_000]);
    assert_eq!(run.skips(), [], "more of the first part is to come");
    run.bytes(Inbound, &text[40_000..80_000]);
    assert_eq!(run.skips().len(), 1);
    assert!(run.pipeline.buffered_bytes() < 200_000);
    run.piece(Inbound, &[], text.len() as u64 - 80_000);
    run.bytes(Outbound, &answer(200, "application/json", b"{}"));
    assert_eq!(read(&run), ["store/None//"]);
    assert_eq!(line(run.calls()[0]), "POST /api 200 1048576 2");
}

#[test]
fn what_follows_a_gap_is_not_read() {
    let text = request("application/json", QUERY);
    let mut run = Run::default();
    run.bytes(Inbound, &text[..text.len() - 20]);
    run.gap(Inbound, 10);
    run.bytes(Inbound, &text[text.len() - 10..]);
    run.bytes(Outbound, &answer(200, "text/html", b"hi"));
    assert_eq!(read(&run), ["/None//"]);
    assert_eq!(line(run.calls()[0]), "POST /api 200 27 2 gap");
}

#[test]
fn nothing_is_read_if_it_is_switched_off() {
    let mut run = Run::with_settings(PipelineSettings {
        body_peek: 0,
        ..Default::default()
    });
    run.bytes(Inbound, &request("application/json", QUERY));
    run.bytes(Outbound, &answer(400, "application/json", ERRORS));
    assert_eq!(read(&run), ["/None//"]);
}

#[test]
fn an_answer_before_the_request_has_ended_is_read_too() {
    let text = request("application/json", QUERY);
    let mut run = Run::default();
    run.bytes(Inbound, &text[..text.len() - 1]);
    run.bytes(
        Outbound,
        &answer(403, "application/json", br#"{"code":"denied"}"#),
    );
    run.close();
    let expected = "query Me/None//json:denied";
    assert!(
        read(&run).contains(&expected.to_owned()),
        "{:?}",
        read(&run)
    );
}
