//! What one source does: an address, or an IPv6 /64.

use std::sync::Arc;
use std::time::Duration;

use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::rate::Rate;
use super::rule::{
    AUTH_FAILURE_BURST, CREDENTIAL_STUFFING, LOGIN_ATTEMPTS, PASSWORD_SPRAYING, Rule,
    SLOW_BRUTE_FORCE, STALE_CREDENTIAL, TOKEN_GUESSING,
};
use super::settings::DetectSettings;
use crate::call::{AuthOutcome, Role};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 86_400 * SECOND;
/// Accounts that one source fails at within an hour while it logs in to none.
const HOUR: u64 = 60 * MINUTE;
const HOUR_ACCOUNTS: usize = 6;
/// Guesses in so short a time are not typed: four in six seconds.
const FAST_WINDOW: u64 = 6 * SECOND;
const FAST_GUESSES: usize = 4;
/// Guesses that a source spreads over ten minutes.
const STEADY_WINDOW: u64 = 10 * MINUTE;
const STEADY_GUESSES: u64 = 10;
/// What goes on is reported again after this time, so that an attack of hours is neither one line
/// nor a thousand.
pub(super) const REARM: u64 = 300 * SECOND;
/// An account tried so little each is stuffing: pairs from a list, not guesses.
const STUFFING_ACCOUNTS: usize = 20;

/// What is known of a source. Most have done nothing that is worth remembering in full.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Calls that are no login, and credentials accepted.
    pub(super) calls: Rate,
    pub(super) accepted: Rate,
    pub(super) last_accepted: u64,
    pub(super) pages: Distinct,
    pub(super) suspect: Option<Box<Suspect>>,
}

/// What a source did that an honest one seldom does.
#[derive(Debug, Default)]
pub(super) struct Suspect {
    /// Refusals whose credential is not known, so that each may be another one.
    pub(super) blind: Rate,
    pub(super) refusals: Rate,
    pub(super) credentials: Distinct,
    pub(super) accounts: Distinct,
    pub(super) accounts_hour: Distinct,
    pub(super) steady: Rate,
    pub(super) slow: Rate,
    pub(super) attempts: Rate,
    /// Of attempts, how the last was answered; another answer begins anew.
    pub(super) attempt_answer: u64,
    pub(super) errors: Distinct,
    pub(super) files: Distinct,
    pub(super) probes: [Rate; 3],
    pub(super) fast: [u64; FAST_GUESSES],
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) routes: Vec<Arc<str>>,
    pub(super) reported: Vec<(&'static str, u64)>,
}

impl Suspect {
    /// The rule may speak now, and not again for a while.
    pub(super) fn armed(&mut self, rule: Rule, now: u64, rearm: u64) -> bool {
        match self
            .reported
            .iter_mut()
            .find(|(name, _)| *name == rule.name)
        {
            Some((_, last)) if now.abs_diff(*last) < rearm => false,
            Some((_, last)) => {
                *last = now;
                true
            }
            None => {
                self.reported.push((rule.name, now));
                true
            }
        }
    }

    fn was_reported(&self, rule: Rule, now: u64) -> bool {
        self.reported
            .iter()
            .any(|(name, last)| *name == rule.name && now.abs_diff(*last) < REARM)
    }
}

impl Source {
    /// Takes a call into account. `trusted`: the credential worked before, so it is no guess.
    pub(super) fn push(
        &mut self,
        facts: &Facts<'_>,
        trusted: bool,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let (now, window) = (facts.now, settings.window_ns());
        if facts.accepted {
            self.accepted.add(now, window, 1);
            self.last_accepted = now;
        }
        if !facts.login {
            self.calls.add(now, window, 1);
        }
        if facts.refused {
            self.refused(facts, trusted, settings, out);
        }
        if facts.login && facts.call.auth.outcome == AuthOutcome::Unknown {
            self.attempt(facts, settings, out);
        }
        self.visits(facts, settings, out);
    }

