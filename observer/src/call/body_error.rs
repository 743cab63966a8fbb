//! What the body of an answer says of a failure that its status does not say.

/// The convention in which an error is told in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorSource {
    /// `error` of an OAuth 2.0 token endpoint (RFC 6749 §5.2), or of `WWW-Authenticate: Bearer`
    /// (RFC 6750 §3.1).
    OAuth,
    /// `errors[].extensions.code`, or its absence, of GraphQL.
    GraphQl,
    /// `faultcode` or `Code/Value` of a SOAP fault.
    Soap,
    /// `error.code` of JSON-RPC 2.0.
    JsonRpc,
    /// `faultCode` of XML-RPC.
    XmlRpc,
    /// Error code of an AWS service (`__type`, `Code`).
    Aws,
    /// `type`, `code` or `error` of a JSON object of no known convention (RFC 9457 among them).
    Json,
}

impl ErrorSource {
    /// The word used in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::GraphQl => "graphql",
            Self::Soap => "soap",
            Self::JsonRpc => "jsonrpc",
            Self::XmlRpc => "xmlrpc",
            Self::Aws => "aws",
            Self::Json => "json",
        }
    }
}

/// An error as the body of an answer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BodyError {
    /// The convention.
    pub source: ErrorSource,
    /// The code, at most 64 bytes of `A-Z a-z 0-9 . _ : # - /`; never free text. Empty if the
    /// body says that it is an error and gives no code.
    pub code: Box<str>,
}
