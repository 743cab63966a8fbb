//! Lines of JSON: their fields, their order, and hostile text.

use super::Jsonl;
use crate::call::{ApiCall, AuthOutcome, AuthScheme, Claims, Flag, Identity, IdentityKind, Role};
use crate::catalog::sample;
use crate::detect::{Finding, RULES, Severity};
use crate::stream::{Tls, TlsHello, TlsVersion};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn line(call: &ApiCall) -> String {
    let mut jsonl = Jsonl::new(Vec::new());
    jsonl.call(call).unwrap();
    String::from_utf8(jsonl.into_inner()).unwrap()
}

#[test]
fn a_call_has_all_that_is_known_in_a_fixed_order() {
    let mut call = sample::call("POST", "/users/1", Some(201));
    call.conn_label = Some("c-1".into());
    call.scheme = "https";
    call.query = Some("q=<redacted>&page=<redacted>".to_owned());
    call.route = Some("/users/{id}".into());
    call.service = Some("nginx".into());
    call.auth.scheme = AuthScheme::Bearer;
    call.auth.outcome = AuthOutcome::Success;
    call.tls = Some(Arc::new(Tls {
        library: "openssl 3.0.19".to_owned(),
        version: None,
    }));
    call.hello = Some(Arc::new(TlsHello {
        server_name: Some("shop.example".into()),
        version: Some(TlsVersion::Tls13),
        cipher: Some(4865),
        alpn: Some("h2".into()),
        resumed: Some(true),
        ..TlsHello::default()
    }));
    call.flags = vec![Flag::Gap, Flag::Joined];
    assert_eq!(
        line(&call),
        "{\"type\":\"call\",\"time\":\"2026-11-22T10:20:30.123456789Z\",\"conn\":\"c-1\",\
         \"role\":\"server\",\"protocol\":\"http/1.1\",\"scheme\":\"https\",\"method\":\"POST\",\
         \"host\":\"shop.example\",\"path\":\"/users/1\",\"query\":\"q=<redacted>&page=<redacted>\",\
         \"route\":\"/users/{id}\",\"service\":\"nginx\",\"status\":201,\"duration_ms\":1.5,\
         \"request_bytes\":10,\"response_bytes\":2048,\
         \"client\":{\"ip\":\"192.0.2.7\",\"port\":40000},\
         \"server\":{\"ip\":\"192.0.2.1\",\"port\":8080},\
         \"process\":{\"pid\":123,\"name\":\"nginx\",\"exe\":\"/usr/sbin/nginx\",\"unit\":\"nginx.service\"},\
         \"auth\":{\"scheme\":\"bearer\",\"outcome\":\"success\"},\
         \"tls\":{\"library\":\"openssl 3.0.19\",\"version\":\"TLSv1.3\",\"cipher\":4865,\
         \"sni\":\"shop.example\",\"alpn\":\"h2\",\"resumed\":true},\
         \"flags\":[\"gap\",\"joined\"]}\n"
    );
}

#[test]
fn what_is_not_known_is_absent() {
    let mut call = sample::call("GET", "/", None);
    call.role = Role::Client;
    call.host = None;
    call.client = None;
    call.server = None;
    call.process = None;
    assert_eq!(
        line(&call),
        "{\"type\":\"call\",\"time\":\"2026-11-22T10:20:30.123456789Z\",\"conn\":\"7\",\
         \"role\":\"client\",\"protocol\":\"http/1.1\",\"scheme\":\"http\",\"method\":\"GET\",\
         \"path\":\"/\",\"request_bytes\":10,\"response_bytes\":2048,\
         \"auth\":{\"scheme\":\"none\",\"outcome\":\"none\"},\"flags\":[]}\n"
    );
}