    /// How many credentials of this source were refused lately.
    pub(super) fn guessed(&self, now: u64) -> bool {
        self.suspect.as_ref().is_some_and(|suspect| {
            [
                AUTH_FAILURE_BURST,
                PASSWORD_SPRAYING,
                CREDENTIAL_STUFFING,
                TOKEN_GUESSING,
                SLOW_BRUTE_FORCE,
            ]
            .into_iter()
            .any(|rule| suspect.was_reported(rule, now))
        })
    }

    fn refused(
        &mut self,
        facts: &Facts<'_>,
        trusted: bool,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let Self {
            accepted,
            last_accepted,
            suspect,
            ..
        } = self;
        let suspect = suspect.get_or_insert_default();
        let (now, window) = (facts.now, settings.window_ns());
        let total = suspect.refusals.add(now, window, 1);
        if total == 1 {
            // Quiet for a whole window: what comes is a burst of its own.
            suspect.count = 0;
            suspect.routes.clear();
        }
        if suspect.count == 0 || now < suspect.first {
            suspect.first = now;
        }
        suspect.count += 1;
        if let Some(route) = &facts.call.route
            && suspect.routes.len() < Finding::MAX_ROUTES
            && !suspect.routes.contains(route)
        {
            suspect.routes.push(Arc::clone(route));
        }
        let good = accepted.at(now, window);
        let mut new_guess = !trusted;
        let mut known = 0;
        if let Some((credential, _)) = facts.credential {
            let (count, new) = suspect.credentials.add(credential, now, window);
            known = count;
            new_guess &= new;
        } else if !trusted {
            suspect.blind.add(now, window, 1);
        }
        let blind = suspect.blind.at(now, window);
        let guesses = if trusted { 0 } else { blind + known as u64 };
        let accounts = match facts.account {
            Some((account, _)) if !trusted => suspect.accounts.add(account, now, window).0,
            _ => suspect.accounts.count(now, window),
        };
        let hourly = match facts.account {
            Some((account, _)) if !trusted => suspect.accounts_hour.add(account, now, HOUR).0,
            _ => 0,
        };
        let finding = |suspect: &Suspect, rule: Rule, distinct: u64, message: String| Finding {
            count: suspect.count,
            distinct,
            span: Duration::from_nanos(now.saturating_sub(suspect.first)),
            window: settings.auth_window,
            routes: suspect.routes.clone(),
            ..facts.finding(rule, message)
        };
        let (client, service) = (facts.client_text(), facts.service());
        let rearm = REARM.max(window);
        let mostly = settings.mostly_failures(total, good);

        let wanted = usize::try_from(settings.distinct_username_count).unwrap_or(usize::MAX);
        let slowly = hourly >= HOUR_ACCOUNTS.max(wanted) && (*last_accepted).abs_diff(now) > HOUR;
        if accounts >= wanted && mostly || slowly {
            let accounts = accounts.max(hourly);
            let single = total <= accounts as u64 * 3 / 2;
            let rule = if single && accounts >= STUFFING_ACCOUNTS {
                CREDENTIAL_STUFFING
            } else {
                PASSWORD_SPRAYING
            };
            if suspect.armed(rule, now, rearm) {
                let message = format!(
                    "{client} tried {accounts} accounts of {service} and was refused {total} times: \
                     passwords or leaked pairs are being tried"
                );
                out(finding(suspect, rule, accounts as u64, message));
            }
        }
        if new_guess {
            suspect.fast.rotate_left(1);
            if let Some(last) = suspect.fast.last_mut() {
                *last = now;
            }
        }
        let oldest = suspect.fast.first().copied().unwrap_or(0);
        let fast = oldest != 0 && now.abs_diff(oldest) <= FAST_WINDOW && new_guess && good == 0;
        if (guesses >= u64::from(settings.auth_failures) || fast) && mostly {
            let rule = if facts.is_token() && known >= FAST_GUESSES && !facts.login {
                TOKEN_GUESSING
            } else {
                AUTH_FAILURE_BURST
            };
            if suspect.armed(rule, now, rearm) {
                let seconds = Duration::from_nanos(now.saturating_sub(suspect.first)).as_secs_f64();
                let (routes, plural) = (
                    suspect.routes.len(),
                    if suspect.routes.len() == 1 { "" } else { "s" },
                );
                let what = if rule == TOKEN_GUESSING {
                    "different tokens or keys"
                } else {
                    "credentials"
                };
                let count = if rule == TOKEN_GUESSING {
                    known as u64
                } else {
                    suspect.count
                };
                let message = match facts.call.role {
                    Role::Server => format!("{client} sent {count} {what} that {service} refused"),
                    Role::Client => format!(
                        "{service} on this host ({client}) sent {count} {what} that were refused"
                    ),
                };
                let message = format!(
                    "{message} within {seconds:.1} s, on {routes} route{plural}: someone may be guessing credentials"
                );
                out(finding(suspect, rule, known as u64, message));
                suspect.count = 0;
                suspect.routes.clear();
            }
        }
        if new_guess {
            let steady = suspect.steady.add(now, STEADY_WINDOW, 1);
            let slow = suspect.slow.add(now, DAY, 1);
            let slowly = slow >= u64::from(settings.slow_failures)
                || steady >= STEADY_GUESSES && guesses < u64::from(settings.auth_failures);
            if slowly
                && good == 0
                && !suspect.was_reported(AUTH_FAILURE_BURST, now)
                && suspect.armed(SLOW_BRUTE_FORCE, now, DAY / 4)
            {
                let (count, window) = if slow >= u64::from(settings.slow_failures) {
                    (slow, DAY)
                } else {
                    (steady, STEADY_WINDOW)
                };
                let message = format!(
                    "{client} sent {count} credentials that {service} refused, slowly over {} min: \
                     someone may be guessing below the usual limits",
                    window / MINUTE
                );
                out(Finding {
                    count,
                    window: Duration::from_nanos(window),
                    ..finding(suspect, SLOW_BRUTE_FORCE, 0, message)
                });
            }
        } else if blind == 0
            && known <= 2
            && total >= u64::from(settings.auth_failures) * 2
            && suspect.armed(STALE_CREDENTIAL, now, 6 * REARM)
        {
            let message = format!(
                "{client} sent the same credential {total} times though {service} refuses it: \
                 it was rotated or withdrawn, or the client is set up wrongly"
            );
            out(finding(suspect, STALE_CREDENTIAL, known as u64, message));
        }
    }

