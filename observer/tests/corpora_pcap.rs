//! Replays captures of other projects and compares the calls with what those projects, and a
//! dissector, found in them. The folder is named by `OBSERVER_CORPORA`; without it the test is
//! skipped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use observer::call::ApiCall;
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::replay::replay_file;
use serde_json::Value;

fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVER_CORPORA")
        .map(PathBuf::from)?
        .join("pcap");
    folder.is_dir().then_some(folder)
}

fn calls(path: &Path) -> Result<Vec<ApiCall>, String> {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut calls = Vec::new();
    let mut out = |output| {
        if let Output::Call(call) = output {
            calls.push(call);
        }
    };
    let result = replay_file(path, &mut pipeline, &mut out);
    assert_eq!(pipeline.buffered_bytes(), 0, "{}", path.display());
    result.map(|_| calls).map_err(|error| error.to_string())
}

/// One thing that another tool saw: what it did not say is not compared.
#[derive(Debug, Default)]
struct Expected {
    method: Option<String>,
    path: Option<String>,
    host: Option<String>,
    status: Option<u64>,
}

impl Expected {
    fn fits(&self, call: &ApiCall) -> bool {
        let same = |wanted: &Option<String>, own: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| decoded(wanted) == decoded(own))
        };
        let host = call.host.as_deref().unwrap_or_default();
        let without_port = |host: &str| host.split(':').next().unwrap_or_default().to_lowercase();
        same(&self.method, &call.method)
            && same(&self.path, &call.path)
            && self
                .host
                .as_ref()
                .is_none_or(|wanted| without_port(wanted) == without_port(host))
            && self
                .status
                .is_none_or(|status| call.status.map(u64::from) == Some(status))
    }
}

/// Percent escapes replaced: some tools write them so. What is no text is left alone.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    // Bytes that are no text are written as escapes by one tool and as marks by the other.
    String::from_utf8_lossy(&out).into_owned().into_bytes()
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty() && *text != "(empty)")
        .map(str::to_owned)
}

/// The path of a target.
fn path(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => target.to_owned(),
    }
}

/// The log of one run: others of the same file log the same.
fn zeek(runs: &Value) -> Vec<Expected> {
    let runs = runs.as_array().into_iter().flatten();
    let rows = runs
        .filter_map(|run| run["http"].as_array())
        .max_by_key(|rows| rows.len());
    let rows = rows.into_iter().flatten();
    rows.filter(|row| text(&row["method"]).is_some() && text(&row["uri"]).is_some())
        .map(|row| {
            let status = row["status_code"].as_str();
            Expected {
                method: text(&row["method"]),
                path: text(&row["uri"]).map(|uri| path(&uri.replace("\\x", "%"))),
                host: text(&row["host"]),
                status: status
                    .and_then(|code| code.parse().ok())
                    .filter(|code| *code >= 101),
            }
        })
        .collect()
}

fn suricata(tests: &Value) -> Vec<Expected> {
    let tests = tests.as_array().into_iter().flatten();
    let checks = tests.flat_map(|test| test["checks"].as_array().into_iter().flatten());
    let told = checks.filter(|check| check["count"].as_u64() > Some(0));
    told.filter_map(|check| {
        let told = &check["match"];
        let get = |key: &str| {
            let nested = &told["http"][key];
            let flat = &told[format!("http.{key}").as_str()];
            if nested.is_null() {
                flat.clone()
            } else {
                nested.clone()
            }
        };
        // HTTP/2 is logged in its form, with a line for each frame of a connection.
        let frame = told.get("http.http2.stream_id").is_some();
        let expected = Expected {
            method: text(&get("http_method")),
            path: text(&get("url")).map(|url| path(&url)),
            host: text(&get("hostname")),
            status: get("status").as_u64(),
        };
        let said =
            expected.method.is_some() || expected.path.is_some() || expected.status.is_some();
        let same = told["event_type"] == "http" && said && !frame;
        same.then_some(expected)
    })
    .collect()
}

fn arkime(sessions: &Value) -> Vec<Expected> {
    let mut all = Vec::new();
    for session in sessions.as_array().into_iter().flatten() {
        let http = &session["http"];
        let texts = |key: &str| -> Vec<String> {
            let values = http[key].as_array().into_iter().flatten();
            values.filter_map(text).collect()
        };
        // Sets, not pairs.
        for method in texts("method") {
            all.push(Expected {
                method: Some(method),
                ..Expected::default()
            });
        }
        for uri in texts("path") {
            all.push(Expected {
                path: Some(path(&uri)),
                ..Expected::default()
            });
        }
        for status in http["statuscode"].as_array().into_iter().flatten() {
            let status = status
                .as_u64()
                .filter(|status| *status == 101 || *status >= 200);
            all.extend(status.map(|status| Expected {
                status: Some(status),
                ..Expected::default()
            }));
        }
    }
    all
}

