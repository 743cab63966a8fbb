//! Calls and findings as OCSF 1.8 records: API Activity (6003), Authentication (3002) for logins,
//! and Detection Finding (2004).
//!
//! In: calls and findings. Out: JSON, one record each. Never: a secret. A call holds no secret: credentials are reduced to their kind and outcome before, and query
//! values are redacted.

mod caller;
mod login;

pub(super) use login::is_login;

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::json_text::push_inner;
use super::log::MAX_RECORD;
use super::record_head::{API_ACTIVITY, DETECTION_FINDING, RecordHead};
use crate::call::{ApiCall, AuthOutcome, Protocol, Role};
use crate::detect::{Finding, Severity};
use crate::stream::TlsVersion;

/// Version of the schema.
pub(super) const SCHEMA_VERSION: &str = "1.8.0";
/// Name of the log in every record.
pub(super) const LOG_NAME: &str = "api-audit";
/// Bytes kept of a text from the network, so that a record stays below its bound. What is longer
/// is cut, and the record says so.
const MAX_TEXT: usize = 4096;
/// The same for a record that became too long, which takes texts full of control characters: each
/// of those is six bytes in JSON.
const SHORT_TEXT: usize = 400;

/// Writes records; keeps its buffer.
#[derive(Debug)]
pub struct Ocsf {
    out: String,
    cut: bool,
    /// Bytes kept of a text.
    most: usize,
}

impl Default for Ocsf {
    fn default() -> Self {
        Self {
            out: String::new(),
            cut: false,
            most: MAX_TEXT,
        }
    }
}

impl Ocsf {
    /// The record of a call that gets this index.
    pub fn call(&mut self, call: &ApiCall, index: u64) -> (RecordHead, &str) {
        let mut head = self.write_call(call, index);
        if self.out.len() > MAX_RECORD {
            self.most = SHORT_TEXT;
            head = self.write_call(call, index);
            self.most = MAX_TEXT;
        }
        (head, &self.out)
    }

