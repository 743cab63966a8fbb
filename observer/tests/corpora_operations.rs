//! Messages of SOAP, JSON-RPC and GraphQL from other projects, sent as requests over HTTP/1: the
//! operation has to be named as they say. The folder is named by `OBSERVER_CORPORA`; without it
//! the tests are skipped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use observer::call::ApiCall;
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::stream::{Bytes, ConnId, Direction, Input};
use serde_json::Value;

fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVER_CORPORA")
        .map(PathBuf::from)?
        .join("operations");
    if !folder.is_dir() {
        println!("skipped: OBSERVER_CORPORA does not name a folder with operations/");
        return None;
    }
    Some(folder)
}

fn records(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file))
        .lines()
        .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
        .collect()
}

/// The call that a request and its answer make.
fn call(method: &str, target: &str, kind: &str, body: &str, answer: &str) -> ApiCall {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut calls = Vec::new();
    for (direction, text) in [(Direction::Inbound, request), (Direction::Outbound, answer)] {
        let bytes = text.as_bytes();
        let piece = Bytes {
            conn: ConnId(1),
            time_ns: 1,
            direction,
            offset: 0,
            len: bytes.len() as u64,
            bytes,
            skips: None,
        };
        pipeline.push(Input::Bytes(piece), &mut |output| {
            if let Output::Call(call) = output {
                calls.push(call);
            }
        });
    }
    calls
        .pop()
        .unwrap_or_else(|| panic!("no call of {method} {target}"))
}

/// Counts what agrees, and names what does not.
#[derive(Default)]
struct Table {
    agreed: u32,
    disagreed: u32,
    skipped: u32,
}

impl Table {
    fn compare(&mut self, name: &str, id: &Value, wanted: &str, call: &ApiCall) {
        let own = call.operation.as_deref().unwrap_or_default();
        if own == wanted {
            self.agreed += 1;
        } else {
            self.disagreed += 1;
            println!("{name}: {id}: wanted {wanted:?}, said {own:?}");
        }
    }

    fn skip(&mut self, name: &str, id: &Value, reason: &str) {
        self.skipped += 1;
        println!("{name}: {id}: skipped: {reason}");
    }

    fn end(self, name: &str) {
        let Self {
            agreed,
            disagreed,
            skipped,
        } = self;
        println!(
            "table: operations/{name}: {agreed} agreed, {disagreed} disagreed, {skipped} skipped"
        );
        assert_eq!(disagreed, 0, "{name}");
        assert!(agreed > 0, "{name}");
    }
}

#[test]
fn soap_operations_are_named() {
    let Some(folder) = corpora() else { return };
    let mut table = Table::default();
    for record in records(&folder.join("soap.jsonl.gz")) {
        let id = &record["id"];
        if record["encrypted"] == true {
            table.skip("soap", id, "the body is encrypted");
            continue;
        }
        let xml = record["xml"].as_str().expect("xml");
        let kind = match record["soap"].as_str() {
            Some("1.2") => "application/soap+xml",
            _ => "text/xml; charset=utf-8",
        };
        let call = call("POST", "/service", kind, xml, xml);
        // Of an empty body the action that the envelope is addressed to, if it has one.
        let tail = |action: &str| action.rsplit(['/', '#', ':']).next().map(str::to_owned);
        let action = record["wsa_action"].as_str().and_then(tail);
        let wanted = record["op"].as_str().map(str::to_owned).or(action);
        table.compare("soap", id, &wanted.unwrap_or_default(), &call);
        let fault = record["fault"] == true;
        assert_eq!(call.body_error.is_some(), fault, "{id}");
        if let Some(user) = record["wsse_user"].as_str() {
            assert_eq!(call.login.as_deref(), Some(user), "{id}");
        }
    }
    table.end("soap");
}

#[test]
fn json_rpc_methods_and_errors_are_named() {
    let Some(folder) = corpora() else { return };
    let mut table = Table::default();
    for record in records(&folder.join("jsonrpc.jsonl.gz")) {
        let id = &record["id"];
        let request = record["request"].as_str().expect("request");
        let answer = record["response"].as_str().unwrap_or("{}");
        let call = call("POST", "/", "application/json", request, answer);
        let many = record["methods"].as_array();
        let names = many.map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>());
        if many.is_none() && record["method"].is_null() {
            table.skip("jsonrpc", id, "no request");
            continue;
        }
        let wanted = match names {
            Some(names) => names.join(", "),
            None => record["method"].as_str().unwrap_or_default().to_owned(),
        };
        table.compare("jsonrpc", id, &wanted, &call);
        if let (Some(code), false) = (record["error_code"].as_i64(), record["response"].is_null()) {
            let told = call.body_error.as_ref().map(|error| error.code.to_string());
            assert_eq!(told, Some(code.to_string()), "{id}");
        }
    }
    table.end("jsonrpc");
}

#[test]
fn graphql_operations_are_named() {
    let Some(folder) = corpora() else { return };
    let mut table = Table::default();
    for record in records(&folder.join("graphql.jsonl.gz")) {
        let id = &record["id"];
        let query = record["query"].as_str().expect("query");
        let http = &record["http"];
        let text = |key: &str| http[key].as_str().unwrap_or_default();
        let call = if http.is_null() {
            let body = serde_json::json!({ "query": query }).to_string();
            call("POST", "/graphql", "application/json", &body, "{}")
        } else {
            call(
                text("method"),
                text("target"),
                text("content_type"),
                text("body"),
                "{}",
            )
        };
        let operations = record["operations"].as_array().expect("operations");
        let names: Vec<_> = operations
            .iter()
            .map(|operation| {
                let kind = operation["type"].as_str().unwrap_or_default();
                let name = operation["name"].as_str().unwrap_or_default();
                format!("{kind} {name}").trim_end().to_owned()
            })
            .collect();
        if record["visible"] == false {
            let hash = call.operation.as_deref().unwrap_or_default();
            assert!(hash.starts_with("persisted "), "{id}: {hash}");
            table.skip("graphql", id, "named by a hash alone");
            continue;
        }
        let batch = record["form"] == "batch";
        if names.len() > 1 && !batch {
            // A document of several: the one asked for is named, else the first.
            let own = call.operation.clone().unwrap_or_default();
            table.compare(
                "graphql",
                id,
                if names.contains(&own) {
                    &own
                } else {
                    &names[0]
                },
                &call,
            );
            continue;
        }
        table.compare("graphql", id, &names.join(", "), &call);
        if batch {
            assert_eq!(call.operations, u32::try_from(names.len()).ok(), "{id}");
        }
    }
    table.end("graphql");
}
