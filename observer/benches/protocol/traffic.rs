//! What the parsers are given: header blocks, and the two sides of connections.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde_json::Value;

/// Calls of one connection.
pub const CALLS: u32 = 100_000;

/// What a client of HTTP/2 sends first (RFC 9113 §3.4), with its settings.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request of HTTP/1.1.
pub const REQUEST: &[u8] =
    b"GET /users HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1\r\n\r\n";

/// The head of the answer to it.
pub const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: application/json\r\n\r\n";

/// The body of the answers.
pub const BODY: &[u8] = b"{\"name\":\"x\"}";

/// The request and the answer of each call, as they are sent.
pub type Exchanges = Vec<[Vec<u8>; 2]>;

/// RFC 7541 C.6.1 to C.6.3.
const RESPONSES: [&str; 3] = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    pairs
        .iter()
        .map(|&[high, low]| digit(high) << 4 | digit(low))
        .collect()
}

/// Header blocks, those of a connection together: of the encoder of nghttp2 where the folder that
/// `OBSERVER_CORPORA` names has them, else of RFC 7541.
pub fn stories() -> Vec<Vec<Vec<u8>>> {
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

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// Calls over HTTP/2, as a client sends them from its second request on: all but the path from
/// the tables.
pub fn http2() -> Exchanges {
    let first = b"\x82\x86\x41\x0cshop.example\x04\x06/users\x40\x0auser-agent\x07bench/1";
    let later = b"\x82\x86\xbf\x04\x06/users\xbe";
    let answer = b"\x88\x0f\x0d\x0212\x0f\x10\x10application/json";
    let exchange = |index| {
        let stream = index * 2 + 1;
        let head = if index == 0 { &first[..] } else { &later[..] };
        [
            frame(1, 5, stream, head),
            [frame(1, 4, stream, answer), frame(0, 1, stream, BODY)].concat(),
        ]
    };
    (0..CALLS).map(exchange).collect()
}

/// Calls over HTTP/1.1.
pub fn http1() -> Exchanges {
    vec![[REQUEST.to_vec(), [RESPONSE, BODY].concat()]; CALLS as usize]
}

/// The same with a JSON Web Token, of so many users in turn.
pub fn with_tokens(users: u32) -> Exchanges {
    let part = |text: &str| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
    let token = |user: u32| {
        let head = part(r#"{"alg":"RS256","kid":"9f7dc019fca7ec2","typ":"JWT"}"#);
        let payload = part(&format!(
            r#"{{"iss":"https://id.example/realms/shop","sub":"user|{user:08}","aud":["https://api.example","https://id.example/userinfo"],"azp":"web","scope":"openid profile read:orders","iat":1759998116,"exp":1760018477,"jti":"44307f9f-1ad9-4c18-a8c2-3763ef6249e9"}}"#
        ));
        format!("{head}.{payload}.{}", "A".repeat(342))
    };
    let exchange = |at| {
        let token = token(at % users);
        [
            format!("GET /users HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes(),
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        ]
    };
    (0..CALLS).map(exchange).collect()
}
