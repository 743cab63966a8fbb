//! Which endpoints are logins, and what they answer on failure: some say it with 200, some with a
//! redirect. Learned for each endpoint from what success looks like there.

use crate::call::{ApiCall, AuthOutcome, Signs};
use crate::recent::RecentHashes;

/// Login endpoints that are remembered; a host has a few.
const ENDPOINTS: usize = 1024;

/// Ends of a path segment that take a user's credentials.
const ENDS: [&str; 4] = ["login", "signin", "logon", "firstfactor"];
/// Whole segments, without extension, that do.
const SEGMENTS: [&str; 20] = [
    "sign-in",
    "sign_in",
    "log-in",
    "log_in",
    "authenticate",
    "authentication",
    "auth",
    "session",
    "sessions",
    "token",
    "j_security_check",
    "j_spring_security_check",
    "wp-login",
    "xmlrpc",
    "secondfactor",
    "otp",
    "totp",
    "mfa",
    "2fa",
    "two-factor",
];

/// What is known of the answers of one login endpoint, in calls.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    /// Redirects that lead on, not back to a login.
    led_on: u32,
    /// 2xx that set a session.
    sessions: u32,
    /// Refusals by status.
    refused: u32,
}

/// Learns what each login endpoint answers.
#[derive(Debug)]
pub(super) struct Logins {
    endpoints: RecentHashes<Evidence>,
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            endpoints: RecentHashes::of_hashes(ENDPOINTS),
        }
    }
}

impl Logins {
    /// What an answer means that refuses nothing by its status.
    pub(super) fn judge(&mut self, endpoint: u64, call: &ApiCall) -> AuthOutcome {
        let known = if let Some(known) = self.endpoints.get(&endpoint) {
            known
        } else {
            self.endpoints.insert(endpoint, Evidence::default());
            match self.endpoints.get(&endpoint) {
                Some(known) => known,
                None => return AuthOutcome::Unknown,
            }
        };
        match call.status {
            Some(300..=399) if call.signs.has(Signs::TO_LOGIN) => AuthOutcome::Failed,
            Some(302 | 303) => {
                known.led_on = known.led_on.saturating_add(1);
                AuthOutcome::Success
            }
            Some(200..=299) => {
                if known.led_on > 0 {
                    // Success leads on; this one shows the form again.
                    return AuthOutcome::Failed;
                }
                if call.signs.has(Signs::SETS_SESSION) {
                    known.sessions = known.sessions.saturating_add(1);
                    return AuthOutcome::Success;
                }
                if known.sessions > 0 {
                    return AuthOutcome::Failed;
                }
                if known.refused > 0 {
                    return AuthOutcome::Success;
                }
                AuthOutcome::Unknown
            }
            _ => AuthOutcome::Unknown,
        }
    }

    /// The endpoint refused by status: there, 2xx is success.
    pub(super) fn refused(&mut self, endpoint: u64) {
        if let Some(known) = self.endpoints.get(&endpoint) {
            known.refused = known.refused.saturating_add(1);
        } else {
            self.endpoints.insert(
                endpoint,
                Evidence {
                    refused: 1,
                    ..Evidence::default()
                },
            );
        }
    }
}

/// The call hands a user's credentials to an endpoint that takes them.
pub(super) fn is_login(call: &ApiCall) -> bool {
    if call.method != "POST" && call.method != "PUT" {
        return false;
    }
    if call.login.is_some() {
        return true;
    }
    if let Some(operation) = &call.operation {
        let name = operation.rsplit(['/', '.', ' ']).next().unwrap_or_default();
        if is_login_segment(name) {
            return true;
        }
    }
    let mut segments = call.path.rsplit('/').filter(|part| !part.is_empty());
    // `/auth` and the like name a folder as often: they count as the last segment only.
    segments.next().is_some_and(is_login_segment) || segments.take(3).any(ends_like_login)
}

fn is_login_segment(segment: &str) -> bool {
    let name = segment.split(['.', ';']).next().unwrap_or_default();
    if name.len() > 32 {
        return false;
    }
    SEGMENTS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        || ends_like_login(segment)
}

fn ends_like_login(segment: &str) -> bool {
    let name = segment.split(['.', ';']).next().unwrap_or_default();
    name.len() <= 32
        && ENDS.iter().any(|end| {
            name.len()
                .checked_sub(end.len())
                .and_then(|at| name.get(at..))
                .is_some_and(|found| found.eq_ignore_ascii_case(end))
        })
}

#[cfg(test)]
mod tests {
    use super::{Logins, is_login};
    use crate::call::{AuthOutcome, Signs};
    use crate::catalog::sample;

    #[test]
    fn logins_are_known_by_method_and_path() {
        for path in [
            "/login",
            "/api/v1/userLogin",
            "/users/sign_in",
            "/wp-login.php",
            "/oauth/token",
            "/auth",
            "/zm/api/host/login.json",
            "/a.Auth/Login",
            "/session",
        ] {
            assert!(is_login(&sample::call("POST", path, None)), "{path}");
            assert!(!is_login(&sample::call("GET", path, None)), "{path}");
        }
        for path in [
            "/",
            "/plugins",
            "/auth/users",
            "/logout",
            "/tokens/7/cards",
            "/v1/orders",
        ] {
            assert!(!is_login(&sample::call("POST", path, None)), "{path}");
        }
    }

    #[test]
    fn what_success_looks_like_tells_what_failure_is() {
        let call = |status, signs| {
            let mut call = sample::call("POST", "/login", Some(status));
            call.signs = signs;
            call
        };
        let mut logins = Logins::default();
        let again = call(200, Signs::NONE);
        assert_eq!(logins.judge(1, &again), AuthOutcome::Unknown);
        assert_eq!(
            logins.judge(1, &call(302, Signs::NONE)),
            AuthOutcome::Success
        );
        assert_eq!(logins.judge(1, &again), AuthOutcome::Failed);
        assert_eq!(
            logins.judge(1, &call(302, Signs::TO_LOGIN)),
            AuthOutcome::Failed
        );
        assert_eq!(
            logins.judge(2, &call(200, Signs::SETS_SESSION)),
            AuthOutcome::Success
        );
        assert_eq!(logins.judge(2, &again), AuthOutcome::Failed);
        logins.refused(3);
        assert_eq!(logins.judge(3, &again), AuthOutcome::Success);
    }
}
