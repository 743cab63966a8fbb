//! A call as a list of requests tells it, such as an access log: much less than was on the wire.

use std::net::SocketAddr;
use std::sync::Arc;

use super::target::{self, Target};
use super::{
    ApiCall, Auth, AuthOutcome, AuthScheme, Identity, IdentityKind, Protocol, Role, request_signs,
};
use crate::stream::ConnId;

/// Longest user name kept, bytes.
const MAX_USER: usize = 256;

/// What a list says of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recorded<'a> {
    /// Unix time, nanoseconds.
    pub time_unix_ns: u64,
    /// Who asked.
    pub client: Option<SocketAddr>,
    /// The user that the server took the client for, or that was refused.
    pub user: Option<&'a str>,
    /// Method; empty if what came was no request.
    pub method: &'a str,
    /// Target as it was sent.
    pub target: &'a str,
    /// Host asked for.
    pub host: Option<&'a str>,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Bytes of the answer.
    pub response_bytes: u64,
    /// User agent.
    pub agent: Option<&'a str>,
    /// Page that it says it comes from.
    pub referrer: Option<&'a str>,
    /// Time taken, nanoseconds.
    pub duration_ns: Option<u64>,
}

impl From<Recorded<'_>> for ApiCall {
    /// A list does not say whether a credential was sent. A user that it names sent one; a refused
    /// request that brought something along is taken to have.
    fn from(recorded: Recorded<'_>) -> Self {
        let Recorded {
            time_unix_ns,
            client,
            user,
            method,
            target,
            host,
            status,
            response_bytes,
            agent,
            referrer,
            duration_ns,
        } = recorded;
        let signs = request_signs(
            method,
            target,
            agent.map(str::as_bytes),
            referrer.map(str::as_bytes),
        );
        let parts = Target::of(method, target);
        let user = user.map(|user| target::bounded(user, MAX_USER).0);
        let identity = user.map(|user| {
            Arc::new(Identity {
                kind: IdentityKind::Basic,
                id: user.into(),
                fingerprint: None,
                earlier: None,
                class: None,
                source: "log:user".into(),
                verified: status.is_some_and(|status| status < 400),
                claims: None,
            })
        });
        let sends = !matches!(method, "" | "GET" | "HEAD" | "OPTIONS");
        let scheme = match (&identity, status) {
            (Some(_), _) => AuthScheme::Basic,
            (None, Some(401)) if sends => AuthScheme::Other,
            _ => AuthScheme::None,
        };
        let host = parts
            .authority
            .or_else(|| host.and_then(|host| target::host(host.as_bytes())));
        Self {
            time_unix_ns,
            conn: ConnId(0),
            conn_label: None,
            role: Role::Server,
            protocol: Protocol::Http11,
            scheme: "https",
            method: target::bounded(method, target::MAX_METHOD).0.to_owned(),
            host: host.map(|host| target::bounded(host, target::MAX_HOST).0.to_owned()),
            path: target::path(parts.path).0,
            query: parts.query.map(|query| target::query(query, &[]).0),
            route: None,
            service: None,
            operation: None,
            operation_kind: None,
            operations: None,
            login: None,
            status,
            grpc_status: None,
            grpc_message: None,
            duration_ns,
            request_bytes: 0,
            response_bytes,
            request_messages: None,
            response_messages: None,
            client,
            peer: None,
            server: None,
            process: None,
            auth: Auth {
                scheme,
                outcome: AuthOutcome::Unknown,
                challenged: false,
            },
            identities: identity.iter().cloned().collect(),
            identity,
            body_error: None,
            websocket: None,
            tls: None,
            hello: None,
            signs,
            flags: Vec::new(),
        }
    }
}
