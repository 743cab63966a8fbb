//! One API call, as everything right of `call` sees it. A field that is not known is `None`.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{BodyError, Identity, OperationKind, Signs};
use crate::discover::Process;
use crate::stream::{ConnId, Tls, TlsHello};

/// Which end of the connection was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The request came in.
    Server,
    /// The request went out.
    Client,
}

impl Role {
    /// The word used in JSON, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// The protocol that carried the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/0.9, whose answers have no status (RFC 1945 §5).
    Http09,
    /// HTTP/1.0 (RFC 1945).
    Http10,
    /// HTTP/1.1 (RFC 9112).
    Http11,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web, over any version of HTTP.
    GrpcWeb,
    /// Connect, over any version of HTTP.
    Connect,
}

impl Protocol {
    /// The word used in JSON, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http09 => "http/0.9",
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::Connect => "connect",
        }
    }
}

/// What was odd about a call. In JSON as `flags`, a list of these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// The request ended early: connection closed or bytes lost inside it.
    RequestCut,
    /// The response ended early.
    ResponseCut,
    /// No response was seen before the connection ended.
    NoResponse,
    /// Bytes inside this call were not captured; sizes are still exact.
    Gap,
    /// The connection was joined midway, this call may not be its first.
    Joined,
    /// The connection left HTTP with this call (Upgrade or CONNECT).
    Upgrade,
    /// Both `Content-Length` and `Transfer-Encoding`, or lengths that differ: smuggling risk.
    ConflictingLength,
    /// A header line was folded or ended by a bare LF.
    LaxSyntax,
    /// The TLS object could not be bound to its socket, so addresses are unknown.
    Unbound,
    /// The header block is longer, or in more pieces, than any honest sender needs.
    HeaderFlood,
    /// Fields refer to what was sent before the connection was observed: what they say, and
    /// whether there is a credential among them, is not known.
    UnknownFields,
    /// An endpoint gave up on the call (RFC 9113 §6.4, §6.8).
    Reset,
    /// The request names a client or a user as proxies do, and its peer is no trusted proxy.
    ForwardedIgnored,
    /// Somebody pretends that the call comes from elsewhere.
    SpoofedClient,
}

impl Flag {
    /// The word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestCut => "request_cut",
            Self::ResponseCut => "response_cut",
            Self::NoResponse => "no_response",
            Self::Gap => "gap",
            Self::Joined => "joined",
            Self::Upgrade => "upgrade",
            Self::ConflictingLength => "conflicting_length",
            Self::LaxSyntax => "lax_syntax",
            Self::Unbound => "unbound",
            Self::HeaderFlood => "header_flood",
            Self::UnknownFields => "unknown_fields",
            Self::Reset => "reset",
            Self::ForwardedIgnored => "forwarded_ignored",
            Self::SpoofedClient => "spoofed_client",
        }
    }
}

/// Kind of credential a request carried. Never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthScheme {
    /// No credential.
    None,
    /// `Authorization: Basic` (RFC 7617).
    Basic,
    /// `Authorization: Bearer` (RFC 6750).
    Bearer,
    /// `Authorization: Digest` (RFC 7616).
    Digest,
    /// `Authorization: Negotiate` or `NTLM` (RFC 4559).
    Negotiate,
    /// `Authorization: AWS4-HMAC-SHA256` or `AWS4-ECDSA-P256-SHA256`, or presigned so.
    SigV4,
    /// Another signature with a named key: HTTP message signatures (RFC 9421), Azure shared keys,
    /// Google HMAC keys, Hawk, OAuth 1.
    Signature,
    /// `Authorization: DPoP` (RFC 9449).
    Dpop,
    /// A token in `Authorization` under another scheme, or under none.
    Token,
    /// An API key in a field such as `X-Api-Key`, or in the query.
    ApiKey,
    /// A cookie that names a session.
    Cookie,
    /// `Proxy-Authorization`, whatever its scheme.
    Proxy,
    /// An `Authorization` scheme not listed here.
    Other,
}

impl AuthScheme {
    /// The word used in JSON, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Digest => "digest",
            Self::Negotiate => "negotiate",
            Self::SigV4 => "sigv4",
            Self::Signature => "signature",
            Self::Dpop => "dpop",
            Self::Token => "token",
            Self::ApiKey => "api_key",
            Self::Cookie => "cookie",
            Self::Proxy => "proxy",
            Self::Other => "other",
        }
    }
}

/// What the answer said of the credential, or of its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthOutcome {
    /// A credential was sent and the call succeeded.
    Success,
    /// No credential was sent and one was asked for: not a failure.
    Challenge,
    /// A credential was sent and refused.
    Failed,
    /// The credential was good once: its time is over. No attack by itself.
    Expired,
    /// The caller is known and may not do this (403).
    Denied,
    /// Too many calls (429).
    Throttled,
    /// The account or what was asked for is locked (423).
    Locked,
    /// No credential was sent where one is needed, and the answer names no way to send one.
    Missing,
    /// No credential was sent and none was asked for.
    None,
    /// The answer says nothing about the credential (an error of another kind, or no answer).
    Unknown,
}

