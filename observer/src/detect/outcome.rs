//! What an answer says of the credential that was sent, or was not.

use crate::call::{ApiCall, AuthOutcome, AuthScheme, Flag};

/// Reads the outcome of a call. A gRPC status, where there is one, says what the HTTP status
/// does not (`UNAUTHENTICATED`, `PERMISSION_DENIED`). Where fields are not known, there may have
/// been a credential.
pub fn judge(call: &ApiCall) -> AuthOutcome {
    let scheme = call.auth.scheme;
    if scheme == AuthScheme::None && call.flags.contains(&Flag::UnknownFields) {
        return AuthOutcome::Unknown;
    }
    let status = match call.grpc_status {
        None | Some(0) => call.status,
        Some(16) => Some(401),
        Some(7) => Some(403),
        // It ran and failed, or did not run: nothing of the credential.
        Some(_) => Some(500),
    };
    outcome(scheme, call.auth.challenged, status)
}

/// Reads the outcome from the kind of credential sent, whether the answer carried
/// `WWW-Authenticate` or `Proxy-Authenticate`, and its status (RFC 9110 §11, §15.5; RFC 6585 §4).
///
/// - 401 and 407 without a credential for the party that asks are a challenge. A credential for
///   the origin does not answer a proxy's 407, nor one for the proxy an origin's 401.
/// - Negotiate and NTLM need several legs (RFC 4559 §4): a 401 that challenges again may be the
///   middle of a handshake that succeeds, so it counts as a challenge.
/// - A session cookie is not what `WWW-Authenticate` asks for, so that too is a challenge.
/// - A redirect says nothing of the credential: it may lead to a login page as well as to the goal.
fn outcome(scheme: AuthScheme, challenged: bool, status: Option<u16>) -> AuthOutcome {
    let sent = scheme != AuthScheme::None;
    match status {
        None => AuthOutcome::Unknown,
        Some(401) => match scheme {
            AuthScheme::None | AuthScheme::Proxy => AuthOutcome::Challenge,
            AuthScheme::Negotiate | AuthScheme::Cookie if challenged => AuthOutcome::Challenge,
            _ => AuthOutcome::Failed,
        },
        Some(407) => match scheme {
            AuthScheme::Proxy => AuthOutcome::Failed,
            _ => AuthOutcome::Challenge,
        },
        Some(403) => AuthOutcome::Denied,
        Some(429) => AuthOutcome::Throttled,
        Some(_) if !sent => AuthOutcome::None,
        Some(100..=299 | 304) => AuthOutcome::Success,
        Some(_) => AuthOutcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{judge, outcome};
    use crate::call::{AuthOutcome, AuthScheme, Flag};
    use crate::catalog::sample;

    #[test]
    fn a_grpc_status_says_more_than_the_200_around_it() {
        let mut call = sample::call("POST", "/a.B/C", Some(200));
        call.auth.scheme = AuthScheme::Bearer;
        for (status, expected) in [
            (None, AuthOutcome::Success),
            (Some(0), AuthOutcome::Success),
            (Some(16), AuthOutcome::Failed),
            (Some(7), AuthOutcome::Denied),
            (Some(5), AuthOutcome::Unknown),
        ] {
            call.grpc_status = status;
            assert_eq!(judge(&call), expected, "{status:?}");
        }
    }

    #[test]
    fn where_fields_are_unknown_so_is_the_outcome() {
        let mut call = sample::call("GET", "/", Some(401));
        assert_eq!(judge(&call), AuthOutcome::Challenge);
        call.flags = vec![Flag::UnknownFields];
        assert_eq!(judge(&call), AuthOutcome::Unknown);
    }

    #[test]
    fn a_401_is_a_failure_only_if_a_credential_was_refused() {
        assert_eq!(
            outcome(AuthScheme::None, true, Some(401)),
            AuthOutcome::Challenge
        );
        assert_eq!(
            outcome(AuthScheme::None, false, Some(401)),
            AuthOutcome::Challenge
        );
        for scheme in [
            AuthScheme::Basic,
            AuthScheme::Bearer,
            AuthScheme::Digest,
            AuthScheme::ApiKey,
        ] {
            assert_eq!(outcome(scheme, true, Some(401)), AuthOutcome::Failed);
            assert_eq!(outcome(scheme, false, Some(401)), AuthOutcome::Failed);
        }
        assert_eq!(
            outcome(AuthScheme::Cookie, false, Some(401)),
            AuthOutcome::Failed
        );
        assert_eq!(
            outcome(AuthScheme::Cookie, true, Some(401)),
            AuthOutcome::Challenge
        );
        assert_eq!(
            outcome(AuthScheme::Negotiate, true, Some(401)),
            AuthOutcome::Challenge
        );
        assert_eq!(
            outcome(AuthScheme::Negotiate, false, Some(401)),
            AuthOutcome::Failed
        );
    }

    #[test]
    fn proxy_and_origin_are_told_apart() {
        assert_eq!(
            outcome(AuthScheme::Proxy, true, Some(407)),
            AuthOutcome::Failed
        );
        assert_eq!(
            outcome(AuthScheme::Basic, true, Some(407)),
            AuthOutcome::Challenge
        );
        assert_eq!(
            outcome(AuthScheme::Proxy, true, Some(401)),
            AuthOutcome::Challenge
        );
    }

    #[test]
    fn other_statuses_say_only_what_they_say() {
        let basic = |status| outcome(AuthScheme::Basic, false, status);
        let none = |status| outcome(AuthScheme::None, false, status);
        assert_eq!(basic(Some(200)), AuthOutcome::Success);
        assert_eq!(basic(Some(101)), AuthOutcome::Success);
        assert_eq!(basic(Some(304)), AuthOutcome::Success);
        assert_eq!(basic(Some(302)), AuthOutcome::Unknown);
        assert_eq!(basic(Some(404)), AuthOutcome::Unknown);
        assert_eq!(basic(Some(500)), AuthOutcome::Unknown);
        assert_eq!(basic(None), AuthOutcome::Unknown);
        assert_eq!(none(Some(200)), AuthOutcome::None);
        assert_eq!(none(Some(500)), AuthOutcome::None);
        assert_eq!(none(None), AuthOutcome::Unknown);
        for scheme in [AuthScheme::None, AuthScheme::Basic] {
            assert_eq!(outcome(scheme, false, Some(403)), AuthOutcome::Denied);
            assert_eq!(outcome(scheme, false, Some(429)), AuthOutcome::Throttled);
        }
    }
}
