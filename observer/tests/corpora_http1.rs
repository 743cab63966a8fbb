//! Feeds recorded HTTP/1 connections of other projects through the pipeline and compares the
//! calls with what another parser, libhtp, made of the same bytes. The folder is named by
//! `OBSERVER_CORPORA`; without it the tests are skipped.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use observer::call::ApiCall;
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::replay::replay;
use serde_json::Value;

fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVER_CORPORA")
        .map(PathBuf::from)?
        .join("http1");
    folder.is_dir().then_some(folder)
}

fn lines(path: &Path) -> Vec<String> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file))
        .lines()
        .map(|line| line.expect("text"))
        .collect()
}

fn calls(text: &str) -> Vec<ApiCall> {
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

/// All that a client sent.
fn sent(record: &Value) -> Vec<u8> {
    let chunks = record["chunks"].as_array().cloned().unwrap_or_default();
    let texts = chunks.iter().filter(|chunk| chunk["d"] == "c");
    let bytes = texts.filter_map(|chunk| STANDARD.decode(chunk["b"].as_str()?).ok());
    bytes.collect::<Vec<_>>().concat()
}

/// The last head of this method has its empty line. libhtp takes a head as complete where the
/// bytes end; a call whose head never ended is none.
fn head_ends(sent: &[u8], transaction: &Value) -> bool {
    let line = format!("{} ", transaction["method"].as_str().unwrap_or_default());
    let start = memchr::memmem::rfind(sent, line.as_bytes()).unwrap_or(0);
    let head = &sent[start..];
    ["\n\n", "\n\r\n"]
        .iter()
        .any(|end| memchr::memmem::find(head, end.as_bytes()).is_some())
}

/// Method, path and status of what libhtp is sure of: a complete request, no oddity flagged, and
/// a request line that it understood.
fn sure(transaction: &Value) -> Option<(String, String, Option<u64>)> {
    let complete = |key| transaction[key] == "complete";
    let version = |key: &str| {
        transaction[key]
            .as_str()
            .is_some_and(|text| matches!(text, "HTTP/1.0" | "HTTP/1.1"))
    };
    if !complete("req_progress") || !version("protocol") {
        return None;
    }
    let odd = transaction["flags"]
        .as_array()?
        .iter()
        .any(|flag| flag != "host_missing");
    if odd {
        return None;
    }
    let status = transaction["status"]
        .as_u64()
        .filter(|_| version("resp_protocol"));
    let target = transaction["uri"].as_str()?;
    let path = target.split(['?', '#']).next()?;
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => path,
    };
    let path = path[..path.floor_char_boundary(4096)].to_owned();
    Some((transaction["method"].as_str()?.to_owned(), path, status))
}

/// Why a call that the other parser saw is told otherwise here, as was found out byte by byte.
const REASONS: [(&str, &str); 3] = [
    (
        "libhtp/79-connect-invalid-hostport.t",
        "the answer is 9 bytes longer than it says: what follows is searched, not guessed",
    ),
    (
        "curl/test3223",
        "the recording has a mark of the test server between the two requests",
    ),
    (
        "curl/test3228",
        "the head is longer than 256 KiB, which no server takes",
    ),
];

fn why(id: &str) -> &'static str {
    let known = REASONS.iter().find(|(own, _)| *own == id);
    known.map_or("not explained", |(_, reason)| reason)
}

#[test]
fn calls_agree_with_another_parser() {
    let Some(folder) = corpora() else {
        println!("skipped: OBSERVER_CORPORA does not name a folder with http1/");
        return;
    };
    let (mut wanted, mut found) = (0, 0);
    for (name, floor) in [("libhtp", 0.96), ("curl", 0.995), ("llhttp", 0.93)] {
        let (mut own_wanted, mut own_found) = (0, 0);
        for text in lines(&folder.join(format!("{name}.jsonl.gz"))) {
            let record: Value = serde_json::from_str(&text).expect("JSON");
            let mut calls: Vec<_> = calls(&text)
                .into_iter()
                .map(|call| (call.method, call.path, call.status.map(u64::from)))
                .collect();
            let transactions = record["libhtp"]["tx"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if !record["libhtp"]["stream_error"].is_null() {
                continue;
            }
            let sent = sent(&record);
            let last = transactions.len().saturating_sub(1);
            let ended = transactions
                .iter()
                .enumerate()
                .filter(|(index, transaction)| *index < last || head_ends(&sent, transaction));
            for expected in ended.filter_map(|(_, transaction)| sure(transaction)) {
                own_wanted += 1;
                match calls.iter().position(|call| *call == expected) {
                    Some(at) => {
                        calls.remove(at);
                        own_found += 1;
                    }
                    None => println!(
                        "{name}: {} wanted {expected:?}, left {calls:?}: {}",
                        record["id"],
                        why(record["id"].as_str().unwrap_or_default())
                    ),
                }
            }
        }
        let agreement = f64::from(own_found) / f64::from(own_wanted);
        let disagreed = own_wanted - own_found;
        println!("table: http1/{name}: {own_found} agreed, {disagreed} disagreed, 0 skipped");
        assert!(agreement >= floor, "{name}: {agreement}");
        wanted += own_wanted;
        found += own_found;
    }
    println!("all: {found} of {wanted} agree");
}
