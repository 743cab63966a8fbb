//! What was recorded makes, when it is replayed, the calls it was recorded from.

use std::io::Cursor;
use std::path::Path;

use observer::call::ApiCall;
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::record::Secrets;
use observer::replay::replay;

const SECRET: &str = "s3cr3t";

/// The calls in a transcript, and its recording.
fn run(text: &[u8], secrets: Option<Secrets>) -> (Vec<ApiCall>, Vec<u8>) {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    if let Some(secrets) = secrets {
        pipeline.record(secrets);
    }
    let mut calls = Vec::new();
    let mut out = |output| {
        if let Output::Call(call) = output {
            calls.push(call);
        }
    };
    replay(
        &mut Cursor::new(text),
        Path::new("input"),
        &mut pipeline,
        &mut out,
    )
    .expect("a transcript");
    pipeline.finish(0, &mut out);
    let recorded = pipeline.take_recorded();
    (calls, recorded)
}

/// What of a call must survive; `all`: what is in bodies and credentials too.
fn told(call: &ApiCall, all: bool) -> String {
    let flags: Vec<_> = call.flags.iter().map(|flag| flag.as_str()).collect();
    let mut text = format!(
        "{} {:?} {} {} {:?} {} {:?} {:?} {:?} {}+{} {:?}+{:?} {:?} {:?} {:?} {:?} {flags:?}",
        call.protocol.as_str(),
        call.role,
        call.scheme,
        call.method,
        call.host,
        call.path,
        call.query,
        call.status,
        call.grpc_status,
        call.request_bytes,
        call.response_bytes,
        call.request_messages,
        call.response_messages,
        call.websocket,
        call.client,
        call.server,
        call.auth.scheme,
    );
    if all {
        text += &format!(
            " {:?} {:?} {:?} {:?} {:?}",
            call.operation, call.login, call.auth, call.body_error, call.duration_ns
        );
    }
    text
}

fn all_told(calls: &[ApiCall], all: bool) -> Vec<String> {
    let mut told: Vec<_> = calls.iter().map(|call| told(call, all)).collect();
    // Connections end in another order when each is in a line of its own.
    told.sort();
    told
}

fn chunk(way: char, bytes: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
    format!("{{\"d\":\"{way}\",\"b\":\"{text}\",\"t_ms\":5}}")
}

