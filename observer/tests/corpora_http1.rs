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

/// What curl's test server writes into its record where a connection ended.
const CURL_MARK: &[u8] = b"[DISCONNECT]\n";

/// The record without those marks, which nobody sent.
fn without_marks(mut record: Value) -> String {
    for chunk in record["chunks"].as_array_mut().into_iter().flatten() {
        let bytes = chunk["b"]
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok());
        let Some(mut bytes) = bytes else { continue };
        while let Some(at) = memchr::memmem::find(&bytes, CURL_MARK) {
            bytes.drain(at..at + CURL_MARK.len());
        }
        chunk["b"] = STANDARD.encode(bytes).into();
    }
    record.to_string()
}

/// Why an answer that the other parser saw is told otherwise here, as was found out byte by byte.
const REASONS: [(&str, &str); 1] = [(
    "libhtp/79-connect-invalid-hostport.t",
    "the answer before is 9 bytes longer than it says: what follows is searched, not guessed",
)];

fn why(id: &str) -> &'static str {
    let known = REASONS.iter().find(|(own, _)| *own == id);
    known.map_or("not explained", |(_, reason)| reason)
}

/// What agreed and what did not, of one project's connections.
#[derive(Default)]
struct Agreement {
    /// Method and target.
    asked: [u32; 2],
    /// The status that the call was answered with, where the other parser is sure of it.
    answered: [u32; 2],
    /// Connections that the other parser gave up.
    skipped: u32,
}

fn agreement(name: &str, lines: &[String]) -> Agreement {
    let mut agreement = Agreement::default();
    for text in lines {
        let record: Value = serde_json::from_str(text).expect("JSON");
        let read = if name == "curl" {
            without_marks(record.clone())
        } else {
            text.clone()
        };
        let mut calls: Vec<_> = calls(&read)
            .into_iter()
            .map(|call| (call.method, call.path, call.status.map(u64::from)))
            .collect();
        if !record["libhtp"]["stream_error"].is_null() {
            agreement.skipped += 1;
            continue;
        }
        let transactions = record["libhtp"]["tx"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let sent = sent(&record);
        let last = transactions.len().saturating_sub(1);
        let ended = transactions
            .iter()
            .enumerate()
            .filter(|(index, transaction)| *index < last || head_ends(&sent, transaction));
        for expected in ended.filter_map(|(_, transaction)| sure(transaction)) {
            let same = |call: &&(_, _, _)| (&call.0, &call.1) == (&expected.0, &expected.1);
            let exact = calls.iter().position(|call| *call == expected);
            let at = exact.or_else(|| calls.iter().position(|call| same(&call)));
            let found = at.map(|at| calls.remove(at));
            agreement.asked[usize::from(found.is_none())] += 1;
            agreement.answered[usize::from(exact.is_none())] += 1;
            if exact.is_none() {
                let id = record["id"].as_str().unwrap_or_default();
                println!(
                    "{name}: {id} wanted {expected:?}, not {found:?}: {}",
                    why(id)
                );
            }
        }
    }
    agreement
}

#[test]
fn calls_agree_with_another_parser() {
    let Some(folder) = corpora() else {
        println!("skipped: OBSERVER_CORPORA does not name a folder with http1/");
        return;
    };
    for (name, least) in [("libhtp", 30), ("curl", 500), ("llhttp", 10)] {
        let Agreement {
            asked,
            answered,
            skipped,
        } = agreement(name, &lines(&folder.join(format!("{name}.jsonl.gz"))));
        for (what, [agreed, disagreed]) in [("method and target", asked), ("status", answered)] {
            println!(
                "table: http1/{name}, {what}: {agreed} agreed, {disagreed} disagreed, {skipped} skipped"
            );
        }
        assert!(asked[0] >= least, "{name}: only {} were compared", asked[0]);
        assert_eq!(asked[1], 0, "{name}: a call was not seen");
        assert!(answered[1] * 25 <= answered[0], "{name}: {answered:?}");
    }
}
