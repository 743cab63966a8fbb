//! Transcripts that are good, and every way in which they are not.

use std::io::Cursor;
use std::path::Path;

use super::*;
use crate::call::ApiCall;
use crate::pipeline::{Output, Pipeline, PipelineSettings};

fn run(text: &[u8]) -> (Result<Replayed, String>, Vec<ApiCall>, Pipeline) {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut calls = Vec::new();
    let mut out = |output| {
        if let Output::Call(call) = output {
            calls.push(call);
        }
    };
    let name = Path::new("some.jsonl");
    let result = replay(&mut Cursor::new(text), name, &mut pipeline, &mut out);
    (result.map_err(|error| error.to_string()), calls, pipeline)
}

fn sample(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/transcripts")
        .join(name)
}

fn lines(name: &str) -> Vec<String> {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut lines = Vec::new();
    let mut out = |output| {
        if let Output::Call(call) = output {
            let flags: Vec<_> = call.flags.iter().map(|flag| flag.as_str()).collect();
            let line = format!(
                "{} {} {} {:?} {} {} {}",
                call.conn_label.as_deref().unwrap_or("-"),
                call.method,
                call.path,
                call.status,
                call.request_bytes,
                call.response_bytes,
                flags.join(",")
            );
            assert!(!format!("{call:?}").contains("hunter2"));
            lines.push(line.trim_end().to_owned());
        }
    };
    replay_file(&sample(name), &mut pipeline, &mut out).unwrap();
    assert_eq!((pipeline.connections(), pipeline.buffered_bytes()), (0, 0));
    lines
}

#[test]
fn sample_transcripts_give_the_same_calls_on_every_run() {
    let api = [
        "keep-alive GET /v1/items Some(200) 0 13",
        "keep-alive POST /v1/items Some(201) 7 0",
        "pipelined HEAD /health Some(200) 0 0",
        "pipelined DELETE /v1/items/7 Some(204) 0 0",
        "challenge GET /admin Some(401) 0 0",
        "challenge GET /admin Some(403) 0 0",
        "websocket GET /live Some(101) 0 5 upgrade",
        "without-times GET / Some(200) 0 13",
    ];
    let loss = [
        "gap-in-body GET /big Some(200) 0 100000 gap",
        "gap-in-body GET /next Some(200) 0 0",
        "request-lost GET /a Some(200) 0 1",
        "request-lost GET /c Some(200) 0 1",
        "response-lost GET /a None 0 0 no_response,gap",
        "response-lost GET /b Some(503) 0 0",
        "closed-in-the-middle GET /a Some(200) 0 10 response_cut",
    ];
    let hostile = [
        "garbage-between GET /a Some(200) 0 0",
        "garbage-between GET /b Some(200) 0 0",
        "smuggling POST /a Some(200) 0 0 conflicting_length",
        "smuggling GET /b Some(200) 0 0",
        "folded GET /fold Some(204) 0 0 lax_syntax",
    ];
    for _ in 0..2 {
        assert_eq!(lines("api.jsonl"), api);
        assert_eq!(lines("loss.jsonl"), loss);
        assert_eq!(lines("hostile.jsonl"), hostile);
    }
}

