//! What a rule can ask of a call, by name.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::call::{ApiCall, IdentityKind, Signs};
use crate::stream::TlsVersion;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, compared without regard to case.
    Text,
    /// A whole number.
    Number,
    /// An IP address.
    Address,
}

/// One value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Address(IpAddr),
}

impl Value<'_> {
    /// As it stands in a sentence.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Address(address) => address.to_string(),
        }
    }
}

type Read = for<'a> fn(&'a ApiCall, &mut dyn FnMut(Value<'a>) -> bool) -> bool;

/// A field of a call. It has no value where the call says nothing of it, several where it is a
/// list.
#[derive(Clone, Copy)]
pub struct Field {
    /// The name in a rule: the one that `observer query` has too.
    pub name: &'static str,
    /// Other names: those of Sigma's taxonomy for web servers and proxies, and of the JSON lines.
    pub aliases: &'static [&'static str],
    /// What it holds.
    pub kind: Kind,
    /// What it says, for people.
    pub about: &'static str,
    read: Read,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name)
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Field {}

impl Field {
    /// The field with this name or alias; case matters.
    pub fn named(name: &str) -> Option<Self> {
        FIELDS
            .iter()
            .find(|field| field.name == name || field.aliases.contains(&name))
            .copied()
    }

    /// All of them.
    pub const fn all() -> &'static [Self] {
        FIELDS
    }

    /// Gives each value to `with` until it answers `true`; that is the result.
    pub(super) fn any<'a>(
        self,
        call: &'a ApiCall,
        with: &mut dyn FnMut(Value<'a>) -> bool,
    ) -> bool {
        (self.read)(call, with)
    }

    /// The first value.
    pub(super) fn first<'a>(self, call: &'a ApiCall) -> Option<Value<'a>> {
        let mut found = None;
        self.any(call, &mut |value| {
            found = Some(value);
            true
        });
        found
    }
}

/// Names of fields that other products have, and why there is none here.
pub(super) fn never_kept(name: &str) -> Option<&'static str> {
    match name {
        "cs-user-agent" | "c-useragent" | "user_agent" | "UserAgent" | "user_agent.original" => {
            Some(
                "what a user agent says is not kept: `sign: scanner` says that it names itself a scanner, `sign: code` that it carries an attack",
            )
        }
        "cs-cookie" | "cs-referer" | "c-uri-referer" | "cookie" | "referer" => {
            Some("values of header fields are not kept; `identity` names the caller")
        }
        "body" | "request_body" | "response_body" => {
            Some("bodies are not kept; `operation`, `login` and `error` are what is read from them")
        }
        _ => None,
    }
}

/// Names of signs.
pub(super) const SIGNS: [(&str, Signs); 16] = [
    ("scanner", Signs::SCANNER),
    ("traversal", Signs::TRAVERSAL),
    ("sql", Signs::SQL),
    ("script", Signs::SCRIPT),
    ("code", Signs::CODE),
    ("private_file", Signs::PRIVATE_FILE),
    ("proxy", Signs::PROXY),
    ("exploit_path", Signs::EXPLOIT_PATH),
    ("hidden", Signs::HIDDEN),
    ("query_credential", Signs::QUERY_CREDENTIAL),
    ("invalid_token", Signs::INVALID_TOKEN),
    ("expired_token", Signs::EXPIRED_TOKEN),
    ("insufficient_scope", Signs::SCOPE),
    ("stale", Signs::STALE),
    ("sets_session", Signs::SETS_SESSION),
    ("to_login", Signs::TO_LOGIN),
];

fn text<'a>(value: Option<&'a str>, with: &mut dyn FnMut(Value<'a>) -> bool) -> bool {
    value.is_some_and(|value| with(Value::Text(Cow::Borrowed(value))))
}

fn number<'a>(value: Option<u64>, with: &mut dyn FnMut(Value<'a>) -> bool) -> bool {
    value.is_some_and(|value| with(Value::Number(value)))
}

/// Empty text stands for what is not known.
fn known(value: &str) -> Option<&str> {
    Some(value).filter(|value| !value.is_empty())
}

/// Hour of the day.
const fn hour(call: &ApiCall) -> u64 {
    const HOUR_NS: u64 = 3_600_000_000_000;
    call.time_unix_ns / HOUR_NS % 24
}

macro_rules! fields {
    ($($name:literal [$($alias:literal)*] $kind:ident $about:literal $read:expr;)*) => {
        const FIELDS: &[Field] = &[$(Field {
            name: $name,
            aliases: &[$($alias),*],
            kind: Kind::$kind,
            about: $about,
            read: $read,
        }),*];
    };
}

