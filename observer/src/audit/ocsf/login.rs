//! Logins: calls to an endpoint where credentials are given for a session or a token. Each has a
//! record of its own, OCSF Authentication (3002), beside that of the call.

use std::fmt::Write as _;

use super::Ocsf;
use crate::audit::record_head::{AUTHENTICATION, RecordHead};
use crate::call::{ApiCall, AuthOutcome, AuthScheme, ErrorSource, IdentityKind, Role};

/// Last segments of paths at which people and programs log in, lower case, without `-` and `_`,
/// and without an ending such as `.php`.
const LOGIN_WORDS: [&str; 13] = [
    "login",
    "logon",
    "signin",
    "wplogin",
    "authenticate",
    "authentication",
    "authtoken",
    "accesstoken",
    "session",
    "sessions",
    "usersession",
    "dologin",
    "logincheck",
];
/// Those that mean a login only below one of [`TOKEN_PARENTS`].
const TOKEN_WORDS: [&str; 3] = ["token", "tokens", "password"];
/// What a token endpoint lies under.
const TOKEN_PARENTS: [&str; 7] = [
    "oauth",
    "oauth2",
    "openidconnect",
    "connect",
    "auth",
    "identity",
    "jwt",
];

/// Whether the call gives credentials for a session or a token.
pub(in crate::audit) fn is_login(call: &ApiCall) -> bool {
    /// Bytes of a segment that could be one of the words.
    const MOST: usize = 32;
    if call.method != "POST" || call.role != Role::Server {
        return false;
    }
    // An answer that speaks OAuth is one of a token endpoint, or refuses a bearer token.
    let oauth = call
        .body_error
        .as_ref()
        .is_some_and(|error| error.source == ErrorSource::OAuth);
    if oauth && call.auth.scheme != AuthScheme::Bearer {
        return true;
    }
    let plain = |segment: &str| -> String {
        if segment.len() > MOST {
            return String::new();
        }
        let name = segment.split('.').next().unwrap_or_default();
        name.chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let mut segments = call.path.trim_end_matches('/').rsplit('/').map(plain);
    let last = segments.next().unwrap_or_default();
    if LOGIN_WORDS.contains(&last.as_str()) {
        return true;
    }
    TOKEN_WORDS.contains(&last.as_str())
        && segments
            .take(3)
            .any(|segment| TOKEN_PARENTS.contains(&segment.as_str()))
}

/// Whether a login succeeded (1) or failed (2), if the answer tells (else 0): a form that is
/// answered with a redirect leads to the start page or back to the form.
fn status_id(call: &ApiCall) -> u8 {
    match (call.auth.outcome, call.status) {
        (AuthOutcome::Failed | AuthOutcome::Denied | AuthOutcome::Throttled, _)
        | (_, Some(400..)) => 2,
        _ if call.body_error.is_some() => 2,
        (_, Some(200..=299)) => 1,
        _ => 0,
    }
}

impl Ocsf {
    /// The second record of a call that is a login: `index` is its own, `call_index` that of the
    /// call. `None` for any other call.
    pub fn login(
        &mut self,
        call: &ApiCall,
        index: u64,
        call_index: u64,
    ) -> Option<(RecordHead, &str)> {
        if !is_login(call) {
            return None;
        }
        let head = RecordHead {
            time_ms: call.time_unix_ns / 1_000_000,
            class: AUTHENTICATION,
            status: call.status,
        };
        self.start(&head);
        let status_id = status_id(call);
        let severity = if status_id == 2 { 2 } else { 1 };
        let _ = write!(
            self.out,
            ",\"category_uid\":3,\"activity_id\":1,\"type_uid\":{},\"severity_id\":{severity},\"status_id\":{status_id}",
            AUTHENTICATION * 100 + 1
        );
        if let Some(error) = call.body_error.as_ref().filter(|e| !e.code.is_empty()) {
            self.text(",\"status_detail\":", &error.code);
        } else {
            self.text(",\"status_detail\":", call.auth.outcome.as_str());
        }
        self.raw(",");
        match &call.identity {
            Some(identity)
                if !matches!(identity.kind, IdentityKind::Address | IdentityKind::Session) =>
            {
                self.user(identity);
            }
            // The schema wants a user; that it is not known must be said.
            _ => self.raw("\"user\":{\"name\":\"unknown\",\"type_id\":0}"),
        }
        let (protocol, name) = match call.auth.scheme {
            AuthScheme::Basic => (11, "Basic"),
            AuthScheme::Digest => (3, "Digest"),
            AuthScheme::Negotiate => (2, "Negotiate"),
            AuthScheme::None | AuthScheme::Cookie => (99, "form or body"),
            scheme => (99, scheme.as_str()),
        };
        let _ = write!(self.out, ",\"auth_protocol_id\":{protocol}");
        self.text(",\"auth_protocol\":", name);
        let _ = write!(
            self.out,
            ",\"logon_type_id\":3,\"is_remote\":true,\"is_cleartext\":{}",
            call.scheme == "http"
        );
        self.endpoint("src_endpoint", call.client.as_ref(), None);
        self.endpoint(
            "dst_endpoint",
            call.server.as_ref(),
            call.service.as_deref(),
        );
        if let Some(service) = &call.service {
            self.text(",\"service\":{\"name\":", service);
            self.raw("}");
        }
        self.text(",\"http_request\":{\"http_method\":", &call.method);
        self.text(",\"url\":{\"scheme\":", call.scheme);
        self.optional(",\"hostname\":", call.host.as_deref());
        self.text(",\"path\":", &call.path);
        self.raw("}}");
        if let Some(status) = call.status {
            let _ = write!(self.out, ",\"http_response\":{{\"code\":{status}}}");
        }
        self.raw(",\"unmapped\":{\"role\":\"server\"");
        self.optional(",\"route\":", call.route.as_deref());
        let _ = write!(self.out, ",\"call_sequence\":{call_index}");
        self.identities(call);
        self.raw("}");
        self.finish(index);
        Some((head, &self.out))
    }
}

#[cfg(test)]
mod tests {
    use super::is_login;
    use crate::catalog::sample;

    #[test]
    fn logins_are_told_by_method_and_path() {
        for path in [
            "/login",
            "/api/v1/sign-in",
            "/wp-login.php",
            "/oauth2/token",
            "/realms/x/protocol/openid-connect/token",
            "/v3/auth/tokens",
            "/Session/",
        ] {
            assert!(is_login(&sample::call("POST", path, Some(200))), "{path}");
        }
        for path in ["/", "/logins", "/orders/token", "/login/help", "/v1/items"] {
            assert!(!is_login(&sample::call("POST", path, Some(200))), "{path}");
        }
        assert!(!is_login(&sample::call("GET", "/login", Some(200))));
    }
}
