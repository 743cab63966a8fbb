//! Calls and findings as JSON lines.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;

use super::escape::push_json;
use super::timestamp::push_rfc3339;
use crate::audit::push_claims;
use crate::call::{ApiCall, Identity};
use crate::detect::Finding;
use crate::stream::{TlsHello, TlsVersion};

/// Writes one JSON object (RFC 8259) a line: calls with `"type":"call"`, findings with
/// `"type":"finding"`. Keys come in a fixed order; what is not known is absent.
///
/// Written without a serializer: this runs for each call.
#[derive(Debug)]
pub struct Jsonl<W> {
    out: W,
    line: String,
}

impl<W: Write> Jsonl<W> {
    /// Lines go to `out`, one `write_all` a line; buffering is up to the caller.
    pub fn new(out: W) -> Self {
        Self {
            out,
            line: String::with_capacity(1024),
        }
    }

    /// Writes one call.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn call(&mut self, call: &ApiCall) -> io::Result<()> {
        self.line.clear();
        push_call(&mut self.line, call);
        self.out.write_all(self.line.as_bytes())
    }

    /// Writes one finding.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.line.clear();
        push_finding(&mut self.line, finding);
        self.out.write_all(self.line.as_bytes())
    }

    /// Hands everything written to the operating system.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}

fn push_call(out: &mut String, call: &ApiCall) {
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
        operation_kind,
        operations,
        login: _,
        status,
        grpc_status,
        grpc_message,
        duration_ns,
        request_bytes,
        response_bytes,
        request_messages,
        response_messages,
        websocket,
        client,
        peer,
        server,
        process,
        auth,
        identity,
        identities: _,
        body_error,
        tls,
        hello,
        // What they add up to is said by findings.
        signs: _,
        flags,
    } = call;
    out.push_str("{\"type\":\"call\",\"time\":\"");
    push_rfc3339(out, *time_unix_ns);
    out.push('"');
    match conn_label {
        Some(label) => text(out, "conn", label),
        None => {
            let _ = write!(out, ",\"conn\":\"{}\"", conn.0);
        }
    }
    text(out, "role", role.as_str());
    text(out, "protocol", protocol.as_str());
    text(out, "scheme", scheme);
    optional(out, "method", known(method));
    optional(out, "host", host.as_deref());
    optional(out, "path", known(path));
    optional(out, "query", query.as_deref());
    optional(out, "route", route.as_deref());
    optional(out, "service", service.as_deref());
    optional(out, "operation", operation.as_deref());
    if let Some(kind) = operation_kind {
        text(out, "operation_kind", kind.as_str());
    }
    if let Some(operations @ 2..) = operations {
        number(out, "operations", u64::from(*operations));
    }
    if let Some(status) = status {
        number(out, "status", u64::from(*status));
    }
    if let Some(status) = grpc_status {
        number(out, "grpc_status", u64::from(*status));
    }
    optional(out, "grpc_message", grpc_message.as_deref());
    if let Some(duration_ns) = duration_ns {
        milliseconds(out, "duration_ms", *duration_ns);
    }
    number(out, "request_bytes", *request_bytes);
    number(out, "response_bytes", *response_bytes);
    if let Some(messages) = request_messages {
        number(out, "request_messages", *messages);
    }
    if let Some(messages) = response_messages {
        number(out, "response_messages", *messages);
    }
    if let Some(websocket) = websocket.as_deref() {
        let _ = write!(
            out,
            ",\"websocket\":{{\"client_frames\":{},\"server_frames\":{}",
            websocket.client_frames, websocket.server_frames
        );
        if let Some(code) = websocket.close_code {
            number(out, "close_code", u64::from(code));
        }
        out.push('}');
    }
    address(out, "client", client.as_ref(), peer.as_ref());
    address(out, "server", server.as_ref(), None);
    if let Some(process) = process.as_deref() {
        let _ = write!(out, ",\"process\":{{\"pid\":{}", process.pid);
        text(out, "name", &process.name);
        optional(out, "exe", process.exe.as_deref());
        optional(out, "container", process.container.as_deref());
        optional(out, "container_name", process.container_name.as_deref());
        optional(out, "unit", process.unit.as_deref());
        out.push('}');
    }
    if let Some(identity) = identity.as_deref() {
        push_identity(out, identity);
    }
    out.push_str(",\"auth\":{\"scheme\":\"");
    out.push_str(auth.scheme.as_str());
    out.push_str("\",\"outcome\":\"");
    out.push_str(auth.outcome.as_str());
    out.push_str("\"}");
    if let Some(error) = body_error.as_deref() {
        let _ = write!(out, ",\"error\":{{\"source\":\"{}\"", error.source.as_str());
        optional(out, "code", known(&error.code));
        out.push('}');
    }
    if let Some(tls) = tls.as_deref() {
        out.push_str(",\"tls\":{\"library\":");
        push_json(out, &tls.library);
        let hello = hello.as_deref();
        let chosen = hello.and_then(|hello| hello.version);
        let chosen = chosen.map(TlsVersion::as_str);
        optional(out, "version", tls.version.as_deref().or(chosen));
        if let Some(cipher) = hello.and_then(|hello| hello.cipher) {
            let _ = write!(out, ",\"cipher\":{cipher}");
        }
        let said = |text: fn(&TlsHello) -> Option<&str>| hello.and_then(text);
        optional(out, "sni", said(|hello| hello.server_name.as_deref()));
        optional(out, "alpn", said(|hello| hello.alpn.as_deref()));
        if let Some(resumed) = hello.and_then(|hello| hello.resumed) {
            let _ = write!(out, ",\"resumed\":{resumed}");
        }
        out.push('}');
    }
    list(out, "flags", flags.iter().map(|flag| flag.as_str()));
    out.push_str("}\n");
}

