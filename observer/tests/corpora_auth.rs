//! Who calls, read from credentials that other projects and standards have as examples. The folder
//! is named by `OBSERVER_CORPORA`; without it the test is skipped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use observer::call::{ApiCall, IdentityKind};
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::stream::{Bytes, ConnId, Direction, Input};
use serde_json::Value;

fn rows(name: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("OBSERVER_CORPORA").map(PathBuf::from)?;
    let path = folder.join("auth").join(name);
    let file = File::open(&path).ok()?;
    let reader: Box<dyn BufRead> = if name.ends_with(".gz") {
        Box::new(BufReader::new(GzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    let row = |line: std::io::Result<String>| serde_json::from_str(&line.expect("text"));
    Some(
        reader
            .lines()
            .map(|line| row(line).expect("JSON"))
            .collect(),
    )
}

/// The call of a request that is answered with this.
fn answered(request: &[u8], response: &str) -> Option<ApiCall> {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut call = None;
    for (direction, data) in [
        (Direction::Inbound, request),
        (Direction::Outbound, response.as_bytes()),
    ] {
        let input = Input::Bytes(Bytes {
            conn: ConnId(1),
            time_ns: 1,
            direction,
            offset: 0,
            len: data.len() as u64,
            bytes: data,
            skips: None,
        });
        pipeline.push(input, &mut |output| {
            if let Output::Call(done) = output {
                call = Some(done);
            }
        });
    }
    pipeline.finish(2, &mut |output| {
        if let Output::Call(done) = output {
            call = Some(done);
        }
    });
    call
}

fn call_of(request: &str) -> ApiCall {
    answered(request.as_bytes(), "HTTP/1.1 204 No Content\r\n\r\n").expect("a call")
}

fn with_field(name: &str, value: &str) -> ApiCall {
    call_of(&format!(
        "GET /v1/items HTTP/1.1\r\nHost: api.example\r\n{name}: {value}\r\n\r\n"
    ))
}

/// The text of all that is told of a call.
fn told(call: &ApiCall) -> String {
    format!("{call:?}")
}

fn share(what: &str, right: usize, of: usize) -> f64 {
    let share = right as f64 / of as f64;
    println!("{what:34} {right:4} of {of:4}  {:5.1} %", share * 100.0);
    share
}

fn skipped() -> bool {
    let skipped = rows("sigv4.jsonl.gz").is_none();
    if skipped {
        println!("skipped: OBSERVER_CORPORA does not name a folder with auth/");
    }
    skipped
}

/// As captured: lines end with CRLF, without the body.
fn head(text: &str) -> String {
    let head = text.split("\n\n").next().unwrap_or(text).trim_end();
    format!("{}\r\n\r\n", head.replace('\n', "\r\n"))
}

#[test]
fn access_key_ids_of_signed_requests_are_read() {
    if skipped() {
        return;
    }
    let (mut right, mut of) = (0, 0);
    for row in rows("sigv4.jsonl.gz").expect("rows") {
        let id = row["expect"]["access_key_id"].as_str().expect("id");
        for form in ["header_signed", "query_signed"] {
            let request = head(row[form].as_str().expect("request"));
            // A target with blanks is no HTTP; that it is signed all the same is not the point.
            let Some(call) = answered(request.as_bytes(), "HTTP/1.1 204 No Content\r\n\r\n") else {
                continue;
            };
            of += 1;
            let found = call
                .identity
                .as_ref()
                .is_some_and(|name| name.kind == IdentityKind::AccessKey && &*name.id == id);
            if found && call.auth.scheme.as_str() == "sigv4" {
                right += 1;
            } else {
                println!("{} {form}: {:?}", row["id"], call.identity);
            }
        }
    }
    assert!(of >= 70, "{of}");
    assert!(share("SigV4, SigV4A access key ids", right, of) == 1.0);
}

#[test]
fn principals_of_json_web_tokens_are_read() {
    if skipped() {
        return;
    }
    let (mut right, mut of) = (0, 0);
    for row in rows("jwt-shapes.jsonl.gz").expect("rows") {
        let token = row["token"].as_str().expect("token");
        let principal = match &row["principal"] {
            Value::String(text) => text.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        let call = with_field("Authorization", &format!("Bearer {token}"));
        of += 1;
        let name = call.identity.as_ref().expect("a name");
        let claims = name.claims.as_deref().expect("claims");
        let same =
            |own: &Option<Box<str>>, claim: &str| own.as_deref() == row["claims"][claim].as_str();
        let seconds = |claim: &str| row["claims"][claim].as_i64();
        if *name.id == *principal
            && same(&claims.issuer, "iss")
            // As written in the token, which may be `NONE`.
            && claims.algorithm.as_deref().map(str::to_ascii_lowercase)
                == row["alg"].as_str().map(str::to_ascii_lowercase)
            && claims.expires_s == seconds("exp")
            && claims.issued_s == seconds("iat")
        {
            right += 1;
        } else {
            println!("{}: {principal} {name:?}", row["id"]);
        }
        assert!(!told(&call).contains(token));
    }
    assert!(share("JWT principals and claims", right, of) == 1.0);
    // Forged and broken ones: nothing of them is told but a fingerprint, nothing breaks.
    for row in rows("jose.jsonl.gz").expect("rows") {
        let Some(token) = row["jws"].as_str().or(row["compact"].as_str()) else {
            continue;
        };
        let call = with_field("Authorization", &format!("Bearer {token}"));
        assert!(!told(&call).contains(token) || token.len() < 8, "{token}");
    }
}

#[test]
fn credential_headers_of_a_client_are_read() {
    if skipped() {
        return;
    }
    let (mut right, mut of) = (0, 0);
    for row in rows("headers-curl.jsonl.gz").expect("rows") {
        let (name, value) = (
            row["name"].as_str().expect("name"),
            row["value"].as_str().expect("value"),
        );
        if !name.to_ascii_lowercase().ends_with("authorization") {
            continue;
        }
        let scheme = row["expect"]["scheme"].as_str().unwrap_or_default();
        let call = with_field(name, value);
        of += 1;
        let own = call.auth.scheme.as_str();
        let scheme_is = match scheme.to_ascii_lowercase().as_str() {
            _ if name.eq_ignore_ascii_case("proxy-authorization") => own == "proxy",
            "aws4-hmac-sha256" => own == "sigv4",
            "ntlm" | "negotiate" => own == "negotiate",
            other if other.ends_with("-hmac-sha256") => own == "signature",
            other => own == other,
        };
        let user = row["expect"]["user"]
            .as_str()
            .filter(|user| !user.is_empty());
        let user_is = user.is_none_or(|user| call.identities.iter().any(|name| *name.id == *user));
        if scheme_is && user_is {
            right += 1;
        } else {
            println!(
                "{} {scheme} {user:?}: {own} {:?}",
                row["id"], call.identities
            );
        }
    }
    assert!(share("credential headers of curl", right, of) == 1.0);
}

#[test]
fn described_locations_of_credentials_are_known() {
    if skipped() {
        return;
    }
    const VALUE: &str = "a8F5f167F44f4964e6C998dee827110c";
    let (mut right, mut of) = (0, 0);
    let mut missed = Vec::new();
    for row in rows("credential-locations.jsonl").expect("rows") {
        let (Some(place), Some(name)) = (row["in"].as_str(), row["name"].as_str()) else {
            continue;
        };
        // What is no name of a field, and a cookie jar as a whole.
        let field = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !field || name.eq_ignore_ascii_case("cookie") {
            continue;
        }
        let providers = row["providers"].as_u64().unwrap_or(1) as usize;
        let call = match place {
            "header" => with_field(name, VALUE),
            "query" => call_of(&format!("GET /?{name}={VALUE} HTTP/1.1\r\nHost: a\r\n\r\n")),
            _ => with_field("Cookie", &format!("{name}={VALUE}")),
        };
        of += providers;
        if call.identities.is_empty() {
            missed.push(name.to_owned());
        } else {
            right += providers;
        }
        assert!(!told(&call).contains(VALUE), "{name}");
    }
    println!("not taken for a credential: {}", missed.join(", "));
    assert!(share("described locations, by provider", right, of) >= 0.9);
}

/// Formats that are told by the text itself; the others are any text after the name of a vendor.
#[test]
fn secrets_in_known_formats_are_never_told() {
    if skipped() {
        return;
    }
    let (mut kept, mut of, mut named, mut carried) = (0, 0, 0, 0);
    let (mut paths, mut shown) = (0, Vec::new());
    let mut seen = Vec::new();
    for row in rows("key-formats.jsonl.gz").expect("rows") {
        let samples = row["generated"].as_array().expect("samples").iter();
        for sample in samples.filter_map(Value::as_str) {
            let visible = sample.bytes().all(|byte| byte.is_ascii_graphic());
            if !visible || sample.len() < 12 {
                continue;
            }
            for field in ["Authorization", "X-Api-Key"] {
                let call = with_field(field, &format!("Bearer {sample}"));
                assert!(!told(&call).contains(sample), "{field}: {sample}");
                carried += 1;
                named += usize::from(!call.identities.is_empty());
            }
            let basic = STANDARD.encode(format!("{sample}:"));
            let call = with_field("Authorization", &format!("Basic {basic}"));
            let query = call_of(&format!(
                "GET /a?api_key={sample} HTTP/1.1\r\nHost: a\r\n\r\n"
            ));
            assert!(!told(&query).contains(sample), "{sample}");
            if !sample.contains(['/', '?', '#', '%']) {
                let announced = call_of(&format!(
                    "GET /v1/token/{sample} HTTP/1.1\r\nHost: a\r\n\r\n"
                ));
                assert!(!told(&announced).contains(sample), "{sample}");
                let path = call_of(&format!("GET /v1/{sample} HTTP/1.1\r\nHost: a\r\n\r\n"));
                paths += 1;
                if told(&path).contains(sample) {
                    shown.push(sample.to_owned());
                }
            }
            of += 1;
            if told(&call).contains(sample) {
                kept += 1;
                seen.push(sample.to_owned());
            }
        }
    }
    println!("as users of Basic, told: {}", seen.join(" "));
    println!("in paths, told: {}", shown.join(" "));
    // The others are written as ids of anything are: UUIDs, ObjectIds, numbers, 16 letters.
    assert!(share("keys in paths, not told", paths - shown.len(), paths) >= 0.92);
    share("keys with a fingerprint", named, carried);
    assert!(share("keys as users of Basic, not told", of - kept, of) >= 0.98);
}
