//! A record as a filter sees it: its fields by name.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::field::Field;
use crate::audit::record_head::{
    API_ACTIVITY, APPLICATION_LIFECYCLE, AUTHENTICATION, DETECTION_FINDING, RecordHead,
};

/// A text of the record, without a copy where it holds no escapes.
#[derive(Clone, Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

type Maybe<'a> = Option<Text<'a>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint<'a> {
    #[serde(borrow)]
    ip: Maybe<'a>,
    #[serde(borrow)]
    svc_name: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Url<'a> {
    #[serde(borrow)]
    scheme: Maybe<'a>,
    #[serde(borrow)]
    hostname: Maybe<'a>,
    #[serde(borrow)]
    path: Maybe<'a>,
    #[serde(borrow)]
    query_string: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow)]
    http_method: Maybe<'a>,
    #[serde(borrow)]
    url: Url<'a>,
    body_length: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    body_length: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service<'a> {
    #[serde(borrow)]
    name: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Api<'a> {
    #[serde(borrow)]
    service: Service<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Process<'a> {
    pid: Option<u64>,
    #[serde(borrow)]
    name: Maybe<'a>,
    #[serde(borrow)]
    exe: Maybe<'a>,
    #[serde(borrow)]
    container: Maybe<'a>,
    #[serde(borrow)]
    unit: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identity<'a> {
    #[serde(borrow)]
    kind: Maybe<'a>,
    #[serde(borrow)]
    id: Maybe<'a>,
    #[serde(borrow)]
    fingerprint: Maybe<'a>,
    #[serde(borrow)]
    fingerprint_before: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth<'a> {
    #[serde(borrow)]
    scheme: Maybe<'a>,
    #[serde(borrow)]
    outcome: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Coded<'a> {
    #[serde(borrow)]
    code: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tls<'a> {
    #[serde(borrow)]
    library: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Unmapped<'a> {
    #[serde(borrow)]
    role: Maybe<'a>,
    #[serde(borrow)]
    protocol: Maybe<'a>,
    #[serde(borrow)]
    route: Maybe<'a>,
    #[serde(borrow)]
    operation: Maybe<'a>,
    grpc_status: Option<u64>,
    duration_ns: Option<u64>,
    #[serde(borrow)]
    rule: Maybe<'a>,
    #[serde(borrow)]
    process: Process<'a>,
    #[serde(borrow)]
    identity: Identity<'a>,
    #[serde(borrow)]
    identities: Vec<Identity<'a>>,
    #[serde(borrow)]
    conn: Maybe<'a>,
    #[serde(borrow)]
    peer_ip: Maybe<'a>,
    #[serde(borrow)]
    auth: Auth<'a>,
    #[serde(borrow)]
    body_error: Coded<'a>,
    #[serde(borrow)]
    tls: Tls<'a>,
    #[serde(borrow)]
    flags: Vec<Text<'a>>,
    records: Option<u64>,
    #[serde(borrow)]
    reason: Maybe<'a>,
    #[serde(borrow)]
    reviewer: Maybe<'a>,
    #[serde(borrow)]
    remarks: Maybe<'a>,
    #[serde(borrow)]
    what: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Evidence<'a> {
    #[serde(borrow)]
    src_endpoint: Endpoint<'a>,
    #[serde(borrow)]
    dst_endpoint: Endpoint<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FindingInfo<'a> {
    #[serde(borrow)]
    title: Maybe<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    sequence: Option<u64>,
    // Listed so that an unknown type of value is stepped over, not refused.
    product: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw<'a> {
    #[serde(borrow)]
    activity_name: Maybe<'a>,
    severity_id: Option<u64>,
    #[serde(borrow)]
    message: Maybe<'a>,
    #[serde(borrow)]
    api: Api<'a>,
    #[serde(borrow)]
    service: Service<'a>,
    #[serde(borrow)]
    src_endpoint: Endpoint<'a>,
    #[serde(borrow)]
    dst_endpoint: Endpoint<'a>,
    #[serde(borrow)]
    http_request: Request<'a>,
    http_response: Response,
    #[serde(borrow)]
    unmapped: Unmapped<'a>,
    #[serde(borrow)]
    evidences: Vec<Evidence<'a>>,
    #[serde(borrow)]
    finding_info: FindingInfo<'a>,
    metadata: Metadata,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not known.
    Absent,
    /// A number.
    Number(u64),
    /// A text; an address as text; the words of a list, with commas between them.
    Text(&'a str),
}

/// A record of the log, taken apart.
#[derive(Debug)]
pub struct Record<'a> {
    head: RecordHead,
    raw: Box<Raw<'a>>,
    flags: String,
    fingerprints: String,
}

/// Words with commas between them.
fn list<'a>(words: impl Iterator<Item = &'a Text<'a>>) -> String {
    let mut list = String::new();
    for Text(word) in words {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(word);
    }
    list
}

fn text<'a>(text: &'a Maybe<'_>) -> Value<'a> {
    match text {
        Some(Text(text)) => Value::Text(text),
        None => Value::Absent,
    }
}

fn first<'a>(options: [&'a Maybe<'_>; 3]) -> Value<'a> {
    let found = options.into_iter().find(|option| option.is_some());
    found.map_or(Value::Absent, text)
}