    /// Logins whose answer says nothing: nobody logs in again and again and then does nothing.
    fn attempt(
        &mut self,
        facts: &Facts<'_>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let Self { calls, suspect, .. } = self;
        let suspect = suspect.get_or_insert_default();
        let (now, window) = (facts.now, settings.window_ns().max(2 * MINUTE));
        let length = facts.call.response_bytes / 64;
        let answer =
            facts.endpoint_key() ^ (length << 16 | u64::from(facts.call.status.unwrap_or(0)));
        let other = std::mem::replace(&mut suspect.attempt_answer, answer) != answer;
        if other {
            suspect.attempts = Rate::default();
        }
        let attempts = suspect.attempts.add(now, window, 1);
        let others = calls.at(now, settings.window_ns());
        if attempts > u64::from(settings.auth_failures)
            && others * 4 <= attempts
            && suspect.armed(LOGIN_ATTEMPTS, now, REARM)
        {
            let message = format!(
                "{} logged in {attempts} times at {} of {}, did nothing else, and always got the same answer: \
                 the logins seem to fail",
                facts.client_text(),
                facts.endpoint(),
                facts.service()
            );
            out(Finding {
                count: attempts,
                window: Duration::from_nanos(window),
                ..facts.finding(LOGIN_ATTEMPTS, message)
            });
        }
    }
}