    fn write_call(&mut self, call: &ApiCall, index: u64) -> RecordHead {
        let ApiCall {
            time_unix_ns,
            conn,
            conn_label,
            role,
            protocol,
            scheme,
            method,
            host,
            path,
            query,
            route,
            service,
            operation,
            operation_kind: _,
            operations: _,
            login: _,
            status,
            grpc_status,
            grpc_message: _,
            duration_ns,
            request_bytes,
            response_bytes,
            request_messages,
            response_messages,
            websocket: _,
            client,
            peer,
            server,
            process,
            auth,
            // In `caller`.
            identity: _,
            identities: _,
            body_error,
            tls,
            hello,
            signs: _,
            flags,
        } = call;
        let head = RecordHead {
            time_ms: time_unix_ns / 1_000_000,
            class: API_ACTIVITY,
            status: *status,
        };
        let activity = match method.as_str() {
            "POST" => 1,
            "GET" | "HEAD" | "OPTIONS" | "QUERY" => 2,
            "PUT" | "PATCH" => 3,
            "DELETE" => 4,
            _ => 99,
        };
        let status_id = match (status, grpc_status, body_error) {
            (_, Some(1..), _) | (Some(400..), _, _) | (_, _, Some(_)) => 2,
            (Some(_), _, _) => 1,
            (None, _, _) => 0,
        };
        self.start(&head);
        let _ = write!(
            self.out,
            ",\"category_uid\":6,\"activity_id\":{activity},\"type_uid\":{},\"severity_id\":1,\"status_id\":{status_id}",
            API_ACTIVITY * 100 + activity
        );
        if !matches!(auth.outcome, AuthOutcome::None | AuthOutcome::Unknown) {
            self.raw(",\"status_detail\":\"auth ");
            self.raw(auth.outcome.as_str());
            self.raw("\"");
        }
        // What differs from call to call, then what callers have, then what endpoints have: the fewer
        // turns between them, the fewer bytes a record takes.
        if let Some(status) = status {
            let _ = write!(self.out, ",\"http_response\":{{\"code\":{status}");
            if let Some(ns) = duration_ns {
                let _ = write!(self.out, ",\"latency\":{}", ns / 1_000_000);
            }
            let _ = write!(self.out, ",\"body_length\":{response_bytes}}}");
        }
        self.actor(call);
        self.endpoint("src_endpoint", client.as_ref(), None);
        self.raw(",\"api\":{\"operation\":\"");
        self.inner(method);
        self.raw(" ");
        self.inner(route.as_deref().unwrap_or(path));
        self.raw("\"");
        if let Some(service) = service {
            self.text(",\"service\":{\"name\":", service);
            self.raw("}");
        }
        if let Some(status) = status {
            let _ = write!(self.out, ",\"response\":{{\"code\":{status}");
            if let Some(error) = body_error.as_ref().filter(|error| !error.code.is_empty()) {
                self.text(",\"error\":", &error.code);
            }
            self.raw("}");
        }
        self.raw("}");
        if server.is_some() || service.is_some() {
            let service = service.as_deref().filter(|_| *role == Role::Server);
            self.endpoint("dst_endpoint", server.as_ref(), service);
        }
        self.text(
            ",\"http_request\":{\"version\":",
            match protocol {
                Protocol::Http09 => "0.9",
                Protocol::Http10 => "1.0",
                Protocol::Http11 => "1.1",
                Protocol::Http2 | Protocol::Grpc => "2",
                // Over any version, most of them over this one.
                Protocol::GrpcWeb | Protocol::Connect => "1.1",
            },
        );
        if !method.is_empty() {
            self.text(",\"http_method\":", method);
        }
        self.text(",\"url\":{\"scheme\":", scheme);
        self.optional(",\"hostname\":", host.as_deref());
        self.optional(",\"query_string\":", query.as_deref());
        self.text(",\"path\":", path);
        let _ = write!(self.out, "}},\"body_length\":{request_bytes}}}");
        self.raw(",\"unmapped\":{\"role\":\"");
        self.raw(role.as_str());
        self.raw("\",\"protocol\":\"");
        self.raw(protocol.as_str());
        self.raw("\"");
        if let Some(process) = process {
            let _ = write!(self.out, ",\"process\":{{\"pid\":{}", process.pid);
            self.text(",\"name\":", &process.name);
            self.optional(",\"exe\":", process.exe.as_deref());
            self.optional(",\"container\":", process.container.as_deref());
            self.optional(",\"unit\":", process.unit.as_deref());
            self.raw("}");
        }
        if let Some(tls) = tls {
            self.text(",\"tls\":{\"library\":", &tls.library);
            let chosen = hello.as_deref().and_then(|hello| hello.version);
            let chosen = chosen.map(TlsVersion::as_str);
            self.optional(",\"version\":", tls.version.as_deref().or(chosen));
            self.raw("}");
        }
        self.optional(",\"route\":", route.as_deref());
        self.optional(",\"operation\":", operation.as_deref());
        for (key, number) in [
            ("grpc_status", grpc_status.map(u64::from)),
            ("request_messages", *request_messages),
            ("response_messages", *response_messages),
        ] {
            if let Some(number) = number {
                let _ = write!(self.out, ",\"{key}\":{number}");
            }
        }
        self.identities(call);
        match conn_label {
            Some(label) => self.text(",\"conn\":", label),
            None => {
                let _ = write!(self.out, ",\"conn\":\"{}\"", conn.0);
            }
        }
        self.raw(",\"auth\":{\"scheme\":\"");
        self.raw(auth.scheme.as_str());
        self.raw("\",\"outcome\":\"");
        self.raw(auth.outcome.as_str());
        self.raw("\"}");
        if let Some(peer) = peer {
            let _ = write!(self.out, ",\"peer_ip\":\"{}\"", peer.ip());
        }
        if !flags.is_empty() {
            self.list(",\"flags\":", flags.iter().map(|flag| flag.as_str()));
        }
        if let Some(error) = body_error {
            self.text(",\"body_error\":{\"source\":", error.source.as_str());
            self.text(",\"code\":", &error.code);
            self.raw("}");
        }
        if let Some(ns) = duration_ns {
            let _ = write!(self.out, ",\"duration_ns\":{ns}");
        }
        self.raw("}");
        self.finish(index);
        head
    }