fn line(id: &str, extra: &str, chunks: &[String]) -> String {
    let port = 5000 + id.len();
    format!(
        "{{\"id\":\"{id}\",\"client\":\"10.0.0.2:{port}\",\"server\":\"10.0.0.1:80\",{extra}\"chunks\":[{}]}}\n",
        chunks.join(",")
    )
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// Traffic of each kind, with a secret in each place that may hold one.
fn traffic() -> String {
    let http1 = [
        chunk('c', b"POST /v1/a?key=s3cr3t&page=2 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer s3cr3t\r\nCookie: sid=s3cr3t\r\nX-Key: s3cr3t\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ns3cr"),
        chunk('c', b"3t\r\n0\r\nT: s3cr3t\r\n\r\nGET http://u:s3cr3t@h/b HTTP/1.1\nHost: h\n\n"),
        chunk('s', b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\nSet-Cookie: sid=s3cr3t; Path=/\r\nWWW-Authenticate: Bearer realm=\"s3cr3t\"\r\nContent-Length: 6\r\n\r\ns3cr3tHTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\ns3cr3t"),
        "{\"d\":\"s\",\"left_out\":99990,\"t_ms\":6}".to_owned(),
        chunk('s', b"tail"),
        chunk('c', b"PUT /c HTTP/1.1\r\nContent-Length: 10\r\n\r\n"),
        "{\"d\":\"c\",\"gap\":10,\"t_ms\":7}".to_owned(),
        chunk('s', b"HTTP/1.1 200 OK\r\n\r\ns3cr3t"),
    ];
    let websocket = [
        chunk('c', b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: s3cr3t\r\n\r\n"),
        chunk('s', b"HTTP/1.1 101 Up\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        chunk('c', b"\x81\x86\0\0\0\0s3cr3t\x01\x86\0\0\0\0s3cr3t\x80\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8"),
        chunk('s', b"\x81\x06s3cr3t\x89\x00\x88\x02\x03\xe8"),
    ];
    let request =
        b"\x83\x04\x0b/a.B/C?s3cr\x41\x01h\x0f\x10\x10application/grpc\x0f\x08\x0dBearer s3cr3t";
    let grpc = [
        chunk(
            'c',
            &[
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                frame(4, 0, 0, b""),
                frame(1, 4, 1, request),
                frame(0, 1, 1, b"\0\0\0\0\x06s3cr3t"),
                frame(1, 5, 3, b"\x82\x84\x41\x01h"),
                frame(1, 5, 5, b"\x82\x84\x41\x01h"),
            ]
            .concat(),
        ),
        chunk(
            's',
            &[
                frame(4, 0, 0, b""),
                frame(1, 4, 1, b"\x88\x0f\x10\x10application/grpc"),
                frame(0, 0, 1, b"\0\0\0\0\x06s3cr3t\0\0\0\0\0"),
                frame(
                    1,
                    5,
                    1,
                    b"\x00\x0bgrpc-status\x015\x00\x0cgrpc-message\x06s3cr3t",
                ),
                frame(1, 4, 3, b"\x88"),
                frame(0, 9, 3, b"\x02s3cr3t\0\0"),
                frame(3, 0, 5, &[0, 0, 0, 8]),
            ]
            .concat(),
        ),
    ];
    let extended = b"\x02\x07CONNECT\x00\x09:protocol\x09websocket\x87\x04\x05/live\x41\x01h\x00\x15sec-websocket-version\x0213";
    let over_http2 = [
        chunk(
            'c',
            &[
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                frame(1, 4, 1, extended),
            ]
            .concat(),
        ),
        chunk('s', &frame(1, 4, 1, b"\x88")),
        chunk(
            'c',
            &frame(0, 0, 1, b"\x81\x86\0\0\0\0s3cr3t\x89\x80\0\0\0\0"),
        ),
        chunk('s', &frame(0, 1, 1, b"\x81\x06s3cr3t\x88\x02\x03\xe8")),
    ];
    let upgraded = [
        chunk('c', b"GET /h2c HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n"),
        chunk('s', b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        chunk('s', &[frame(4, 0, 0, b""), frame(1, 5, 1, b"\x88")].concat()),
        chunk('c', &[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, b"")[..], &frame(1, 5, 3, b"\x82\x84")[..]].concat()),
        chunk('s', &frame(1, 5, 3, b"\x8d")),
    ];
    let joined = [
        chunk('c', b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n"),
        chunk('s', b"HTTP/1.1 204 No\r\n\r\n"),
    ];
    let simple = [chunk('c', b"GET /old\r\n"), chunk('s', b"s3cr3t")];
    [
        line("http1", "", &http1),
        line("websocket", "\"role\":\"client\",", &websocket),
        line("grpc", "\"tls\":\"openssl 3\",", &grpc),
        line("over-http2", "", &over_http2),
        line("upgraded", "", &upgraded),
        line("joined", "\"joined\":true,", &joined),
        line("simple", "", &simple),
    ]
    .concat()
}

#[test]
fn a_redacted_recording_makes_the_same_calls_and_holds_no_secret() {
    let text = traffic();
    let (calls, recorded) = run(text.as_bytes(), Some(Secrets::Redacted));
    let (again, _) = run(&recorded, None);
    assert_eq!(all_told(&again, false), all_told(&calls, false));
    assert_eq!(calls.len(), 12);
    for line in String::from_utf8(recorded).expect("text").lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for chunk in line["chunks"].as_array().expect("chunks") {
            let Some(text) = chunk["b"].as_str() else {
                continue;
            };
            let bytes =
                base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).expect("base64");
            let bytes = String::from_utf8_lossy(&bytes).into_owned();
            assert!(!bytes.contains(SECRET), "{bytes}");
        }
    }
}

#[test]
fn a_recording_with_secrets_makes_the_same_calls_in_every_detail() {
    let text = traffic();
    let (calls, recorded) = run(text.as_bytes(), Some(Secrets::Kept));
    let (again, twice) = run(&recorded, Some(Secrets::Kept));
    assert_eq!(all_told(&again, true), all_told(&calls, true));
    let (third, _) = run(&twice, None);
    assert_eq!(all_told(&third, true), all_told(&calls, true));
}

#[test]
fn long_connections_are_written_in_parts() {
    let one = [
        chunk('c', b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        chunk(
            's',
            &[
                &b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"[..],
                &[b'x'; 5000],
            ]
            .concat(),
        ),
    ];
    let chunks: Vec<String> = one.iter().cycle().take(200).cloned().collect();
    let text = line("long", "", &chunks);
    let (calls, recorded) = run(text.as_bytes(), Some(Secrets::Kept));
    assert_eq!(calls.len(), 100);
    let lines = recorded.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines > 5, "{lines}");
    let longest = recorded.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest.is_some_and(|len| len < 200_000), "{longest:?}");
    let (again, _) = run(&recorded, None);
    assert_eq!(all_told(&again, true), all_told(&calls, true));
}

#[test]
fn what_is_not_http_is_not_recorded() {
    let text = line(
        "other",
        "",
        &[
            chunk('c', b"\x16\x03\x01\x02\0"),
            chunk('s', b"SSH-2.0-x\r\n"),
        ],
    );
    let (calls, recorded) = run(text.as_bytes(), Some(Secrets::Kept));
    assert!(calls.is_empty() && recorded.is_empty());
}