#[test]
fn a_caller_is_told_with_what_its_token_claims() {
    let mut call = sample::call("GET", "/", Some(200));
    let mut identity = Identity {
        kind: IdentityKind::Jwt,
        id: "ana\"".into(),
        fingerprint: Some("1a2b:AbC".into()),
        earlier: None,
        class: None,
        source: "header:authorization".into(),
        verified: true,
        claims: Some(Arc::new(Claims {
            issuer: Some("https://id.example".into()),
            scopes: vec!["read".into(), "write".into()],
            expires_s: Some(1_760_000_000),
            ..Claims::default()
        })),
    };
    call.identity = Some(Arc::new(identity.clone()));
    let told = "\"identity\":{\"kind\":\"jwt\",\"id\":\"ana\\\"\",\"fingerprint\":\"1a2b:AbC\",\
        \"source\":\"header:authorization\",\"verified\":true,\
        \"claims\":{\"iss\":\"https://id.example\",\"scope\":[\"read\",\"write\"],\
        \"exp\":1760000000}},\"auth\"";
    assert!(line(&call).contains(told), "{}", line(&call));
    identity.claims = Some(Arc::new(Claims {
        issuer: Some("x".repeat(5000).into()),
        scopes: vec!["s".into(); 500],
        ..Claims::default()
    }));
    call.identity = Some(Arc::new(identity.clone()));
    let told = line(&call);
    assert!(
        told.len() < 2000 && told.contains(&"x".repeat(256)),
        "{told}"
    );
    identity.claims = Some(Arc::default());
    call.identity = Some(Arc::new(identity));
    assert!(line(&call).contains("\"claims\":{}},\"auth\""));
}

#[test]
fn durations_are_exact_numbers() {
    for (ns, text) in [
        (0, "0"),
        (1, "0.000001"),
        (2_000_000, "2"),
        (1_020_300, "1.0203"),
    ] {
        let mut call = sample::call("GET", "/", Some(200));
        call.duration_ns = Some(ns);
        assert!(
            line(&call).contains(&format!("\"duration_ms\":{text},")),
            "{ns}"
        );
    }
}

#[test]
fn a_finding_carries_its_evidence_and_a_sentence() {
    let mut jsonl = Jsonl::new(Vec::new());
    jsonl
        .finding(&Finding {
            time_unix_ns: 1_795_342_830_000_000_000,
            rule: RULES[0].name.into(),
            severity: Severity::Medium,
            mitre: "T1110".into(),
            role: Role::Server,
            client: "2001:db8:1:2::".parse().ok(),
            client_prefix: 64,
            identity: Some("al\"ice".into()),
            service: Some("nginx".into()),
            count: 10,
            span: Duration::from_millis(2500),
            window: Duration::from_secs(60),
            distinct: 3,
            routes: vec!["/login".into(), "/users/{id}".into()],
            message: "someone may be guessing".into(),
        })
        .unwrap();
    assert_eq!(
        String::from_utf8(jsonl.into_inner()).unwrap(),
        "{\"type\":\"finding\",\"time\":\"2026-11-22T10:20:30.000000000Z\",\
         \"rule\":\"auth_failure_burst\",\"severity\":\"medium\",\"mitre\":\"T1110\",\
         \"role\":\"server\",\"client\":{\"ip\":\"2001:db8:1:2::\",\"prefix\":64},\"identity\":\"al\\\"ice\",\
         \"service\":\"nginx\",\"count\":10,\"distinct\":3,\"span_ms\":2500,\"window_ms\":60000,\
         \"routes\":[\"/login\",\"/users/{id}\"],\
         \"message\":\"someone may be guessing\"}\n"
    );
}

proptest! {
    #[test]
    fn hostile_text_is_one_valid_line_and_keeps_its_value(
        method in any::<String>(), path in any::<String>(), host in any::<String>(),
    ) {
        let mut call = sample::call(&method, &path, Some(200));
        call.host = Some(host.clone());
        let line = line(&call);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["method"].as_str().unwrap_or_default(), method.as_str());
        prop_assert_eq!(value["path"].as_str().unwrap_or_default(), path.as_str());
        prop_assert_eq!(value["host"].as_str(), Some(host.as_str()));
    }
}