    /// The record of a finding that gets this index.
    pub fn finding(&mut self, finding: &Finding, index: u64) -> (RecordHead, &str) {
        let Finding {
            time_unix_ns,
            rule,
            severity,
            mitre,
            role,
            client,
            client_prefix,
            identity,
            service,
            count,
            distinct,
            span,
            window,
            routes,
            message,
        } = finding;
        let time_ms = time_unix_ns / 1_000_000;
        let head = RecordHead {
            time_ms,
            class: DETECTION_FINDING,
            status: None,
        };
        self.start(&head);
        let severity = match severity {
            Severity::Low => 2,
            Severity::Medium => 3,
            Severity::High => 4,
        };
        let _ = write!(
            self.out,
            ",\"category_uid\":2,\"activity_id\":1,\"type_uid\":{},\"severity_id\":{severity},\"status_id\":1,\"is_alert\":true,\"confidence_id\":2",
            DETECTION_FINDING * 100 + 1
        );
        self.text(",\"message\":", message);
        let first = time_ms.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let subject = finding.subject();
        self.text(
            ",\"finding_info\":{\"uid\":",
            &format!("{rule}:{subject}:{time_unix_ns}"),
        );
        self.text(",\"title\":", rule);
        self.text(",\"analytic\":{\"type_id\":1,\"name\":", rule);
        self.text(",\"uid\":", rule);
        self.raw("}");
        if !mitre.is_empty() {
            self.text(",\"attacks\":[{\"technique\":{\"uid\":", mitre);
            self.raw("}}]");
        }
        let _ = write!(
            self.out,
            ",\"related_events_count\":{count},\"first_seen_time\":{first},\"last_seen_time\":{time_ms}}}"
        );
        self.raw(",\"evidences\":[{");
        let mut comma = "";
        if let Some(client) = client {
            let _ = write!(self.out, "\"src_endpoint\":{{\"ip\":\"{client}\"}}");
            comma = ",";
        }
        if let Some(service) = service {
            self.raw(comma);
            self.text("\"dst_endpoint\":{\"svc_name\":", service);
            self.raw("}");
            comma = ",";
        }
        if let Some(identity) = identity {
            self.raw(comma);
            self.text("\"actor\":{\"user\":{\"name\":", identity);
            self.raw("}}");
        }
        let _ = write!(
            self.out,
            "}}],\"unmapped\":{{\"role\":\"{}\",\"client_prefix\":{client_prefix},\"distinct\":{distinct},\"window_ms\":{}",
            role.as_str(),
            window.as_millis()
        );
        self.text(",\"rule\":", rule);
        self.list(",\"routes\":", routes.iter().map(|route| &**route));
        self.raw("}");
        self.finish(index);
        (head, &self.out)
    }

    fn start(&mut self, head: &RecordHead) {
        self.out.clear();
        self.cut = false;
        head.push(&mut self.out);
    }

    fn finish(&mut self, index: u64) {
        self.raw(concat!(
            ",\"metadata\":{\"version\":\"1.8.0\",\"product\":{\"name\":\"observer\",\"version\":\"",
            env!("CARGO_PKG_VERSION"),
            "\"},\"log_name\":\"api-audit\""
        ));
        if self.cut {
            self.raw(",\"is_truncated\":true");
        }
        let _ = write!(self.out, ",\"sequence\":{index}}}}}");
    }

    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.out.push_str(key);
        self.out.push('"');
        self.inner(value);
        self.out.push('"');
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn list<'a>(&mut self, key: &str, items: impl Iterator<Item = &'a str>) {
        self.out.push_str(key);
        self.out.push('[');
        for (at, item) in items.enumerate() {
            self.text(if at > 0 { "," } else { "" }, item);
        }
        self.out.push(']');
    }

    fn endpoint(&mut self, key: &str, address: Option<&SocketAddr>, service: Option<&str>) {
        let _ = write!(self.out, ",\"{key}\":{{");
        match (address, service) {
            (Some(address), _) => {
                let _ = write!(self.out, "\"ip\":\"{}\"", address.ip());
                if address.port() != 0 {
                    let _ = write!(self.out, ",\"port\":{}", address.port());
                }
                self.optional(",\"svc_name\":", service);
            }
            (None, Some(service)) => self.text("\"svc_name\":", service),
            // The schema wants an endpoint; that it is not known must be said.
            (None, None) => self.raw("\"name\":\"unknown\""),
        }
        self.out.push('}');
    }

    /// The inside of a JSON string, as much of it as is kept.
    fn inner(&mut self, text: &str) {
        let text = if text.len() > self.most {
            self.cut = true;
            text.get(..text.floor_char_boundary(self.most))
                .unwrap_or_default()
        } else {
            text
        };
        push_inner(&mut self.out, text);
    }
}

