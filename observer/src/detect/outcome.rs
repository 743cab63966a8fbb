//! What an answer says of the credential that was sent, or was not.

use std::hash::BuildHasher as _;

use super::login::{Logins, is_login};
use crate::call::{ApiCall, AuthOutcome, AuthScheme, BodyError, Flag, Signs};
use crate::hashing::Keyed;

/// A clock may be wrong by this before a token counts as expired, seconds (RFC 7519 §4.1.4).
pub(super) const LEEWAY_S: i64 = 60;

/// Words in the code of an error that say what became of the credential, in this order. Letters
/// only, lower case: codes are compared so.
const CODES: [(&str, AuthOutcome); 37] = [
    ("expired", AuthOutcome::Expired),
    ("tokenrefreshrequired", AuthOutcome::Expired),
    ("locked", AuthOutcome::Locked),
    ("disabled", AuthOutcome::Locked),
    ("throttl", AuthOutcome::Throttled),
    ("ratelimit", AuthOutcome::Throttled),
    ("ratelimited", AuthOutcome::Throttled),
    ("toomanyrequests", AuthOutcome::Throttled),
    ("requestlimitexceeded", AuthOutcome::Throttled),
    ("slowdown", AuthOutcome::Throttled),
    ("unauthorizedclient", AuthOutcome::Denied),
    ("insufficientscope", AuthOutcome::Denied),
    ("forbidden", AuthOutcome::Denied),
    ("accessdenied", AuthOutcome::Denied),
    ("permission", AuthOutcome::Denied),
    ("notauthorized", AuthOutcome::Denied),
    ("unauthenticated", AuthOutcome::Failed),
    ("unauthorized", AuthOutcome::Failed),
    ("notauthenticated", AuthOutcome::Failed),
    ("authenticationfail", AuthOutcome::Failed),
    ("authenticationrequired", AuthOutcome::Failed),
    ("authenticationerror", AuthOutcome::Failed),
    ("authfail", AuthOutcome::Failed),
    ("failedauthentication", AuthOutcome::Failed),
    ("invalidgrant", AuthOutcome::Failed),
    ("invalidclient", AuthOutcome::Failed),
    ("invalidtoken", AuthOutcome::Failed),
    ("invalidcredential", AuthOutcome::Failed),
    ("invalidsecurity", AuthOutcome::Failed),
    ("badcredential", AuthOutcome::Failed),
    ("wrongpassword", AuthOutcome::Failed),
    ("invalidpassword", AuthOutcome::Failed),
    ("loginfail", AuthOutcome::Failed),
    ("signaturedoesnotmatch", AuthOutcome::Failed),
    ("invalidaccesskeyid", AuthOutcome::Failed),
    ("unrecognizedclient", AuthOutcome::Failed),
    ("incompletesignature", AuthOutcome::Failed),
];

/// Reads outcomes. Learns what each login endpoint answers.
#[derive(Debug, Default)]
pub struct Judge {
    logins: Logins,
    hasher: Keyed,
}

impl Judge {
    /// The outcome of a call that the catalog has named.
    pub fn judge(&mut self, call: &ApiCall) -> AuthOutcome {
        let outcome = read(call);
        if matches!(call.auth.scheme, AuthScheme::None | AuthScheme::Cookie) && is_login(call) {
            return self.login(call, outcome);
        }
        outcome
    }

    /// The credentials were in the body.
    fn login(&mut self, call: &ApiCall, outcome: AuthOutcome) -> AuthOutcome {
        let endpoint = self.hasher.hash_one((&call.service, &call.route));
        if call.body_error.is_some()
            && matches!(
                outcome,
                AuthOutcome::Failed
                    | AuthOutcome::Missing
                    | AuthOutcome::Challenge
                    | AuthOutcome::None
                    | AuthOutcome::Success
            )
        {
            return AuthOutcome::Failed;
        }
        match call.status {
            Some(400 | 401 | 403 | 422) if call.grpc_status.is_none() => {
                self.logins.refused(endpoint);
                AuthOutcome::Failed
            }
            Some(200..=399) if call.grpc_status.is_none() && outcome != AuthOutcome::Unknown => {
                self.logins.judge(endpoint, call)
            }
            _ => match (call.grpc_status, outcome) {
                (Some(16), _) => AuthOutcome::Failed,
                (Some(0), _) => AuthOutcome::Success,
                _ => outcome,
            },
        }
    }
}