fields! {
    "method" ["cs-method" "http.request.method"] Text "request method"
        |call, with| text(known(&call.method), with);
    "host" ["cs-host" "r-dns" "url.domain"] Text "authority asked for"
        |call, with| text(call.host.as_deref(), with);
    "path" ["cs-uri-stem" "url.path"] Text "path as sent, secrets replaced"
        |call, with| text(known(&call.path), with);
    "query" ["cs-uri-query" "c-uri-query" "url.query"] Text "query, its values replaced"
        |call, with| text(call.query.as_deref(), with);
    "uri" ["cs-uri" "c-uri"] Text "path and query"
        |call, with| match &call.query {
            Some(query) => with(Value::Text(Cow::Owned(format!("{}?{query}", call.path)))),
            None => text(known(&call.path), with),
        };
    "route" ["http.route"] Text "endpoint template"
        |call, with| text(call.route.as_deref(), with);
    "service" ["service.name"] Text "service"
        |call, with| text(call.service.as_deref(), with);
    "operation" [] Text "operation inside the URL (gRPC, GraphQL, SOAP, JSON-RPC, AWS)"
        |call, with| text(call.operation.as_deref(), with);
    "operations" [] Number "operations of a batch"
        |call, with| number(call.operations.map(u64::from), with);
    "protocol" ["cs-version"] Text "`http/1.1`, `h2`, `grpc`, …"
        |call, with| text(Some(call.protocol.as_str()), with);
    "scheme" ["c-uri-scheme" "cs-protocol" "url.scheme"] Text "`http` or `https`"
        |call, with| text(Some(call.scheme), with);
    "role" [] Text "`server`: the call came in; `client`: it went out"
        |call, with| text(Some(call.role.as_str()), with);
    "status" ["sc-status" "http.response.status_code"] Number "status of the response"
        |call, with| number(call.status.map(u64::from), with);
    "grpc_status" [] Number "`grpc-status`"
        |call, with| number(call.grpc_status.map(u64::from), with);
    "client" ["c-ip" "client.ip" "source.ip" "src_ip"] Address "address of the client"
        |call, with| call.client.is_some_and(|at| with(Value::Address(at.ip().to_canonical())));
    "server" ["s-ip" "server.ip" "destination.ip" "dst_ip"] Address "address of the server"
        |call, with| call.server.is_some_and(|at| with(Value::Address(at.ip().to_canonical())));
    "server_port" ["s-port" "server.port" "destination.port" "dst_port"] Number "port of the server"
        |call, with| number(call.server.map(|at| u64::from(at.port())), with);
    "process" ["process.name"] Text "name of the process at the end observed"
        |call, with| text(call.process.as_ref().map(|process| &*process.name), with);
    "pid" ["process.pid"] Number "its id"
        |call, with| number(call.process.as_ref().map(|process| u64::from(process.pid)), with);
    "exe" ["process.exe" "process.executable"] Text "its program"
        |call, with| text(call.process.as_ref().and_then(|process| process.exe.as_deref()), with);
    "container" ["process.container" "container.id"] Text "its container"
        |call, with| text(call.process.as_ref().and_then(|process| process.container.as_deref()), with);
    "unit" ["process.unit"] Text "its systemd unit"
        |call, with| text(call.process.as_ref().and_then(|process| process.unit.as_deref()), with);
    "identity" ["identity.id"] Text "name of the caller: user, subject, key id, or a fingerprint"
        |call, with| text(call.identity.as_ref().map(|identity| &*identity.id), with);
    "identity_kind" ["identity.kind"] Text "`jwt`, `basic`, `api_key`, `session`, `address`, …"
        |call, with| text(call.identity.as_ref().map(|identity| identity.kind.as_str()), with);
    "identity_source" ["identity.source"] Text "where the credential was sent, such as `header:authorization`"
        |call, with| text(call.identity.as_ref().map(|identity| &*identity.source), with);
    "fingerprint" ["identity.fingerprint"] Text "keyed fingerprint of the credential"
        |call, with| text(call.identities.iter().find_map(|identity| identity.fingerprint.as_deref()), with);
    "verified" ["identity.verified"] Text "`true`: the server took the credential; else the name is only claimed"
        |call, with| text(call.identity.as_ref().map(|identity| if identity.verified { "true" } else { "false" }), with);
    "issuer" ["identity.issuer"] Text "`iss` of a token"
        |call, with| call.identities.iter().any(|identity| {
            text(identity.claims.as_ref().and_then(|claims| claims.issuer.as_deref()), with)
        });
    "scope" ["identity.scopes"] Text "scopes of a token, each"
        |call, with| call.identities.iter().filter_map(|identity| identity.claims.as_ref()).any(|claims| {
            claims.scopes.iter().any(|scope| text(Some(scope), with))
        });
    "login" [] Text "who logs in, where the body says so"
        |call, with| text(call.login.as_deref(), with);
    "user" ["cs-username" "user.name"] Text "`login`, else `identity` where it is no address"
        |call, with| text(
            call.login.as_deref().or_else(|| {
                let named = |identity: &&std::sync::Arc<crate::call::Identity>| identity.kind != IdentityKind::Address;
                call.identity.as_ref().filter(named).map(|identity| &*identity.id)
            }),
            with,
        );
    "auth" ["auth.outcome" "event.outcome"] Text "what became of the credential: `success`, `failed`, `expired`, `denied`, …"
        |call, with| text(Some(call.auth.outcome.as_str()), with);
    "auth_scheme" ["auth.scheme"] Text "kind of credential: `none`, `basic`, `bearer`, `api_key`, …"
        |call, with| text(Some(call.auth.scheme.as_str()), with);
    "error" ["error.code"] Text "code of an error that a body tells"
        |call, with| text(call.body_error.as_ref().map(|error| &*error.code), with);
    "tls" ["tls.library"] Text "TLS library; no value in plaintext"
        |call, with| text(call.tls.as_ref().map(|tls| &*tls.library), with);
    "tls_version" ["tls.version"] Text "such as `TLSv1.3`"
        |call, with| {
            let hello = call.hello.as_ref().and_then(|hello| hello.version);
            let library = call.tls.as_ref().and_then(|tls| tls.version.as_deref());
            text(hello.map(TlsVersion::as_str).or(library), with)
        };
    "sni" ["tls.sni"] Text "host that the client asked for in its TLS hello"
        |call, with| text(call.hello.as_ref().and_then(|hello| hello.server_name.as_deref()), with);
    "resumed" ["tls.resumed"] Text "`yes` if the TLS connection goes on from an earlier one, `no` if not"
        |call, with| {
            let resumed = call.hello.as_ref().and_then(|hello| hello.resumed);
            text(resumed.map(|resumed| if resumed { "yes" } else { "no" }), with)
        };
    "flag" ["flags"] Text "what was odd, each: `conflicting_length`, `header_flood`, …"
        |call, with| call.flags.iter().any(|flag| text(Some(flag.as_str()), with));
    "sign" ["signs"] Text "what is telling, each: `scanner`, `traversal`, `sql`, `script`, `code`, `private_file`, `proxy`, `exploit_path`, `hidden`, `query_credential`, `invalid_token`, `expired_token`, `insufficient_scope`, `stale`, `sets_session`, `to_login`"
        |call, with| SIGNS.iter().any(|(name, sign)| call.signs.has(*sign) && text(Some(name), with));
    "duration_ms" ["duration" "time-taken"] Number "time of the call, milliseconds"
        |call, with| number(call.duration_ns.map(|duration| duration / 1_000_000), with);
    "request_bytes" ["cs-bytes"] Number "bytes of the request's body"
        |call, with| number(Some(call.request_bytes), with);
    "response_bytes" ["sc-bytes"] Number "bytes of the response's body"
        |call, with| number(Some(call.response_bytes), with);
    "hour" [] Number "hour of the day, UTC"
        |call, with| number(Some(hour(call)), with);
}

