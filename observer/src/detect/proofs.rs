//! Whether a success proves that the server took the credential.

use std::hash::BuildHasher as _;

use crate::call::{ApiCall, AuthOutcome};
use crate::hashing::Keyed;
use crate::recent::RecentHashes;

/// Routes that answer anybody, of which are remembered so many.
const OPEN_ROUTES: usize = 8192;

/// Remembers which routes answer callers without any credential: success there proves nothing of
/// a credential that was sent, and a forged one would be believed.
#[derive(Debug)]
pub struct Proofs {
    /// By hash of service, method and route.
    open: RecentHashes<()>,
    hasher: Keyed,
}

impl Default for Proofs {
    fn default() -> Self {
        Self {
            open: RecentHashes::of_hashes(OPEN_ROUTES),
            hasher: Keyed::default(),
        }
    }
}

impl Proofs {
    /// Learns from a call whose outcome is known, and tells whether the names that it carries are
    /// verified by it.
    pub fn proves(&mut self, call: &ApiCall) -> bool {
        let Self { open, hasher } = self;
        let key = || hasher.hash_one((&call.service, &call.method, &call.route));
        match call.auth.outcome {
            AuthOutcome::None if matches!(call.status, Some(200..=299)) => {
                let key = key();
                if open.get(&key).is_none() {
                    open.insert(key, ());
                }
                false
            }
            AuthOutcome::Success => !call.identities.is_empty() && open.get(&key()).is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Proofs;
    use crate::call::{ApiCall, AuthOutcome, AuthScheme, Identity, IdentityKind};
    use crate::catalog::sample;
    use crate::detect::Judge;

    fn call(path: &str, status: u16, scheme: AuthScheme) -> ApiCall {
        let mut call = sample::call("GET", path, Some(status));
        call.route = Some(path.into());
        call.auth.scheme = scheme;
        call.auth.outcome = Judge::default().judge(&call);
        if scheme != AuthScheme::None {
            call.identities = vec![Arc::new(Identity {
                kind: IdentityKind::Basic,
                id: "ana".into(),
                fingerprint: None,
                earlier: None,
                class: None,
                source: "header:authorization".into(),
                verified: false,
                claims: None,
            })];
        }
        call
    }

    #[test]
    fn only_success_where_others_are_refused_proves_a_name() {
        let mut proofs = Proofs::default();
        let mut proves = |path, status, scheme| proofs.proves(&call(path, status, scheme));
        assert!(!proves("/a", 401, AuthScheme::None));
        assert!(!proves("/a", 401, AuthScheme::Basic));
        assert!(!proves("/a", 302, AuthScheme::Basic));
        assert!(proves("/a", 200, AuthScheme::Basic));
        // A route that answers everybody.
        assert!(!proves("/health", 200, AuthScheme::None));
        assert!(!proves("/health", 200, AuthScheme::Basic));
        let mut verified = call("/a", 200, AuthScheme::Basic);
        assert_eq!(verified.auth.outcome, AuthOutcome::Success);
        verified.verify_identities();
        assert!(verified.identity.is_some_and(|name| name.verified));
    }
}
