//! What one credential is used for: where from, for how long, and past its time.

use std::net::IpAddr;
use std::time::Duration;

use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::outcome::is_expired;
use super::rule::{
    EXPIRED_TOKEN_ACCEPTED, Rule, SHARED_CREDENTIAL, TWO_PLACES, UNSIGNED_TOKEN_ACCEPTED,
};
use crate::call::IdentityKind;

const MINUTE: u64 = 60_000_000_000;
/// Networks are counted over this.
const WINDOW: u64 = 10 * MINUTE;
/// A credential of so many networks at once is shared, if it was of two at most before.
const NETWORKS: usize = 5;
/// Calls that show where a credential is at home.
const SETTLED_CALLS: u64 = 50;
/// Changes of place within the window: a phone that leaves the house changes once or twice.
const CHANGES: u32 = 4;

/// What is known of a credential.
#[derive(Debug, Default)]
pub(super) struct Credential {
    calls: u64,
    networks: Distinct,
    home: usize,
    last_network: u64,
    changes: u32,
    changes_since: u64,
    told: u8,
}

impl Credential {
    /// It was accepted before.
    pub(super) fn is_trusted(&self) -> bool {
        self.calls > 0
    }

    /// It was accepted.
    pub(super) fn accepted(&mut self, facts: &Facts<'_>, out: &mut impl FnMut(Finding)) {
        let Some((_, identity)) = facts.credential else {
            return;
        };
        self.calls += 1;
        let now = facts.now;
        let service = facts.service();
        let mut tell =
            |bit: u8, told: &mut u8, rule: Rule, message: String, count: u64, span: u64| {
                if *told & bit == 0 {
                    *told |= bit;
                    out(Finding {
                        identity: Some(identity.id.clone()),
                        count,
                        window: Duration::from_nanos(span),
                        ..facts.finding(rule, message)
                    });
                }
            };
        if let Some(claims) = &identity.claims {
            if is_expired(facts.call) {
                let message = format!(
                    "{service} accepted a token after its time: it does not check when tokens end"
                );
                tell(1, &mut self.told, EXPIRED_TOKEN_ACCEPTED, message, 1, 0);
            }
            if claims
                .algorithm
                .as_deref()
                .is_some_and(|alg| alg.eq_ignore_ascii_case("none"))
            {
                let message =
                    format!("{service} accepted a token without a signature: anyone can make one");
                tell(2, &mut self.told, UNSIGNED_TOKEN_ACCEPTED, message, 1, 0);
            }
        }
        let public = facts.source.is_some_and(|(address, _)| is_public(address));
        if !public {
            return;
        }
        let (networks, _) = self.networks.add(facts.network_key(), now, WINDOW);
        if self.calls <= SETTLED_CALLS {
            self.home = self.home.max(networks);
        } else if networks >= NETWORKS && self.home <= 2 {
            let message = format!(
                "a credential for {service} that was used from {} networks is used from {networks} within ten minutes: it was passed on or stolen",
                self.home.max(1)
            );
            tell(
                32,
                &mut self.told,
                SHARED_CREDENTIAL,
                message,
                networks as u64,
                WINDOW,
            );
        }
        if now.abs_diff(self.changes_since) > WINDOW {
            self.changes = 0;
            self.changes_since = now;
        }
        if self.last_network != 0 && self.last_network != facts.network_key() && networks <= 3 {
            self.changes += 1;
            let personal = matches!(
                identity.kind,
                IdentityKind::Session | IdentityKind::Jwt | IdentityKind::Token
            );
            if self.changes >= CHANGES && personal {
                let message = format!(
                    "one session of {service} is used from two places in turn, {} changes within ten minutes: someone else has it too",
                    self.changes
                );
                tell(
                    64,
                    &mut self.told,
                    TWO_PLACES,
                    message,
                    u64::from(self.changes),
                    WINDOW,
                );
            }
        }
        self.last_network = facts.network_key();
    }
}

/// An address of the Internet, not of a network of one's own.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_loopback() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}
