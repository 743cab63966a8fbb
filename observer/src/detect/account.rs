//! What happens to one account of a service, whoever asks.

use std::time::Duration;

use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::rate::Rate;
use super::rule::{BRUTE_FORCE, Rule, SLOW_BRUTE_FORCE, SUCCESS_AFTER_FAILURES};
use super::settings::DetectSettings;

const HOUR: u64 = 3_600_000_000_000;
const DAY: u64 = 24 * HOUR;
/// As for a source.
const REARM: u64 = HOUR / 12;

/// Refusals of one account.
#[derive(Debug, Default)]
pub(super) struct Account {
    blind: Rate,
    credentials: Distinct,
    sources: Distinct,
    slow: Rate,
    reported: u64,
    reported_slow: u64,
    /// The last finding that guesses are made.
    guessed: u64,
    guesses: u64,
}

impl Account {
    /// A credential for the account was refused. `trusted`: it worked before.
    pub(super) fn refused(
        &mut self,
        facts: &Facts<'_>,
        trusted: bool,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let Some((_, account)) = facts.account else {
            return;
        };
        if trusted {
            return;
        }
        let (now, window) = (facts.now, settings.window_ns());
        let mut new = true;
        let mut known = 0;
        if let Some((credential, _)) = facts.credential {
            (known, new) = self.credentials.add(credential, now, window);
        } else {
            self.blind.add(now, window, 1);
        }
        let sources = self.sources.add(facts.source_key(), now, window).0;
        let guesses = self.blind.at(now, window) + known as u64;
        self.guesses = self.guesses.max(guesses);
        // One source alone is told by what the source does; the account's own rule needs more.
        let wanted = if sources > 1 {
            u64::from(settings.auth_failures)
        } else {
            u64::from(settings.auth_failures) * 2
        };
        let finding = |rule: Rule, count: u64, window: Duration, message: String| Finding {
            identity: Some(account.into()),
            count,
            distinct: sources as u64,
            window,
            ..facts.finding(rule, message)
        };
        let service = facts.service();
        if guesses >= wanted && now.abs_diff(self.reported) >= REARM {
            self.reported = now;
            self.guessed = now;
            let from = if sources == 1 {
                "one source"
            } else {
                "several sources"
            };
            let message = format!(
                "{guesses} different credentials for one account of {service} were refused within {} s, from {from}: its password is being guessed",
                settings.auth_window.as_secs()
            );
            out(finding(BRUTE_FORCE, guesses, settings.auth_window, message));
        }
        if new {
            let slow = self.slow.add(now, DAY, 1);
            if slow >= u64::from(settings.slow_failures)
                && now.abs_diff(self.reported) >= DAY / 4
                && now.abs_diff(self.reported_slow) >= DAY / 4
            {
                self.reported_slow = now;
                self.guessed = now;
                self.guesses = self.guesses.max(slow);
                let message = format!(
                    "{slow} credentials for one account of {service} were refused within a day, too slowly for a burst: its password is being guessed"
                );
                out(finding(
                    SLOW_BRUTE_FORCE,
                    slow,
                    Duration::from_nanos(DAY),
                    message,
                ));
            }
        }
    }

    /// A credential was accepted; after a report of guesses that may be one that was right.
    /// `trusted`: it is one that worked before the guesses, so the owner came back.
    pub(super) fn accepted(
        &mut self,
        facts: &Facts<'_>,
        trusted: bool,
        out: &mut impl FnMut(Finding),
    ) {
        let Some((_, account)) = facts.account else {
            return;
        };
        let guesses = std::mem::take(&mut self.guesses);
        let lately = self.guessed != 0 && facts.now.abs_diff(self.guessed) < HOUR;
        if lately && !trusted {
            let message = format!(
                "a credential for an account of {} was accepted from {} after {guesses} that were refused: it may have been guessed",
                facts.service(),
                facts.client_text()
            );
            out(Finding {
                identity: Some(account.into()),
                count: guesses,
                window: Duration::from_nanos(HOUR),
                ..facts.finding(SUCCESS_AFTER_FAILURES, message)
            });
        }
        self.guessed = 0;
        self.credentials.clear();
        self.blind = Rate::default();
    }
}
