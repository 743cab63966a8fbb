//! What a filter can ask for, by name.

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// `call`, `login`, `finding` or `agent`.
    Type,
    /// Status of the response.
    Status,
    /// `grpc-status`.
    GrpcStatus,
    /// Request method.
    Method,
    /// Authority asked for.
    Host,
    /// Path as sent.
    Path,
    /// Query with its values redacted.
    Query,
    /// Endpoint template.
    Route,
    /// Service name.
    Service,
    /// Operation inside the URL.
    Operation,
    /// Protocol and version.
    Protocol,
    /// `http` or `https`.
    Scheme,
    /// `server` or `client`.
    Role,
    /// Address of the client.
    Client,
    /// Address of the server.
    Server,
    /// Name of the process.
    Process,
    /// Its id.
    Pid,
    /// Its program.
    Exe,
    /// Its container.
    Container,
    /// Its systemd unit.
    Unit,
    /// Name of the caller.
    Identity,
    /// What kind of name that is.
    IdentityKind,
    /// What became of the credential.
    Auth,
    /// Kind of credential.
    AuthScheme,
    /// Code of an error told in a body.
    Error,
    /// TLS library.
    Tls,
    /// What was odd, a list.
    Flag,
    /// Rule of a finding.
    Rule,
    /// What the agent says of itself, such as `start` or `loss`.
    Event,
    /// Severity, OCSF `severity_id`: 1 informational to 5 critical.
    Severity,
    /// Duration, nanoseconds.
    Duration,
    /// Bytes of the request's body.
    RequestBytes,
    /// Bytes of the response's body.
    ResponseBytes,
    /// Address of the proxy in front of the client.
    Peer,
    /// Fingerprints of all credentials of a call, a list.
    Fingerprint,
    /// Connection of a call.
    Conn,
    /// Index in the log.
    Sequence,
    /// The sentence of a finding, an alarm, a review.
    Message,
}

/// How the values of a field compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    /// Nanoseconds; written with a unit.
    Duration,
    Address,
}

impl Field {
    /// Its values are numbers; else texts.
    pub fn is_number(self) -> bool {
        matches!(self.kind(), Kind::Number | Kind::Duration)
    }

    /// Its value is a list of words.
    pub(super) const fn is_list(self) -> bool {
        matches!(self, Self::Flag | Self::Fingerprint)
    }

    /// Its values differ from record to record, so that the index has each where it stands, not a
    /// list of all that there are.
    pub(super) const fn is_measured(self) -> bool {
        matches!(
            self,
            Self::Duration | Self::RequestBytes | Self::ResponseBytes | Self::Sequence
        )
    }

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 38] = [
        Self::Type,
        Self::Status,
        Self::GrpcStatus,
        Self::Method,
        Self::Host,
        Self::Path,
        Self::Query,
        Self::Route,
        Self::Service,
        Self::Operation,
        Self::Protocol,
        Self::Scheme,
        Self::Role,
        Self::Client,
        Self::Server,
        Self::Process,
        Self::Pid,
        Self::Exe,
        Self::Container,
        Self::Unit,
        Self::Identity,
        Self::IdentityKind,
        Self::Auth,
        Self::AuthScheme,
        Self::Error,
        Self::Tls,
        Self::Flag,
        Self::Rule,
        Self::Event,
        Self::Severity,
        Self::Duration,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::Peer,
        Self::Fingerprint,
        Self::Conn,
        Self::Sequence,
        Self::Message,
    ];

    /// The name in a filter and at the head of a column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Status => "status",
            Self::GrpcStatus => "grpc_status",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Query => "query",
            Self::Route => "route",
            Self::Service => "service",
            Self::Operation => "operation",
            Self::Protocol => "protocol",
            Self::Scheme => "scheme",
            Self::Role => "role",
            Self::Client => "client",
            Self::Server => "server",
            Self::Process => "process",
            Self::Pid => "pid",
            Self::Exe => "exe",
            Self::Container => "container",
            Self::Unit => "unit",
            Self::Identity => "identity",
            Self::IdentityKind => "identity_kind",
            Self::Auth => "auth",
            Self::AuthScheme => "auth_scheme",
            Self::Error => "error",
            Self::Tls => "tls",
            Self::Flag => "flag",
            Self::Rule => "rule",
            Self::Event => "event",
            Self::Severity => "severity",
            Self::Duration => "duration",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::Peer => "peer",
            Self::Fingerprint => "fingerprint",
            Self::Conn => "conn",
            Self::Sequence => "index",
            Self::Message => "message",
        }
    }

    /// The field of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Status
            | Self::GrpcStatus
            | Self::Pid
            | Self::Severity
            | Self::RequestBytes
            | Self::ResponseBytes
            | Self::Sequence => Kind::Number,
            Self::Duration => Kind::Duration,
            Self::Client | Self::Server | Self::Peer => Kind::Address,
            _ => Kind::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Field;

    #[test]
    fn every_field_is_listed_once_and_found_by_its_name() {
        for (at, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, at);
            assert_eq!(Field::named(field.name()), Some(field));
        }
        assert_eq!(Field::named("Status"), None);
    }
}
