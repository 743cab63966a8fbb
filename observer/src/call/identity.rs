//! Who a call says it comes from. Public ids and keyed fingerprints, never a secret.

use std::sync::Arc;

/// What kind of name a caller goes by. In the order of choice: where a call carries several,
/// the first kind is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentityKind {
    /// A trusted gateway named the caller in a header.
    Gateway,
    /// Subject of a client certificate (mTLS).
    Certificate,
    /// Issuer and subject, or client id, of a JSON Web Token (RFC 7519).
    Jwt,
    /// User of `Basic` (RFC 7617).
    Basic,
    /// User of `Digest` (RFC 7616).
    Digest,
    /// User of `Negotiate` or `NTLM`.
    Negotiate,
    /// Access key id of a signed request (SigV4 and its relatives).
    AccessKey,
    /// An API key.
    ApiKey,
    /// A token that says nothing of itself.
    Token,
    /// A session cookie.
    Session,
    /// The client's address (IPv6 by /64), where nothing better is known.
    Address,
}

impl IdentityKind {
    /// The word used in JSON, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Certificate => "certificate",
            Self::Jwt => "jwt",
            Self::Basic => "basic",
            Self::Digest => "digest",
            Self::Negotiate => "negotiate",
            Self::AccessKey => "access_key",
            Self::ApiKey => "api_key",
            Self::Token => "token",
            Self::Session => "session",
            Self::Address => "address",
        }
    }
}

/// What a JSON Web Token claims of itself (RFC 7519 §4.1, RFC 8693 §4.3). Unverified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claims {
    /// `iss`.
    pub issuer: Option<Box<str>>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// `client_id`, `azp`, `cid` or `appid`.
    pub client: Option<Box<str>>,
    /// `aud`, each.
    pub audience: Vec<Box<str>>,
    /// `scope`, `scp` or `roles`, each.
    pub scopes: Vec<Box<str>>,
    /// `exp`, Unix seconds.
    pub expires_s: Option<i64>,
    /// `iat`, Unix seconds.
    pub issued_s: Option<i64>,
    /// `alg` of the header.
    pub algorithm: Option<Box<str>>,
    /// `kid` of the header.
    pub key_id: Option<Box<str>>,
}

/// One name of the caller, as one carrier of the request gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// What kind of name.
    pub kind: IdentityKind,
    /// The public name: a user, a subject, an access key id, an address. Where the carrier holds
    /// nothing but a secret, the text of its fingerprint.
    pub id: Arc<str>,
    /// Keyed fingerprint of the credential (HMAC-SHA-256), as text; `None` where there is no
    /// secret in the carrier.
    pub fingerprint: Option<Arc<str>>,
    /// The fingerprint under the key before, for some days after the key was replaced.
    pub earlier: Option<Arc<str>>,
    /// Whose format the credential has, such as `github`, if it says so.
    pub class: Option<&'static str>,
    /// Where it was sent, such as `header:authorization`, `query:api_key`, `cookie:sid`.
    pub source: Arc<str>,
    /// The server answered with success; without that the name is only claimed.
    pub verified: bool,
    /// What a token says of itself.
    pub claims: Option<Arc<Claims>>,
}