#[cfg(test)]
mod tests {
    use super::{Field, Value};
    use crate::catalog::sample;

    #[test]
    fn every_name_means_one_field() {
        let names: Vec<&str> = Field::all()
            .iter()
            .flat_map(|field| std::iter::once(&field.name).chain(field.aliases))
            .copied()
            .collect();
        for name in &names {
            assert_eq!(
                names.iter().filter(|other| *other == name).count(),
                1,
                "{name}"
            );
        }
        assert_eq!(Field::named("sc-status"), Field::named("status"));
        assert_eq!(Field::named("Status"), None);
    }

    #[test]
    fn a_field_that_the_call_does_not_have_has_no_value() {
        let call = sample::call("GET", "/a", None);
        let value = |name: &str| Field::named(name).unwrap().first(&call);
        assert_eq!(value("status"), None);
        assert_eq!(value("flag"), None);
        assert_eq!(value("user"), None);
        assert_eq!(value("client"), Some(Value::Address([192, 0, 2, 7].into())));
        assert_eq!(value("uri"), Some(Value::Text("/a".into())));
        assert_eq!(value("hour"), Some(Value::Number(10)));
    }

    #[test]
    fn the_fields_are_those_that_the_manual_lists() {
        let manual = include_str!("../../../deploy/rules/README.md");
        for field in Field::all() {
            let mut row = format!("| `{}` |", field.name);
            for (at, alias) in field.aliases.iter().enumerate() {
                row += if at == 0 { " " } else { ", " };
                row += &format!("`{alias}`");
            }
            row += &format!(" | {} |", field.about);
            assert!(
                manual.contains(&row),
                "deploy/rules/README.md lacks:\n{row}"
            );
        }
    }
}