/// Reads the outcome from what one call alone says. Where fields are not known, there may have
/// been a credential.
fn read(call: &ApiCall) -> AuthOutcome {
    let scheme = call.auth.scheme;
    let sent = scheme != AuthScheme::None;
    if !sent && call.flags.contains(&Flag::UnknownFields) {
        return AuthOutcome::Unknown;
    }
    if let Some(said) = call.body_error.as_deref().and_then(said) {
        return refusal(call, said);
    }
    let status = match call.grpc_status {
        None | Some(0) => call.status,
        Some(16) => Some(401),
        Some(7) => Some(403),
        Some(8) => Some(429),
        // It ran and failed, or did not run: nothing of the credential.
        Some(_) => Some(500),
    };
    outcome(call, status)
}

/// What the code of an error in a body says of the credential.
fn said(error: &BodyError) -> Option<AuthOutcome> {
    let mut letters = [0_u8; 64];
    let mut length = 0;
    for byte in error.code.bytes().filter(u8::is_ascii_alphanumeric) {
        let Some(place) = letters.get_mut(length) else {
            break;
        };
        *place = byte.to_ascii_lowercase();
        length += 1;
    }
    let code = letters.get(..length)?;
    match code {
        b"401" | b"16" => return Some(AuthOutcome::Failed),
        b"403" | b"7" => return Some(AuthOutcome::Denied),
        b"429" => return Some(AuthOutcome::Throttled),
        _ => {}
    }
    CODES
        .iter()
        .find(|(word, _)| memchr::memmem::find(code, word.as_bytes()).is_some())
        .map(|(_, outcome)| *outcome)
}

/// A refusal is a failure only if something was sent to refuse.
fn refusal(call: &ApiCall, said: AuthOutcome) -> AuthOutcome {
    match said {
        AuthOutcome::Failed if is_expired(call) => AuthOutcome::Expired,
        AuthOutcome::Failed if call.auth.scheme == AuthScheme::None && !is_login(call) => {
            if call.auth.challenged {
                AuthOutcome::Challenge
            } else {
                AuthOutcome::Missing
            }
        }
        said => said,
    }
}

/// The token says itself that its time was over.
pub(super) fn is_expired(call: &ApiCall) -> bool {
    let now_s = i64::try_from(call.time_unix_ns / 1_000_000_000).unwrap_or(i64::MAX);
    call.identities
        .iter()
        .filter_map(|identity| identity.claims.as_ref()?.expires_s)
        .any(|expires| expires.saturating_add(LEEWAY_S) < now_s)
}