fn deepflow(lines: &Value) -> Vec<Expected> {
    let lines = lines
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let requests = lines.filter(|line| {
        line.starts_with("HttpInfo")
            && line.contains("msg_type: Request")
            && line.ends_with("is_http: true")
    });
    requests
        .map(|line| {
            let quoted = |key: &str| {
                let at = line.find(key)? + key.len();
                let rest = &line[at..];
                Some(rest[..rest.find('"')?].to_owned()).filter(|text| !text.is_empty())
            };
            Expected {
                path: quoted(" path: \"").map(|target| path(&target)),
                host: quoted(" host: \""),
                ..Expected::default()
            }
        })
        .collect()
}

fn dissector(lines: &Value) -> Vec<Expected> {
    let lines = lines.as_array().into_iter().flatten();
    let requests = lines.filter(|line| line["proto"] == "http1");
    requests
        .filter(|line| text(&line["method"]).is_some() && text(&line["uri"]).is_some())
        .map(|line| Expected {
            method: text(&line["method"]),
            path: text(&line["uri"]).map(|uri| path(&uri)),
            ..Expected::default()
        })
        .collect()
}

/// Why another tool's finding is no call, or cannot be known from the file.
fn reason(id: &str, tool: &str, expected: &Expected, calls: &[ApiCall]) -> Option<&'static str> {
    let http2 = calls.iter().any(|call| call.protocol.as_str() == "h2");
    if expected.method.as_deref() == Some("PRI") {
        Some("the preface of HTTP/2 is no request")
    } else if tool == "arkime" && http2 && expected.method.is_none() {
        Some("what a server pushes was not asked for")
    } else if expected.path.is_none() && expected.method.is_none() && calls.is_empty() {
        Some("answers alone: no request was captured")
    } else if id.ends_with("socks5-reverse.pcap") {
        Some("begins with another protocol, so it is not searched for HTTP")
    } else {
        None
    }
}

/// Why what another tool saw in a file is told otherwise here, as was found out packet by packet.
const REASONS: [(&str, &str); 4] = [
    (
        "deepflow/http/client-ip.pcap",
        "308 bytes of the request's head are not in the capture: no call is made of half a head",
    ),
    (
        "suricata/bug-4702-01/input.pcap",
        "the request is five bytes without a line end, and the connection is reset: none was asked",
    ),
    (
        "suricata/http2-keywords2/input.pcap",
        "the request that switches to HTTP/2 is answered there: told with that status, not with 101",
    ),
    (
        "suricata/tcp-fastopen-07/tcp_fastopen_segmentation.pcap",
        "the path looks like a secret and is told as *",
    ),
];

fn why(id: &str) -> &'static str {
    let known = REASONS.iter().find(|(own, _)| *own == id);
    known.map_or("not explained", |(_, reason)| reason)
}

/// Reads what a tool found in one file.
type Read = fn(&Value) -> Vec<Expected>;

#[test]
fn calls_agree_with_what_other_tools_saw() {
    let Some(folder) = corpora() else {
        println!("skipped: OBSERVER_CORPORA does not name a folder with pcap/");
        return;
    };
    let file = File::open(folder.join("expect.jsonl.gz")).expect("expect.jsonl.gz");
    let tools: [(&str, Read); 5] = [
        ("zeek", zeek),
        ("suricata", suricata),
        ("arkime", arkime),
        ("deepflow", deepflow),
        ("tshark", dissector),
    ];
    let (mut wanted, mut found, mut skipped) = ([0u32; 5], [0u32; 5], [0u32; 5]);
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let record: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        let id = record["id"].as_str().expect("id");
        let calls = calls(&folder.join("raw").join(format!("{id}.gz")));
        if let Err(error) = &calls {
            println!("{id}: {error}");
        }
        for (index, (tool, read)) in tools.iter().enumerate() {
            let mut left: Vec<_> = calls.as_deref().unwrap_or_default().iter().collect();
            let pairs = *tool == "zeek" || *tool == "tshark" || *tool == "deepflow";
            for expected in read(&record[*tool]) {
                let at = left.iter().position(|call| expected.fits(call));
                if let Some(at) = at {
                    wanted[index] += 1;
                    found[index] += 1;
                    if pairs {
                        left.remove(at);
                    }
                    continue;
                }
                let calls = calls.as_deref().unwrap_or_default();
                if let Some(reason) = reason(id, tool, &expected, calls) {
                    skipped[index] += 1;
                    println!("{tool}: {id}: skipped {expected:?}: {reason}");
                    continue;
                }
                wanted[index] += 1;
                let left: Vec<_> = left
                    .iter()
                    .map(|call| format!("{} {} {:?}", call.method, call.path, call.status))
                    .collect();
                println!(
                    "{tool}: {id}: wanted {expected:?}, left {left:?}: {}",
                    why(id)
                );
            }
        }
    }
    for (index, (tool, _)) in tools.iter().enumerate() {
        let (wanted, found, skipped) = (wanted[index], found[index], skipped[index]);
        let disagreed = wanted - found;
        println!("table: pcap/{tool}: {found} agreed, {disagreed} disagreed, {skipped} skipped");
    }
    let (wanted, found): (u32, u32) = (wanted.iter().sum(), found.iter().sum());
    let agreement = f64::from(found) / f64::from(wanted);
    println!("all: {found} of {wanted} agree ({agreement:.4})");
    assert!(agreement >= 0.97, "{agreement}");
}
