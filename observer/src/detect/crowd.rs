//! Failures of many at once: of one network, or at one endpoint.

use std::time::Duration;

use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::rate::Rate;
use super::rule::{CREDENTIAL_OUTAGE, CREDENTIAL_STUFFING};
use super::settings::DetectSettings;

/// Sources of an attack that is spread out come back within this.
const WINDOW: u64 = 600_000_000_000;
/// Sources and accounts that make an attack on an endpoint.
const SOURCES: usize = 20;
/// Sources of one network.
const NETWORK_SOURCES: usize = 5;
/// Sources or credentials that worked before and are refused: an outage.
const OUTAGE: usize = 10;

/// Who failed lately.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    accepted: Rate,
    refused: Rate,
    sources: Distinct,
    accounts: Distinct,
    withdrawn: Distinct,
    reported: u64,
    reported_outage: u64,
}

impl Crowd {
    pub(super) fn accepted(&mut self, now: u64) {
        self.accepted.add(now, WINDOW, 1);
    }

    /// A credential was refused. `network`: the crowd is a network, else an endpoint.
    pub(super) fn refused(
        &mut self,
        facts: &Facts<'_>,
        trusted: bool,
        network: Option<(std::net::IpAddr, u8)>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let now = facts.now;
        let window = Duration::from_nanos(WINDOW);
        if trusted {
            let what = facts.credential.map_or(0, |(key, _)| key) ^ facts.source_key();
            let (count, _) = self.withdrawn.add(what, now, WINDOW);
            if network.is_none() && count >= OUTAGE && now.abs_diff(self.reported_outage) >= WINDOW
            {
                self.reported_outage = now;
                let message = format!(
                    "{} refuses credentials of {count} callers that it accepted before: it is out of order, or they were rotated; no attack",
                    facts.service()
                );
                out(Finding {
                    client: None,
                    count: count as u64,
                    distinct: count as u64,
                    window,
                    ..facts.finding(CREDENTIAL_OUTAGE, message)
                });
            }
            return;
        }
        let refused = self.refused.add(now, WINDOW, 1);
        let (sources, _) = self.sources.add(facts.source_key(), now, WINDOW);
        let what = facts.caller_key();
        let accounts = match what {
            Some(key) => self.accounts.add(key, now, WINDOW).0,
            // A login whose account is not seen: each may be another one.
            None if facts.login => self.accounts.add(refused, now, WINDOW).0,
            None => return,
        };
        let (wanted_sources, wanted_accounts) = match network {
            Some(_) => (NETWORK_SOURCES, SOURCES / 2),
            None => (SOURCES, SOURCES),
        };
        let accepted = self.accepted.at(now, WINDOW);
        if sources >= wanted_sources
            && accounts >= wanted_accounts
            && settings.mostly_failures(refused, accepted)
            && now.abs_diff(self.reported) >= WINDOW
        {
            self.reported = now;
            let from = match network {
                Some((address, prefix)) => format!("the network {address}/{prefix}"),
                None => format!("{sources} or more sources"),
            };
            let message = format!(
                "{accounts} or more accounts of {} were tried from {from}, and {refused} of {} logins failed: leaked pairs are being tried",
                facts.service(),
                refused + accepted
            );
            out(Finding {
                client: network.map(|(address, _)| address),
                client_prefix: network.map_or(0, |(_, prefix)| prefix),
                count: refused,
                distinct: accounts as u64,
                window,
                ..facts.finding(CREDENTIAL_STUFFING, message)
            });
        }
    }
}
