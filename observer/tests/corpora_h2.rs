//! HTTP/2 frames, conformance runs and gRPC connections recorded by other projects. The folder is
//! named by `OBSERVER_CORPORA`; without it the tests are skipped.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use observer::call::{ApiCall, Protocol};
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::protocol::h2::frame::{Frame, FrameHead, FrameKind, HEAD_LEN};
use observer::replay::replay;
use serde_json::{Value, json};

fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVER_CORPORA")
        .map(PathBuf::from)?
        .join("h2");
    if !folder.is_dir() {
        return None;
    }
    Some(folder)
}

fn skipped() {
    println!("skipped: OBSERVER_CORPORA does not name a folder with h2/");
}

fn lines(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    BufReader::new(reader)
        .lines()
        .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
        .collect()
}

/// The calls of one connection, whose client is number 0.
fn calls(chunks: &Value) -> Vec<ApiCall> {
    let chunks: Vec<_> = chunks
        .as_array()
        .expect("chunks")
        .iter()
        .map(|chunk| {
            let direction = if chunk["d"] == 0 { "c" } else { "s" };
            json!({"d": direction, "b": chunk["b"]})
        })
        .collect();
    let text = json!({"id": "corpus", "chunks": chunks}).to_string();
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut calls = Vec::new();
    let mut out = |output| {
        if let Output::Call(call) = output {
            calls.push(call);
        }
    };
    replay(
        &mut Cursor::new(text),
        Path::new("corpus"),
        &mut pipeline,
        &mut out,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(pipeline.buffered_bytes(), 0);
    calls
}

fn text(bytes: &[u8]) -> Value {
    json!(String::from_utf8_lossy(bytes))
}

/// The parts of a frame that the vectors name and that were read.
fn parts(frame: &Frame<'_>) -> Value {
    match frame {
        Frame::Data(data) => json!({"data": text(data.content)}),
        Frame::Headers(headers) => json!({
            "header_block_fragment": text(headers.fragment),
            "stream_dependency": headers.dependency.map(|dependency| dependency.stream),
            "weight": headers.dependency.map(|dependency| dependency.weight),
            "exclusive": headers.dependency.map(|dependency| dependency.exclusive),
        }),
        Frame::Priority(priority) => json!({
            "stream_dependency": priority.dependency.stream,
            "weight": priority.dependency.weight,
            "exclusive": priority.dependency.exclusive,
        }),
        Frame::RstStream(reset) => json!({"error_code": reset.code}),
        Frame::Settings(settings) => json!({
            "settings": settings.entries().map(|(id, value)| json!([id, value])).collect::<Vec<_>>(),
        }),
        Frame::PushPromise(promise) => json!({
            "header_block_fragment": text(promise.fragment),
            "promised_stream_id": promise.promised,
        }),
        Frame::Ping(ping) => json!({"opaque_data": text(&ping.opaque)}),
        Frame::GoAway(goaway) => json!({
            "last_stream_id": goaway.last_stream,
            "error_code": goaway.code,
            "additional_debug_data": text(goaway.debug),
        }),
        Frame::WindowUpdate(update) => json!({"window_size_increment": update.increment}),
        Frame::Continuation(continuation) => {
            json!({"header_block_fragment": text(continuation.fragment)})
        }
        Frame::Unknown => json!({}),
    }
}

#[test]
fn frames_are_read_as_their_vectors_say() {
    let Some(folder) = corpora() else {
        return skipped();
    };
    let vectors = lines(&folder.join("frames.jsonl"));
    for vector in &vectors {
        let hex = vector["wire"].as_str().expect("hex").as_bytes();
        let wire: Vec<u8> = hex
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hex"))
            .collect();
        let head = FrameHead::parse(wire.first_chunk::<HEAD_LEN>().expect("a frame head"));
        let frame = Frame::parse(&head, &wire[HEAD_LEN..]);
        let id = &vector["id"];
        match (frame, vector["error"].as_array()) {
            (Err(error), Some(codes)) => assert!(codes.contains(&json!(error.code())), "{id}"),
            (Ok(frame), None) => {
                assert_eq!(vector["frame"]["length"], head.length, "{id}");
                assert_eq!(vector["frame"]["flags"], head.flags, "{id}");
                assert_eq!(vector["frame"]["stream_identifier"], head.stream, "{id}");
                let expected = &vector["frame"]["frame_payload"];
                for (key, value) in parts(&frame).as_object().expect("parts") {
                    assert_eq!(expected[key], *value, "{id}: {key}");
                }
            }
            (frame, error) => panic!("{id}: {frame:?}, wanted {error:?}"),
        }
    }
    println!(
        "table: h2/frames: {} agreed, 0 disagreed, 0 skipped",
        vectors.len()
    );
    assert!(vectors.len() > 15);
}

/// Streams on which the client sent HEADERS.
fn asked(chunks: &Value) -> Vec<u32> {
    let chunks = chunks.as_array().expect("chunks");
    let client = chunks.iter().filter(|chunk| chunk["d"] == 0);
    let bytes: Vec<u8> = client
        .flat_map(|chunk| {
            STANDARD
                .decode(chunk["b"].as_str().unwrap())
                .expect("base64")
        })
        .collect();
    let mut rest = bytes.get(24..).unwrap_or_default();
    let mut streams = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<HEAD_LEN>() {
        let head = FrameHead::parse(head);
        if head.kind == FrameKind::Headers && !streams.contains(&head.stream) {
            streams.push(head.stream);
        }
        rest = after.get(head.length as usize..).unwrap_or_default();
    }
    streams
}

#[test]
fn no_call_is_invented_in_a_conformance_run() {
    let Some(folder) = corpora() else {
        return skipped();
    };
    let (mut connections, mut total, mut answered, mut answers) = (0, 0, 0, 0);
    for run in lines(&folder.join("h2spec.jsonl.gz")) {
        for connection in run["conns"].as_array().expect("connections") {
            let calls = calls(&connection["chunks"]);
            let frames = connection["server_frames"].as_array().expect("frames");
            let mut replied: Vec<_> = frames
                .iter()
                .filter(|frame| frame["type"] == "HEADERS")
                .map(|frame| frame["sid"].as_u64())
                .collect();
            replied.sort_unstable();
            replied.dedup();
            let with_status = calls.iter().filter(|call| call.status.is_some()).count();
            let id = &run["id"];
            assert!(calls.len() <= asked(&connection["chunks"]).len(), "{id}");
            assert!(with_status <= replied.len(), "{id}");
            if with_status < replied.len() {
                println!("{id}: {with_status} of {} answers told", replied.len());
            }
            connections += 1;
            total += calls.len();
            answered += with_status;
            answers += replied.len();
        }
    }
    println!("h2spec: {connections} connections, {total} calls, {answered} of {answers} answers");
    let disagreed = answers - answered;
    println!("table: h2/h2spec: {answered} agreed, {disagreed} disagreed, 0 skipped");
    assert!(connections > 50 && answered == answers);
}

#[test]
fn grpc_calls_agree_with_what_their_clients_know() {
    let Some(folder) = corpora() else {
        return skipped();
    };
    type Told = (String, Option<u64>, Option<u64>);
    let (mut found, mut wanted) = (0, 0);
    for client in ["grpcio", "grpclib"] {
        let truth = lines(&folder.join(format!("lab/{client}.truth.jsonl.gz")));
        let (mut own_found, mut own_wanted, mut messages) = (0, 0, 0);
        for record in lines(&folder.join(format!("lab/{client}.streams.jsonl.gz"))) {
            let calls = calls(&record["chunks"]);
            for call in &calls {
                assert_eq!(call.protocol, Protocol::Grpc, "{}", call.path);
                messages += usize::from(call.request_messages.is_some());
            }
            let mut told: Vec<Told> = calls
                .into_iter()
                .map(|call| {
                    (
                        call.operation.unwrap_or_default(),
                        call.grpc_status.map(u64::from),
                        call.status.map(u64::from),
                    )
                })
                .collect();
            let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
            let own = truth
                .iter()
                .filter(|row| row["wire"]["tcp_stream"] == record["stream"]);
            for row in own {
                let wire = &row["wire"];
                let path = wire["path"].as_str().expect("a path");
                let expected: Told = (
                    path.trim_start_matches('/').to_owned(),
                    number(&wire["grpc_status"]),
                    number(&wire["http_status"]),
                );
                own_wanted += 1;
                match told.iter().position(|told| *told == expected) {
                    Some(at) => {
                        told.swap_remove(at);
                        own_found += 1;
                    }
                    None => println!("{client}: wanted {expected:?}"),
                }
            }
            if !told.is_empty() {
                println!("{client}: stream {} has more: {told:?}", record["stream"]);
            }
        }
        println!("{client}: {own_found} of {own_wanted} calls agree, {messages} with messages");
        let disagreed = own_wanted - own_found;
        println!("table: h2/{client}: {own_found} agreed, {disagreed} disagreed, 0 skipped");
        found += own_found;
        wanted += own_wanted;
    }
    assert_eq!(found, wanted);
    assert!(wanted > 100, "{wanted}");
}