fn push_identity(out: &mut String, identity: &Identity) {
    let Identity {
        kind,
        id,
        fingerprint,
        earlier,
        class,
        source,
        verified,
        claims,
    } = identity;
    let _ = write!(out, ",\"identity\":{{\"kind\":\"{}\"", kind.as_str());
    text(out, "id", id);
    optional(out, "fingerprint", fingerprint.as_deref());
    optional(out, "fingerprint_before", earlier.as_deref());
    optional(out, "class", *class);
    text(out, "source", source);
    let _ = write!(out, ",\"verified\":{verified}");
    if let Some(claims) = claims.as_deref() {
        key(out, "claims");
        push_claims(out, claims, push_json);
    }
    out.push('}');
}

fn push_finding(out: &mut String, finding: &Finding) {
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
    out.push_str("{\"type\":\"finding\",\"time\":\"");
    push_rfc3339(out, *time_unix_ns);
    out.push('"');
    text(out, "rule", rule);
    text(out, "severity", severity.as_str());
    optional(out, "mitre", known(mitre));
    text(out, "role", role.as_str());
    if let Some(client) = client {
        let _ = write!(
            out,
            ",\"client\":{{\"ip\":\"{client}\",\"prefix\":{client_prefix}}}"
        );
    }
    optional(out, "identity", identity.as_deref());
    optional(out, "service", service.as_deref());
    number(out, "count", *count);
    if *distinct > 0 {
        number(out, "distinct", *distinct);
    }
    milliseconds(
        out,
        "span_ms",
        u64::try_from(span.as_nanos()).unwrap_or(u64::MAX),
    );
    milliseconds(
        out,
        "window_ms",
        u64::try_from(window.as_nanos()).unwrap_or(u64::MAX),
    );
    list(out, "routes", routes.iter().map(|route| &**route));
    text(out, "message", message);
    out.push_str("}\n");
}

/// What is empty is not known.
fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn key(out: &mut String, key: &str) {
    out.push_str(",\"");
    out.push_str(key);
    out.push_str("\":");
}

fn text(out: &mut String, name: &str, value: &str) {
    key(out, name);
    push_json(out, value);
}

fn optional(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        text(out, name, value);
    }
}

fn number(out: &mut String, name: &str, value: u64) {
    key(out, name);
    let _ = write!(out, "{value}");
}

/// Exact to the nanosecond, without digits that say nothing.
fn milliseconds(out: &mut String, name: &str, ns: u64) {
    number(out, name, ns / 1_000_000);
    if !ns.is_multiple_of(1_000_000) {
        let _ = write!(out, ".{:06}", ns % 1_000_000);
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// `peer`: who named the address.
fn address(out: &mut String, name: &str, address: Option<&SocketAddr>, peer: Option<&SocketAddr>) {
    if let Some(address) = address {
        key(out, name);
        let _ = write!(out, "{{\"ip\":\"{}\"", address.ip());
        if address.port() != 0 {
            let _ = write!(out, ",\"port\":{}", address.port());
        }
        if let Some(peer) = peer {
            let _ = write!(out, ",\"peer_ip\":\"{}\"", peer.ip());
        }
        out.push('}');
    }
}

fn list<'a>(out: &mut String, name: &str, items: impl Iterator<Item = &'a str>) {
    key(out, name);
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_json(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests;