/// Reads the outcome from the kind of credential sent, whether the answer carried
/// `WWW-Authenticate` or `Proxy-Authenticate`, and its status (RFC 9110 §11, §15.5; RFC 6585 §4).
///
/// - 401 and 407 without a credential for the party that asks are a challenge. A credential for
///   the origin does not answer a proxy's 407, nor one for the proxy an origin's 401.
/// - Negotiate and NTLM need several legs (RFC 4559 §4): a 401 that challenges again may be the
///   middle of a handshake that succeeds, so it counts as a challenge. So does a Digest whose
///   nonce is stale.
/// - A session cookie is not what `WWW-Authenticate` asks for, so that too is a challenge.
/// - A redirect says nothing of the credential: it may lead to a login page as well as to the goal.
/// - 419 and 440 are what frameworks say of a session that is over, 498 and 499 what some say of a
///   token that is not good, or is missing.
fn outcome(call: &ApiCall, status: Option<u16>) -> AuthOutcome {
    let (scheme, challenged) = (call.auth.scheme, call.auth.challenged);
    let sent = scheme != AuthScheme::None;
    match status {
        None => AuthOutcome::Unknown,
        Some(401) => match scheme {
            AuthScheme::None if challenged => AuthOutcome::Challenge,
            AuthScheme::None => AuthOutcome::Missing,
            AuthScheme::Proxy => AuthOutcome::Challenge,
            AuthScheme::Negotiate | AuthScheme::Cookie if challenged => AuthOutcome::Challenge,
            _ if call.signs.has(Signs::STALE) => AuthOutcome::Challenge,
            _ if call.signs.has(Signs::EXPIRED_TOKEN) || is_expired(call) => AuthOutcome::Expired,
            _ => AuthOutcome::Failed,
        },
        Some(407) => match scheme {
            AuthScheme::Proxy => AuthOutcome::Failed,
            _ => AuthOutcome::Challenge,
        },
        Some(403) => AuthOutcome::Denied,
        Some(423) => AuthOutcome::Locked,
        Some(429) => AuthOutcome::Throttled,
        Some(419 | 440) => AuthOutcome::Expired,
        Some(498) if !sent => AuthOutcome::Missing,
        Some(498) if is_expired(call) => AuthOutcome::Expired,
        Some(498) => AuthOutcome::Failed,
        Some(499) if !sent => AuthOutcome::Missing,
        Some(511) => AuthOutcome::Challenge,
        Some(_) if !sent => AuthOutcome::None,
        Some(100..=299 | 304) => AuthOutcome::Success,
        Some(_) => AuthOutcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{Judge, read};
    use crate::call::{
        ApiCall, AuthOutcome, AuthScheme, BodyError, Claims, ErrorSource, Flag, Identity,
        IdentityKind, Signs,
    };
    use crate::catalog::sample;
    use std::sync::Arc;

    fn outcome(scheme: AuthScheme, challenged: bool, status: Option<u16>) -> AuthOutcome {
        let mut call = sample::call("GET", "/", status);
        call.auth.scheme = scheme;
        call.auth.challenged = challenged;
        read(&call)
    }

    fn with_code(source: ErrorSource, code: &str, status: u16) -> ApiCall {
        let mut call = sample::call("POST", "/graphql", Some(status));
        call.auth.scheme = AuthScheme::Bearer;
        call.body_error = Some(Box::new(BodyError {
            source,
            code: code.into(),
        }));
        call
    }

    fn expiring(seconds_ago: i64) -> Arc<Identity> {
        let now =
            i64::try_from(sample::call("GET", "/", None).time_unix_ns / 1_000_000_000).unwrap();
        Arc::new(Identity {
            kind: IdentityKind::Jwt,
            id: "alice".into(),
            fingerprint: Some("f".into()),
            earlier: None,
            class: None,
            source: "header:authorization".into(),
            verified: false,
            claims: Some(Arc::new(Claims {
                expires_s: Some(now - seconds_ago),
                ..Claims::default()
            })),
        })
    }

    #[test]
    fn a_grpc_status_says_more_than_the_200_around_it() {
        let mut call = sample::call("POST", "/a.B/C", Some(200));
        call.auth.scheme = AuthScheme::Bearer;
        for (status, expected) in [
            (None, AuthOutcome::Success),
            (Some(0), AuthOutcome::Success),
            (Some(16), AuthOutcome::Failed),
            (Some(7), AuthOutcome::Denied),
            (Some(8), AuthOutcome::Throttled),
            (Some(5), AuthOutcome::Unknown),
        ] {
            call.grpc_status = status;
            assert_eq!(read(&call), expected, "{status:?}");
        }
    }

    #[test]
    fn where_fields_are_unknown_so_is_the_outcome() {
        let mut call = sample::call("GET", "/", Some(401));
        assert_eq!(read(&call), AuthOutcome::Missing);
        call.flags = vec![Flag::UnknownFields];
        assert_eq!(read(&call), AuthOutcome::Unknown);
    }

    #[test]
    fn a_401_is_a_failure_only_if_a_credential_was_refused() {
        use AuthScheme::{ApiKey, Basic, Bearer, Cookie, Digest, Negotiate, None};
        assert_eq!(outcome(None, true, Some(401)), AuthOutcome::Challenge);
        assert_eq!(outcome(None, false, Some(401)), AuthOutcome::Missing);
        for scheme in [Basic, Bearer, Digest, ApiKey] {
            assert_eq!(outcome(scheme, true, Some(401)), AuthOutcome::Failed);
            assert_eq!(outcome(scheme, false, Some(401)), AuthOutcome::Failed);
        }
        assert_eq!(outcome(Cookie, false, Some(401)), AuthOutcome::Failed);
        assert_eq!(outcome(Cookie, true, Some(401)), AuthOutcome::Challenge);
        assert_eq!(outcome(Negotiate, true, Some(401)), AuthOutcome::Challenge);
        assert_eq!(outcome(Negotiate, false, Some(401)), AuthOutcome::Failed);
    }

    #[test]
    fn proxy_and_origin_are_told_apart() {
        use AuthScheme::{Basic, Proxy};
        assert_eq!(outcome(Proxy, true, Some(407)), AuthOutcome::Failed);
        assert_eq!(outcome(Basic, true, Some(407)), AuthOutcome::Challenge);
        assert_eq!(outcome(Proxy, true, Some(401)), AuthOutcome::Challenge);
    }

    #[test]
    fn other_statuses_say_only_what_they_say() {
        let basic = |status| outcome(AuthScheme::Basic, false, status);
        let none = |status| outcome(AuthScheme::None, false, status);
        for (status, expected) in [
            (Some(200), AuthOutcome::Success),
            (Some(101), AuthOutcome::Success),
            (Some(304), AuthOutcome::Success),
            (Some(302), AuthOutcome::Unknown),
            (Some(404), AuthOutcome::Unknown),
            (Some(500), AuthOutcome::Unknown),
            (None, AuthOutcome::Unknown),
            (Some(498), AuthOutcome::Failed),
        ] {
            assert_eq!(basic(status), expected, "{status:?}");
        }
        assert_eq!(none(Some(200)), AuthOutcome::None);
        assert_eq!(none(Some(500)), AuthOutcome::None);
        assert_eq!(none(None), AuthOutcome::Unknown);
        assert_eq!(none(Some(498)), AuthOutcome::Missing);
        assert_eq!(none(Some(511)), AuthOutcome::Challenge);
        for (status, expected) in [
            (403, AuthOutcome::Denied),
            (429, AuthOutcome::Throttled),
            (423, AuthOutcome::Locked),
            (419, AuthOutcome::Expired),
            (440, AuthOutcome::Expired),
        ] {
            assert_eq!(basic(Some(status)), expected);
            assert_eq!(none(Some(status)), expected);
        }
    }

    #[test]
    fn an_expired_token_is_no_failure() {
        let mut call = sample::call("GET", "/", Some(401));
        call.auth.scheme = AuthScheme::Bearer;
        call.identities = vec![expiring(3600)];
        assert_eq!(read(&call), AuthOutcome::Expired);
        call.identities = vec![expiring(-3600)];
        assert_eq!(read(&call), AuthOutcome::Failed);
        call.signs = Signs::INVALID_TOKEN | Signs::EXPIRED_TOKEN;
        assert_eq!(read(&call), AuthOutcome::Expired);
        call.signs = Signs::STALE;
        assert_eq!(read(&call), AuthOutcome::Challenge);
    }

    #[test]
    fn errors_in_a_body_count_whatever_the_status() {
        use ErrorSource::{Aws, GraphQl, JsonRpc, OAuth, Soap};
        for (source, code, status, expected) in [
            (GraphQl, "UNAUTHENTICATED", 200, AuthOutcome::Failed),
            (GraphQl, "FORBIDDEN", 200, AuthOutcome::Denied),
            (GraphQl, "BAD_USER_INPUT", 200, AuthOutcome::Success),
            (OAuth, "invalid_grant", 400, AuthOutcome::Failed),
            (OAuth, "invalid_client", 401, AuthOutcome::Failed),
            (OAuth, "unauthorized_client", 400, AuthOutcome::Denied),
            (OAuth, "slow_down", 400, AuthOutcome::Throttled),
            (OAuth, "authorization_pending", 400, AuthOutcome::Unknown),
            (Soap, "wsse:FailedAuthentication", 500, AuthOutcome::Failed),
            (Soap, "wsse:MessageExpired", 500, AuthOutcome::Expired),
            (JsonRpc, "401", 200, AuthOutcome::Failed),
            (Aws, "SignatureDoesNotMatch", 403, AuthOutcome::Failed),
            (Aws, "InvalidAccessKeyId", 403, AuthOutcome::Failed),
            (Aws, "ExpiredToken", 400, AuthOutcome::Expired),
            (Aws, "AccessDenied", 403, AuthOutcome::Denied),
            (Aws, "ThrottlingException", 400, AuthOutcome::Throttled),
        ] {
            assert_eq!(read(&with_code(source, code, status)), expected, "{code}");
        }
        let mut nothing_sent = with_code(GraphQl, "UNAUTHENTICATED", 200);
        nothing_sent.auth.scheme = AuthScheme::None;
        assert_eq!(read(&nothing_sent), AuthOutcome::Missing);
    }

    #[test]
    fn a_login_that_is_refused_is_a_failure_though_its_credentials_were_in_the_body() {
        let mut judge = Judge::default();
        let mut login = sample::call("POST", "/login", Some(401));
        assert_eq!(judge.judge(&login), AuthOutcome::Failed);
        login.status = Some(200);
        assert_eq!(judge.judge(&login), AuthOutcome::Success);
        login.body_error = Some(Box::new(BodyError {
            source: ErrorSource::Json,
            code: "".into(),
        }));
        assert_eq!(judge.judge(&login), AuthOutcome::Failed);
        login.body_error = None;
        login.status = Some(302);
        login.signs = Signs::TO_LOGIN;
        assert_eq!(judge.judge(&login), AuthOutcome::Failed);
    }
}