fn number(number: Option<u64>) -> Value<'static> {
    number.map_or(Value::Absent, Value::Number)
}

impl<'a> Record<'a> {
    /// Takes a record apart. Of one that is not as the agent writes them, only the head counts.
    pub fn parse(bytes: &'a [u8]) -> Self {
        let head = RecordHead::parse(bytes).unwrap_or(RecordHead {
            time_ms: 0,
            class: 0,
            status: None,
        });
        let raw: Box<Raw<'_>> = serde_json::from_slice(bytes).unwrap_or_default();
        let unmapped = &raw.unmapped;
        let flags = list(unmapped.flags.iter());
        let named = std::iter::once(&unmapped.identity).chain(&unmapped.identities);
        let fingerprints = list(named.flat_map(|identity| {
            let Identity {
                kind: _,
                id: _,
                fingerprint,
                fingerprint_before,
            } = identity;
            fingerprint.iter().chain(fingerprint_before)
        }));
        Self {
            head,
            raw,
            flags,
            fingerprints,
        }
    }

    /// Unix time, milliseconds.
    pub const fn time_ms(&self) -> u64 {
        self.head.time_ms
    }

    /// Index in the log.
    pub fn index(&self) -> Option<u64> {
        self.raw.metadata.sequence
    }

    /// The sentence of a finding.
    pub fn message(&self) -> Option<&str> {
        self.raw.message.as_ref().map(|Text(text)| &**text)
    }

    /// Records that a loss record tells of, and why they were lost.
    pub fn loss(&self) -> Option<(u64, &str)> {
        let reason = self.raw.unmapped.reason.as_ref()?;
        Some((self.raw.unmapped.records?, &reason.0))
    }

    /// Who reviewed the log, and what they said.
    pub fn review(&self) -> Option<(&str, &str)> {
        let unmapped = &self.raw.unmapped;
        Some((
            &unmapped.reviewer.as_ref()?.0,
            &unmapped.remarks.as_ref()?.0,
        ))
    }

    /// The value of a field.
    pub fn value(&self, field: Field) -> Value<'_> {
        let raw = &*self.raw;
        let unmapped = &raw.unmapped;
        match field {
            Field::Type => Value::Text(match self.head.class {
                API_ACTIVITY => "call",
                AUTHENTICATION => "login",
                DETECTION_FINDING => "finding",
                APPLICATION_LIFECYCLE => "agent",
                _ => "other",
            }),
            Field::Status => number(self.head.status.map(u64::from)),
            Field::GrpcStatus => number(unmapped.grpc_status),
            Field::Method => text(&raw.http_request.http_method),
            Field::Host => text(&raw.http_request.url.hostname),
            Field::Path => text(&raw.http_request.url.path),
            Field::Query => text(&raw.http_request.url.query_string),
            Field::Route => text(&unmapped.route),
            Field::Service => {
                let evidence = raw.evidences.first();
                first([
                    &raw.api.service.name,
                    &raw.service.name,
                    evidence.map_or(&None, |evidence| &evidence.dst_endpoint.svc_name),
                ])
            }
            Field::Operation => text(&unmapped.operation),
            Field::Protocol => text(&unmapped.protocol),
            Field::Scheme => text(&raw.http_request.url.scheme),
            Field::Role => text(&unmapped.role),
            Field::Client => {
                let evidence = raw.evidences.first();
                first([
                    &raw.src_endpoint.ip,
                    evidence.map_or(&None, |evidence| &evidence.src_endpoint.ip),
                    &None,
                ])
            }
            Field::Server => text(&raw.dst_endpoint.ip),
            Field::Process => text(&unmapped.process.name),
            Field::Pid => number(unmapped.process.pid),
            Field::Exe => text(&unmapped.process.exe),
            Field::Container => text(&unmapped.process.container),
            Field::Unit => text(&unmapped.process.unit),
            Field::Identity => text(&unmapped.identity.id),
            Field::IdentityKind => text(&unmapped.identity.kind),
            Field::Auth => text(&unmapped.auth.outcome),
            Field::AuthScheme => text(&unmapped.auth.scheme),
            Field::Error => text(&unmapped.body_error.code),
            Field::Tls => text(&unmapped.tls.library),
            Field::Flag if self.flags.is_empty() => Value::Absent,
            Field::Flag => Value::Text(&self.flags),
            Field::Rule => first([&unmapped.rule, &raw.finding_info.title, &None]),
            Field::Event => text(&raw.activity_name),
            Field::Severity => number(raw.severity_id),
            Field::Duration => number(unmapped.duration_ns),
            Field::RequestBytes => number(raw.http_request.body_length),
            Field::ResponseBytes => number(raw.http_response.body_length),
            Field::Peer => text(&unmapped.peer_ip),
            Field::Fingerprint if self.fingerprints.is_empty() => Value::Absent,
            Field::Fingerprint => Value::Text(&self.fingerprints),
            Field::Conn => text(&unmapped.conn),
            Field::Sequence => number(raw.metadata.sequence),
            Field::Message => first([&raw.message, &unmapped.remarks, &unmapped.what]),
        }
    }
}