#[test]
fn times_and_addresses_are_those_of_the_file_or_unknown() {
    // "GET / HTTP/1.1", "HTTP/1.1 204 OK"
    let request = r#""d":"c","b":"R0VUIC8gSFRUUC8xLjENCg0K""#;
    let response = r#""d":"s","b":"SFRUUC8xLjEgMjA0IE9LDQoNCg==""#;
    let timed = format!(
        r#"{{"id":"x","chunks":[{{{request},"t_ms":10}},{{{response},"t_ms":12.5}}],"client":"[2001:db8::1]:9","server":"192.0.2.1:80","note":[1]}}"#
    );
    let bare = format!(r#"{{"chunks":[{{{request}}},{{{response}}}],"client":"192.0.2.1:9"}}"#);
    let (result, calls, _) = run(format!("{timed}\n\n{bare}").as_bytes());
    assert_eq!(
        result,
        Ok(Replayed {
            connections: 2,
            chunks: 4
        })
    );
    assert_eq!(calls[0].duration_ns, Some(2_500_000));
    assert_eq!(calls[0].time_unix_ns, 10_000_000);
    assert_eq!(calls[0].client, "[2001:db8::1]:9".parse().ok());
    assert_eq!(calls[0].server, "192.0.2.1:80".parse().ok());
    assert_eq!(
        (calls[1].duration_ns, calls[1].client, calls[1].server),
        (None, None, None)
    );
    assert_eq!(calls[1].conn_label, None);
}

#[test]
fn errors_name_file_line_and_fault_and_quote_nothing() {
    for (line, fault) in [
        (
            r#"{"chunks":"#,
            "is not JSON (column 10); a transcript has one object a line",
        ),
        (r#"["hunter2"]"#, "is not a connection (column"),
        (
            r#"{"id":"x","chunks":"hunter2"}"#,
            "is not a connection (column",
        ),
        (
            r#"{"chunks":[{"d":"hunter2","b":""}]}"#,
            "chunk 1: \"d\" must be",
        ),
        (
            r#"{"chunks":[{"d":"c","gap":1},{"d":"c","b":"hunter2!"}]}"#,
            "chunk 2: \"b\" is not base64",
        ),
        (r#"{"chunks":[{"d":"c"}]}"#, "chunk 1: wanted one of"),
        (
            r#"{"chunks":[{"d":"c","b":"","gap":1}]}"#,
            "chunk 1: wanted one of",
        ),
        (r#"{"chunks":[{"d":"c","gap":-1}]}"#, "is not a connection"),
        (
            r#"{"chunks":[{"d":"c","gap":1,"t_ms":-5}]}"#,
            "chunk 1: \"t_ms\" is out of range",
        ),
        (
            r#"{"chunks":[],"client":"hunter2"}"#,
            "\"client\" is not an address",
        ),
    ] {
        let text = format!("{{\"chunks\":[]}}\n{line}\n");
        let (result, _, pipeline) = run(text.as_bytes());
        let error = result.unwrap_err();
        assert!(error.starts_with("some.jsonl: line 2: "), "{error}");
        assert!(error.contains(fault), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert_eq!(pipeline.connections(), 0, "{line}");
    }
    let (result, _, _) = run(b"\xff\xfe\n");
    assert_eq!(
        result,
        Err("some.jsonl: line 1: is not UTF-8 text".to_owned())
    );
}

#[test]
fn a_line_without_end_is_refused_in_bounded_memory() {
    let endless = std::io::Read::take(std::io::repeat(b' '), 1 << 40);
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut reader = std::io::BufReader::new(endless);
    let result = replay(
        &mut reader,
        Path::new("endless"),
        &mut pipeline,
        &mut |_| {},
    );
    let error = result.unwrap_err().to_string();
    assert!(
        error.starts_with("endless: line 1: longer than 64 MiB"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let error = replay_file(Path::new("/nowhere/x.jsonl"), &mut pipeline, &mut |_| {}).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nowhere/x.jsonl: cannot open: "),
        "{error}"
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn any_text_is_read_or_refused(
        text in proptest::prop_oneof![
            "[\\PC\n]{0,80}",
            "(\\{\"chunks\":\\[(\\{\"d\":\"[csx]\",\"(b|gap|t_ms)\":(\"[A-Za-z0-9+/=]{0,9}\"|[0-9.e]{1,9})\\},?){0,4}\\]\\}\n){0,4}",
        ]
    ) {
        let (_, _, pipeline) = run(text.as_bytes());
        proptest::prop_assert_eq!(pipeline.buffered_bytes(), 0);
    }
}
