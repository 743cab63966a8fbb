//! What one core does: header blocks, and calls of HTTP/2 and HTTP/1 from captured bytes to
//! [`observer::call::ApiCall`]. Prints the best of several rounds; takes a few seconds.
//!
//! `cargo bench -p observer --bench protocol`, with names (`callers`, `hpack`, `http1`, `http2`, `httparse`)
//! only those. With `OBSERVER_CORPORA` naming a folder that has
//! `hpack/nghttp2.jsonl.gz`, the blocks are those of that encoder, else the responses of RFC 7541
//! Appendix C.6.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::protocol::h2::hpack::{Decoder, Scratch};
use observer::stream::{Bytes, ConnId, Direction, Input};
use serde_json::Value;

const ROUNDS: usize = 7;
const CALLS: u32 = 100_000;

/// RFC 7541 C.6.1 to C.6.3.
const RESPONSES: [&str; 3] = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
];

/// The shortest time that `work` takes.
fn best(mut work: impl FnMut()) -> Duration {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..ROUNDS)
        .map(|_| time(&mut work))
        .min()
        .unwrap_or_default()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    pairs
        .iter()
        .map(|&[high, low]| digit(high) << 4 | digit(low))
        .collect()
}

/// Blocks of connections.
fn stories() -> Vec<Vec<Vec<u8>>> {
    let recorded = || {
        let file =
            PathBuf::from(std::env::var_os("OBSERVER_CORPORA")?).join("hpack/nghttp2.jsonl.gz");
        let file = flate2::read::GzDecoder::new(std::fs::File::open(file).ok()?);
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        let stories = lines.filter_map(|line| {
            let story: Value = serde_json::from_str(&line).ok()?;
            let cases = story["cases"].as_array()?.clone();
            Some(
                cases
                    .iter()
                    .filter_map(|case| Some(bytes(case["wire"].as_str()?)))
                    .collect(),
            )
        });
        Some(stories.collect())
    };
    recorded().unwrap_or_else(|| vec![RESPONSES.map(bytes).to_vec(); 1000])
}

fn hpack() {
    let stories = stories();
    let (mut wire, mut text) = (0, 0);
    let mut scratch = Scratch::default();
    let mut run = |count: bool| {
        for story in &stories {
            let mut decoder = Decoder::new(false);
            for block in story {
                let result = decoder.decode(block, &mut scratch, &mut |field| {
                    let field = black_box(field);
                    if count {
                        text += field.name.map_or(0, <[u8]>::len);
                        text += field.value.map_or(0, <[u8]>::len);
                    }
                });
                assert!(result.is_ok());
                wire += if count { block.len() } else { 0 };
            }
        }
    };
    run(true);
    let time = best(|| run(false)).as_secs_f64();
    let rate = |bytes: usize| bytes as f64 / time / 1e6;
    println!(
        "hpack: {:.0} MB/s of fields, {:.0} MB/s on the wire",
        rate(text),
        rate(wire)
    );
}

fn calls(name: &str, start: [&[u8]; 2], next: &dyn Fn(u32) -> [Vec<u8>; 2]) {
    let pieces: Vec<_> = (0..CALLS).map(next).collect();
    let mut seen = 0;
    let time = best(|| {
        seen = 0;
        let mut pipeline = Pipeline::new(PipelineSettings::default());
        let (mut offsets, mut time_ns) = ([0; 2], 0);
        let mut push = |index: usize, bytes: &[u8]| {
            let direction = [Direction::Inbound, Direction::Outbound][index];
            let offset = offsets[index];
            offsets[index] += bytes.len() as u64;
            time_ns += 1000;
            pipeline.push(
                Input::Bytes(Bytes {
                    conn: ConnId(1),
                    time_ns,
                    direction,
                    offset,
                    len: bytes.len() as u64,
                    bytes,
                    skips: None,
                }),
                &mut |output| seen += u32::from(matches!(black_box(output), Output::Call(_))),
            );
        };
        for (index, bytes) in start
            .into_iter()
            .enumerate()
            .filter(|(_, bytes)| !bytes.is_empty())
        {
            push(index, bytes);
        }
        for [request, response] in &pieces {
            push(0, request);
            push(1, response);
        }
    });
    assert_eq!(seen, CALLS, "{name}");
    let rate = f64::from(CALLS) / time.as_secs_f64() / 1000.0;
    println!("{name}: {rate:.0} thousand calls/s");
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

fn http2() {
    // As a client sends from its second request on: all but the path from the tables.
    let first = b"\x82\x86\x41\x0cshop.example\x04\x06/users\x40\x0auser-agent\x07bench/1";
    let later = b"\x82\x86\xbf\x04\x06/users\xbe";
    let answer = b"\x88\x0f\x0d\x0212\x0f\x10\x10application/json";
    calls(
        "http/2",
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b""],
        &|index| {
            let stream = index * 2 + 1;
            let head = if index == 0 { &first[..] } else { &later[..] };
            let body = frame(0, 1, stream, b"{\"name\":\"x\"}");
            [
                frame(1, 5, stream, head),
                [frame(1, 4, stream, answer), body].concat(),
            ]
        },
    );
}

fn http1() {
    calls("http/1.1", [b"", b""], &|_| {
        [
            b"GET /users HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: application/json\r\n\r\n\
              {\"name\":\"x\"}"
                .to_vec(),
        ]
    });
}

/// The heads of the same calls, read by httparse and nothing more.
fn httparse_alone() {
    let request = b"GET /users HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1\r\n\r\n";
    let response =
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: application/json\r\n\r\n";
    let time = best(|| {
        for _ in 0..CALLS {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut head = httparse::Request::new(&mut fields);
            assert!(head.parse(black_box(request)).is_ok());
            black_box(&head);
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut head = httparse::Response::new(&mut fields);
            assert!(head.parse(black_box(response)).is_ok());
            black_box(&head);
        }
    });
    let rate = f64::from(CALLS) / time.as_secs_f64() / 1000.0;
    println!("http/1.1, httparse alone: {rate:.0} thousand pairs of heads/s");
}

/// The same with a JSON Web Token: the same one each time, and another one each time.
fn callers() {
    let part = |text: &str| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
    let token = |user: u32| {
        let head = part(r#"{"alg":"RS256","kid":"9f7dc019fca7ec2","typ":"JWT"}"#);
        let payload = part(&format!(
            r#"{{"iss":"https://id.example/realms/shop","sub":"user|{user:08}","aud":["https://api.example","https://id.example/userinfo"],"azp":"web","scope":"openid profile read:orders","iat":1759998116,"exp":1760018477,"jti":"44307f9f-1ad9-4c18-a8c2-3763ef6249e9"}}"#
        ));
        format!("{head}.{payload}.{}", "A".repeat(342))
    };
    for (name, distinct) in [("http/1.1, one token", 1), ("http/1.1, new tokens", CALLS)] {
        calls(name, [b"", b""], &|at| {
            let token = token(at % distinct);
            [
                format!("GET /users HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes(),
                b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            ]
        });
    }
}

fn main() {
    // Cargo passes `--bench` itself.
    let only: Vec<String> = std::env::args().skip(1).collect();
    let only: Vec<&str> = only
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("--"))
        .collect();
    let benches: [(&str, fn()); 5] = [
        ("callers", callers),
        ("hpack", hpack),
        ("http2", http2),
        ("http1", http1),
        ("httparse", httparse_alone),
    ];
    for (name, bench) in benches {
        if only.is_empty() || only.contains(&name) {
            bench();
        }
    }
}
