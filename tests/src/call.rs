//! One call as the agent prints it: a line of JSON with the fields that tests rely on.

use serde::Deserialize;

/// An address of one end.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Endpoint {
    /// IP address, without brackets.
    pub ip: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// The proxy that named the address.
    pub peer_ip: Option<String>,
}

/// The process at the end that was observed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: Option<u32>,
    /// Name, as `ps` shows it.
    pub name: Option<String>,
    /// Path of its executable.
    pub exe: Option<String>,
    /// Id of its container.
    pub container: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
}

/// What was sent to authenticate, and what became of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Auth {
    /// Kind of credential.
    pub scheme: Option<String>,
    /// Outcome.
    pub outcome: Option<String>,
}

/// The TLS library plaintext was taken from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Tls {
    /// Library and version.
    pub library: Option<String>,
    /// Protocol version.
    pub version: Option<String>,
    /// Host the client asked for.
    pub sni: Option<String>,
    /// Whether it goes on from an earlier connection.
    pub resumed: Option<bool>,
}

/// An error told in a body.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct BodyError {
    /// Its convention.
    pub source: Option<String>,
    /// Its code.
    pub code: Option<String>,
}

/// What went over a WebSocket.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct WebSocket {
    /// Frames of the client.
    pub client_frames: u64,
    /// Frames of the server.
    pub server_frames: u64,
    /// Code of the first close.
    pub close_code: Option<u16>,
}

/// One call. A field the agent does not know is absent.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Call {
    /// RFC 3339.
    pub time: Option<String>,
    /// `server` or `client`.
    pub role: String,
    /// `http/1.1`, `http/1.0`, `h2` or `grpc`.
    pub protocol: String,
    /// `http` or `https`.
    pub scheme: String,
    /// As sent; empty where not known.
    #[serde(default)]
    pub method: String,
    /// Authority asked for.
    pub host: Option<String>,
    /// Without query; empty where not known.
    #[serde(default)]
    pub path: String,
    /// Values redacted.
    pub query: Option<String>,
    /// Endpoint template.
    pub route: Option<String>,
    /// Service name.
    pub service: Option<String>,
    /// Status of the final answer; absent where there was none.
    pub status: Option<u16>,
    /// Status of gRPC.
    pub grpc_status: Option<u32>,
    /// Milliseconds from the first byte of the request to the last of the answer.
    pub duration_ms: Option<f64>,
    /// Body bytes of the request.
    pub request_bytes: Option<u64>,
    /// Body bytes of the answer.
    pub response_bytes: Option<u64>,
    /// Who asked.
    #[serde(default)]
    pub client: Endpoint,
    /// Who answered.
    #[serde(default)]
    pub server: Endpoint,
    /// The process observed.
    #[serde(default)]
    pub process: Process,
    /// Authentication.
    #[serde(default)]
    pub auth: Auth,
    /// TLS, if any.
    pub tls: Option<Tls>,
    /// What it asks for where its URL does not say.
    pub operation: Option<String>,
    /// What the body of the answer says of a failure.
    pub error: Option<BodyError>,
    /// Messages of the request, or of the client of a WebSocket.
    pub request_messages: Option<u64>,
    /// Messages of the answer, or of the server of a WebSocket.
    pub response_messages: Option<u64>,
    /// What went over a WebSocket.
    pub websocket: Option<WebSocket>,
    /// What was odd.
    #[serde(default)]
    pub flags: Vec<String>,
}

impl Call {
    /// Whether this came in at the server that listens on `port`.
    pub fn served_by(&self, port: u16) -> bool {
        self.role == "server" && self.server.port == Some(port)
    }
}

impl std::fmt::Display for Call {
    /// What the message of a failed test needs, in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = |end: &Endpoint| match (&end.ip, end.port) {
            (Some(ip), Some(port)) => format!("{ip} {port}"),
            _ => "unknown".to_owned(),
        };
        let Self {
            time: _,
            role,
            protocol,
            scheme,
            method,
            host,
            path,
            query,
            ..
        } = self;
        write!(
            f,
            "{role} {protocol} {scheme} {method} {host:?} {path} {query:?}"
        )?;
        let Self {
            route,
            service,
            status,
            duration_ms,
            request_bytes,
            response_bytes,
            ..
        } = self;
        write!(
            f,
            " route {route:?} service {service:?} status {status:?} {duration_ms:?} ms"
        )?;
        write!(f, " bytes {request_bytes:?} {response_bytes:?}")?;
        let Self {
            client,
            server,
            process,
            auth,
            tls,
            flags,
            ..
        } = self;
        write!(
            f,
            " from {} to {} {process:?}",
            address(client),
            address(server)
        )?;
        write!(f, " {auth:?} {tls:?} flags {flags:?}")
    }
}

/// The first calls of many, a line each, for the message of a failed test.
pub fn listed<'a>(calls: impl IntoIterator<Item = &'a std::sync::Arc<Call>>) -> String {
    /// More would bury the message.
    const SHOWN: usize = 10;
    let mut calls = calls.into_iter();
    let mut text: String = calls
        .by_ref()
        .take(SHOWN)
        .map(|call| format!("\n  {call}"))
        .collect();
    match calls.count() {
        0 => {}
        more => text.push_str(&format!("\n  and {more} more")),
    }
    text
}
