//! Clients and users that proxies in front name.

use std::sync::Arc;

use super::support::*;
use crate::call::{ApiCall, TrustedProxies};
use crate::pipeline::Output;
use crate::protocol::Verdict;
use crate::stream::{Bytes, ConnId, Input, Tls};

/// Whoever calls from 10.0.0.0/8 is a proxy.
fn trusting() -> Run {
    let mut run = Run::default();
    run.pipeline.trust(Arc::new(TrustedProxies {
        networks: [("10.0.0.0".parse().unwrap(), 8)].into(),
        user_fields: ["X-User-Id".into()].into(),
        ..TrustedProxies::default()
    }));
    run
}

fn request(fields: &str) -> Vec<u8> {
    format!("GET /a HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n").into_bytes()
}

/// Client, peer, then names and flags.
fn who(call: &ApiCall) -> String {
    let address = |address: Option<std::net::SocketAddr>| {
        address.map_or("-".to_owned(), |address| address.to_string())
    };
    let mut text = format!("{} {}", address(call.client), address(call.peer));
    for name in &call.identities {
        text.push_str(&format!(" {}:{}", name.kind.as_str(), name.id));
    }
    for flag in &call.flags {
        text.push_str(&format!(" {}", flag.as_str()));
    }
    text
}

fn asked(mut run: Run, fields: &str) -> String {
    run.open().tcp(Inbound, &request(fields));
    run.tcp(Outbound, &ok(0));
    let calls = run.calls();
    let [call] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    who(call)
}

#[test]
fn a_trusted_proxy_names_the_client_and_its_user() {
    let user = "X-Forwarded-For: 1.1.1.1, 203.0.113.5\r\nX-Forwarded-User: ana\r\n";
    assert_eq!(
        asked(trusting(), user),
        "203.0.113.5:0 10.0.0.2:5000 gateway:ana"
    );
    assert_eq!(
        asked(trusting(), "X-User-Id: 42\r\nX-Real-IP: 203.0.113.5\r\n"),
        "203.0.113.5:0 10.0.0.2:5000 gateway:42"
    );
    // Nobody trusts it: what it says is not believed.
    assert_eq!(asked(Run::default(), user), "10.0.0.2:5000 -");
    let certificate = "X-Forwarded-Client-Cert: By=x;URI=spiffe://mesh/web\r\nX-Forwarded-User: ana\r\n\
                       Authorization: Basic Ym9iOng=\r\n";
    assert_eq!(
        asked(trusting(), certificate),
        "10.0.0.2:5000 10.0.0.2:5000 gateway:ana certificate:spiffe://mesh/web basic:bob"
    );
    assert_eq!(
        asked(
            trusting(),
            "SSL-Client-Subject-DN: CN=eve\r\nSSL-Client-Verify: FAILED:self signed\r\n"
        ),
        "10.0.0.2:5000 10.0.0.2:5000"
    );
}

#[test]
fn whoever_pretends_is_flagged() {
    assert_eq!(
        asked(trusting(), "X-Forwarded-For: 127.0.0.1, 203.0.113.5\r\n"),
        "203.0.113.5:0 10.0.0.2:5000 spoofed_client"
    );
    let mut run = Run::default();
    run.pipeline.trust(Arc::new(TrustedProxies {
        networks: [("192.0.2.0".parse().unwrap(), 24)].into(),
        ..TrustedProxies::default()
    }));
    assert_eq!(
        asked(run, "X-Forwarded-For: 203.0.113.5\r\nRemote-User: root\r\n"),
        "10.0.0.2:5000 - forwarded_ignored spoofed_client"
    );
}

#[test]
fn http_after_the_opening_of_a_proxy_is_read_and_has_its_client() {
    let opening = b"PROXY TCP4 203.0.113.5 10.0.0.1 40000 80\r\n";
    let text = [opening.as_slice(), &request("")].concat();
    for cut in 1..text.len() {
        let mut run = trusting();
        run.open().tcp(Inbound, &text[..cut]);
        run.tcp(Inbound, &text[cut..]);
        run.tcp(Outbound, &ok(2));
        run.tcp(Inbound, &request("")).tcp(Outbound, &ok(2));
        let calls: Vec<_> = run.calls().into_iter().map(who).collect();
        assert_eq!(calls, ["203.0.113.5:40000 10.0.0.2:5000"; 2], "{cut}");
        run.close().assert_empty();
    }
    // From whoever is not trusted it is passed over.
    let mut run = Run::default();
    run.open().tcp(Inbound, &text).tcp(Outbound, &ok(2));
    assert_eq!(
        run.calls().into_iter().map(who).collect::<Vec<_>>(),
        ["10.0.0.2:5000 -"]
    );
}

#[test]
fn http_2_after_the_binary_opening_of_a_proxy_is_read() {
    let mut text =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x05\x0a\0\0\x01\x9c\x40\0\x50".to_vec();
    text.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    // HEADERS: GET, http, /, authority a.
    text.extend(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a");
    let mut run = trusting();
    run.open().tcp(Inbound, &text);
    run.tcp(
        Outbound,
        b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88",
    );
    assert_eq!(run.verdicts(), [Verdict::Http2]);
    let calls: Vec<_> = run.calls().into_iter().map(who).collect();
    assert_eq!(calls, ["203.0.113.5:40000 10.0.0.2:5000"]);
}

#[test]
fn the_opening_before_tls_names_the_client_of_what_the_library_tells() {
    let mut run = trusting();
    run.open().tcp(
        Inbound,
        b"PROXY TCP4 203.0.113.5 10.0.0.1 40000 80\r\n\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    );
    assert_eq!(run.verdicts(), [Verdict::Tls]);
    let conn = ConnId(8);
    let tls = Arc::new(Tls::default());
    run.input(Input::Tls { conn, tls });
    run.input(Input::Peer { conn, flow: flow() });
    for (direction, bytes) in [(Inbound, request("")), (Outbound, ok(0))] {
        run.input(Input::Bytes(Bytes {
            conn,
            time_ns: 9 * MS,
            direction,
            offset: 0,
            len: bytes.len() as u64,
            bytes: &bytes,
            skips: None,
        }));
    }
    let told = run.outputs.iter().find_map(|output| match output {
        Output::Call(call) => Some(who(call)),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("203.0.113.5:40000 10.0.0.2:5000"));
}