impl AuthOutcome {
    /// The word used in JSON, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Challenge => "challenge",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Locked => "locked",
            Self::Missing => "missing",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// What went over a WebSocket connection, besides messages and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketCall {
    /// Frames that the client sent.
    pub client_frames: u64,
    /// Frames that the server sent.
    pub server_frames: u64,
    /// Code of the first close (RFC 6455 §7.4); `None` if it ended without one.
    pub close_code: Option<u16>,
}

/// Authentication of one call: what was sent and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Kind of credential sent.
    pub scheme: AuthScheme,
    /// What the answer says.
    pub outcome: AuthOutcome,
    /// The answer carried `WWW-Authenticate` or `Proxy-Authenticate`.
    pub challenged: bool,
}

/// One API call.
#[derive(Clone, Debug)]
pub struct ApiCall {
    /// Unix time of the first request byte, nanoseconds.
    pub time_unix_ns: u64,
    /// The stream pair that carried it.
    pub conn: ConnId,
    /// Label of the stream pair if its source gave one (the `id` of a transcript).
    pub conn_label: Option<Arc<str>>,
    /// Which end was observed.
    pub role: Role,
    /// Protocol and version.
    pub protocol: Protocol,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Request method, as sent; empty if not known.
    pub method: String,
    /// Authority asked for: absolute-form target or `:authority`, else `Host`.
    pub host: Option<String>,
    /// Path of the target, as sent, without query. `*` and authority-form are kept as they are.
    /// Empty if not known.
    pub path: String,
    /// Query with every value redacted, keys kept.
    pub query: Option<String>,
    /// Endpoint template; filled in by `catalog`.
    pub route: Option<Arc<str>>,
    /// Service name; filled in by `catalog`.
    pub service: Option<Arc<str>>,
    /// What the call asks for where its URL alone does not say: of gRPC `package.Service/Method`,
    /// of GraphQL type and name (`query Orders`), of SOAP, XML-RPC, JSON-RPC and AWS the name. Of
    /// a batch the first eight, with a comma and a blank between them.
    pub operation: Option<String>,
    /// The convention that names the operation.
    pub operation_kind: Option<OperationKind>,
    /// How many operations the call asks for, if all were seen.
    pub operations: Option<u32>,
    /// Who logs in: the user name in a body that has a password too (JSON, form, WS-Security), or
    /// the client id beside a client secret. Claimed, at most 128 characters. Never the secret.
    pub login: Option<Box<str>>,
    /// Status of the final response.
    pub status: Option<u16>,
    /// `grpc-status`, from the trailers or from a response that has nothing else; of Connect the
    /// number of its code.
    pub grpc_status: Option<u32>,
    /// `grpc-message`, at most 128 characters, without whatever may be a name or a secret.
    pub grpc_message: Option<Box<str>>,
    /// First request byte to last response byte, nanoseconds.
    pub duration_ns: Option<u64>,
    /// Body bytes of the request after transfer decoding.
    pub request_bytes: u64,
    /// Body bytes of the response after transfer decoding.
    pub response_bytes: u64,
    /// gRPC messages of the request, if this is gRPC and all were seen.
    pub request_messages: Option<u64>,
    /// gRPC messages of the response.
    pub response_messages: Option<u64>,
    /// Who asked: the client end of the connection, or whom a trusted proxy there names; port 0 if
    /// the port is not known.
    pub client: Option<SocketAddr>,
    /// The client end of the connection, where that is a trusted proxy.
    pub peer: Option<SocketAddr>,
    /// Who answered.
    pub server: Option<SocketAddr>,
    /// What went over the WebSocket connection that the call opened: frames of its client and of
    /// its server. Messages and bytes are counted above.
    pub websocket: Option<Box<WebSocketCall>>,
    /// The process at the end observed.
    pub process: Option<Arc<Process>>,
    /// Credential and outcome.
    pub auth: Auth,
    /// The caller's name: of those in `identities` the one chosen.
    pub identity: Option<Arc<Identity>>,
    /// Every name of the caller that the request carries.
    pub identities: Vec<Arc<Identity>>,
    /// What the body of the answer says of a failure.
    pub body_error: Option<Box<BodyError>>,
    /// TLS library, if the call was taken from one.
    pub tls: Option<Arc<Tls>>,
    /// What the hellos of its TLS connection said, if they were seen.
    pub hello: Option<Arc<TlsHello>>,
    /// What is telling about request and answer, apart from what was odd.
    pub signs: Signs,
    /// What was odd, sorted, each at most once.
    pub flags: Vec<Flag>,
}

impl ApiCall {
    /// The server took the credentials: their names are no longer only claimed.
    pub fn verify_identities(&mut self) {
        for identity in &mut self.identities {
            Arc::make_mut(identity).verified = true;
        }
        self.identity = self.identities.first().cloned();
    }
}

impl ApiCall {
    /// How long the answer took, nanoseconds. `None` also where the connection left HTTP with this
    /// call: how long a WebSocket or a tunnel stays open says nothing of the server.
    pub fn answer_time_ns(&self) -> Option<u64> {
        self.duration_ns
            .filter(|_| !self.flags.contains(&Flag::Upgrade))
    }
}
