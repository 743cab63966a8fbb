//! What an endpoint usually sees: with a credential or without, from whom, how much.

use std::time::Duration;

use super::baseline::Baseline;
use super::crowd::Crowd;
use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::objects::Usual;
use super::rule::{
    CLEARTEXT_CREDENTIAL, CREDENTIAL_IN_URL, LONG_LIVED_TOKEN, NEW_CALLER, Rule,
    UNAUTHENTICATED_SUCCESS,
};
use super::settings::DetectSettings;
use crate::call::{AuthOutcome, AuthScheme, Signs};

/// Calls with a credential that show that an endpoint needs one.
const WITH: u64 = 50;
/// Calls of a sensitive endpoint before somebody can be new there.
const SETTLED: u64 = 50;
/// An endpoint with more callers is not one of few.
const FEW: usize = 20;
/// Callers are remembered for this.
const MONTH: u64 = 30 * 86_400 * 1_000_000_000;
/// Findings of one endpoint are repeated after this.
const REARM: u64 = 3600 * 1_000_000_000;
/// A token that is valid for longer than this outlives its purpose, seconds.
const LONG_S: i64 = 86_400;
/// Words in a path that only few have business with.
const SENSITIVE: [&str; 10] = [
    "admin",
    "administration",
    "internal",
    "management",
    "manage",
    "actuator",
    "debug",
    "root",
    "superuser",
    "impersonate",
];

/// What is known of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    with: u64,
    without: u64,
    sensitive: Option<bool>,
    callers: Distinct,
    calls: u64,
    told: u8,
    reported: u64,
    pub(super) crowd: Crowd,
    pub(super) usual: Usual,
    baseline: Baseline,
}

impl Endpoint {
    pub(super) fn push(
        &mut self,
        facts: &Facts<'_>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let call = facts.call;
        self.baseline.push(facts, settings, out);
        let answered =
            matches!(call.status, Some(200..=299)) && matches!(call.grpc_status, None | Some(0));
        if answered && !facts.login {
            if facts.accepted {
                self.with += 1;
                self.posture(facts, out);
                self.caller(facts, out);
            } else if call.auth.outcome == AuthOutcome::None
                && call.auth.scheme == AuthScheme::None
                && call.method != "OPTIONS"
            {
                self.without += 1;
                if self.with >= WITH
                    && self.without * 50 <= self.with
                    && facts.now.abs_diff(self.reported) >= REARM
                {
                    self.reported = facts.now;
                    let message = format!(
                        "{} of {} answered {} without a credential, after {} calls that all had one: its protection is off or was passed by",
                        facts.endpoint(),
                        facts.service(),
                        facts.client_text(),
                        self.with
                    );
                    out(facts.finding(UNAUTHENTICATED_SUCCESS, message));
                }
            }
        }
    }

    fn caller(&mut self, facts: &Facts<'_>, out: &mut impl FnMut(Finding)) {
        let sensitive = *self.sensitive.get_or_insert_with(|| {
            let path = facts.call.route.as_deref().unwrap_or_default();
            path.split('/')
                .any(|part| SENSITIVE.iter().any(|word| part.eq_ignore_ascii_case(word)))
        });
        let Some((account, name)) = facts.account.filter(|_| sensitive) else {
            return;
        };
        self.calls += 1;
        let (callers, new) = self.callers.add(account, facts.now, MONTH);
        if new && self.calls > SETTLED && callers <= FEW {
            let message = format!(
                "{} of {} answered to a caller that never asked before, from {}: only {} did until now",
                facts.endpoint(),
                facts.service(),
                facts.client_text(),
                callers - 1
            );
            out(Finding {
                identity: Some(name.into()),
                distinct: callers as u64,
                window: Duration::from_nanos(MONTH),
                ..facts.finding(NEW_CALLER, message)
            });
        }
    }

    /// How credentials are handled here; each told once.
    fn posture(&mut self, facts: &Facts<'_>, out: &mut impl FnMut(Finding)) {
        let (endpoint, service) = (facts.endpoint(), facts.service());
        let told = &mut self.told;
        let seen = *told;
        let mut tell = |bit: u8, rule: Rule, message: String| {
            if *told & bit == 0 {
                *told |= bit;
                out(Finding {
                    client: None,
                    ..facts.finding(rule, message)
                });
            }
        };
        // What was without TLS is the connection, to a proxy if that names the client.
        let peer = facts.call.peer.or(facts.call.client);
        let remote = peer.is_some_and(|peer| !peer.ip().to_canonical().is_loopback());
        if seen & 1 == 0 && facts.call.scheme == "http" && remote {
            tell(
                1,
                CLEARTEXT_CREDENTIAL,
                format!(
                    "credentials for {endpoint} of {service} are sent without TLS: who is on the way can read them"
                ),
            );
        }
        if seen & 2 == 0 && facts.call.signs.has(Signs::QUERY_CREDENTIAL) {
            tell(
                2,
                CREDENTIAL_IN_URL,
                format!(
                    "credentials for {endpoint} of {service} are part of the URL: logs, caches and histories keep them"
                ),
            );
        }
        let claims = facts
            .credential
            .and_then(|(_, identity)| identity.claims.as_deref());
        if seen & 4 == 0
            && let Some(claims) = claims
            && let (Some(issued), Some(expires)) = (claims.issued_s, claims.expires_s)
            && expires.saturating_sub(issued) > LONG_S
        {
            let hours = expires.saturating_sub(issued) / 3600;
            tell(
                4,
                LONG_LIVED_TOKEN,
                format!(
                    "tokens for {endpoint} of {service} are valid for {hours} hours: who steals one has it for long"
                ),
            );
        }
    }
}