#[cfg(test)]
mod tests {
    use super::Ocsf;
    use crate::audit::log::MAX_RECORD;
    use crate::audit::record_head::RecordHead;
    use crate::call::{AuthOutcome, AuthScheme, Flag, Role};
    use crate::catalog::sample;
    use proptest::prelude::*;
    use serde_json::Value;

    fn json(record: &str) -> Value {
        serde_json::from_str(record).unwrap()
    }

    #[test]
    fn a_call_has_what_the_schema_requires_and_the_head_reads_back() {
        let mut call = sample::call("POST", "/login", Some(401));
        call.auth.scheme = AuthScheme::Basic;
        call.auth.outcome = AuthOutcome::Failed;
        call.route = Some("/login".into());
        call.service = Some("nginx".into());
        call.flags = vec![Flag::Gap];
        let mut ocsf = Ocsf::default();
        let (head, record) = ocsf.call(&call, 17);
        assert_eq!(RecordHead::parse(record.as_bytes()), Some(head));
        let record = json(record);
        for (pointer, value) in [
            ("/class_uid", Value::from(6003)),
            ("/category_uid", 6.into()),
            ("/activity_id", 1.into()),
            ("/type_uid", 600_301.into()),
            ("/time", 1_795_342_830_123_u64.into()),
            ("/status_id", 2.into()),
            ("/status_code", "401".into()),
            ("/status_detail", "auth failed".into()),
            ("/metadata/version", "1.8.0".into()),
            ("/metadata/product/name", "observer".into()),
            ("/metadata/sequence", 17.into()),
            ("/actor/session/uid", "conn-7".into()),
            ("/api/operation", "POST /login".into()),
            ("/src_endpoint/ip", "192.0.2.7".into()),
            ("/dst_endpoint/svc_name", "nginx".into()),
            ("/http_request/url/path", "/login".into()),
            ("/http_response/code", 401.into()),
            ("/unmapped/auth/scheme", "basic".into()),
            ("/unmapped/flags/0", "gap".into()),
        ] {
            assert_eq!(record.pointer(pointer), Some(&value), "{pointer}");
        }
    }

    #[test]
    fn an_outgoing_call_names_its_program_as_the_actor() {
        let mut call = sample::call("GET", "/", None);
        call.role = Role::Client;
        call.client = None;
        let mut ocsf = Ocsf::default();
        let record = json(ocsf.call(&call, 0).1);
        assert_eq!(record["actor"]["process"]["name"], "nginx");
        assert_eq!(record["src_endpoint"]["name"], "unknown");
        assert_eq!(record["status_id"], 0);
        assert!(record.get("http_response").is_none());
    }

    proptest! {
        #[test]
        fn hostile_text_stays_inside_its_string_and_its_bound(
            path in any::<String>(), host in any::<String>(), long in 0usize..20_000, all: bool,
        ) {
            let path = format!("{path}{}", "\u{1}".repeat(long));
            let mut call = sample::call("GET", &path, Some(200));
            call.host = Some(host.clone());
            if all {
                call.query = Some(path.clone());
                call.operation = Some(path.clone());
                call.route = Some(path.as_str().into());
                call.service = Some(path.as_str().into());
            }
            let mut ocsf = Ocsf::default();
            let (_, record) = ocsf.call(&call, 1);
            prop_assert!(record.len() <= MAX_RECORD);
            let record = json(record);
            prop_assert_eq!(record["http_request"]["url"]["hostname"].as_str(), Some(host.as_str()));
            let kept = record["http_request"]["url"]["path"].as_str().unwrap();
            prop_assert!(path.starts_with(kept));
            prop_assert_eq!(kept.len() < path.len(), record["metadata"]["is_truncated"] == true);
        }
    }
}
