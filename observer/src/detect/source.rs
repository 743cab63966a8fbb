//! What one source does: an address, or an IPv6 /64.

use std::sync::Arc;
use std::time::Duration;

use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::rate::Rate;
use super::rule::{
    AUTH_FAILURE_BURST, CRAWL, CREDENTIAL_STUFFING, EXPLOIT_PROBE, HEADER_FLOOD, LOGIN_ATTEMPTS,
    OPEN_PROXY_PROBE, PASSWORD_SPRAYING, PATH_ENUMERATION, PRIVATE_FILES, Rule, SCANNER,
    SLOW_BRUTE_FORCE, SMUGGLING, STALE_CREDENTIAL, TOKEN_GUESSING,
};
use super::settings::DetectSettings;
use crate::call::{AuthOutcome, Flag, Role, Signs};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 86_400 * SECOND;
/// Paths are counted over this.
const SCAN_WINDOW: u64 = MINUTE;
/// Pages read over this are a crawl, and so many.
const CRAWL_WINDOW: u64 = 10 * SECOND;
const CRAWL_PAGES: usize = 40;
/// Guesses in so short a time are not typed: four in six seconds.
const FAST_WINDOW: u64 = 6 * SECOND;
const FAST_GUESSES: usize = 4;
/// Guesses that a source spreads over ten minutes.
const STEADY_WINDOW: u64 = 10 * MINUTE;
const STEADY_GUESSES: u64 = 10;
/// Probes of one kind, each different, within the scan window.
const PROBES: usize = 4;
/// Private files asked for, each different.
const FILES: usize = 4;
/// What goes on is reported again after this time, so that an attack of hours is neither one line
/// nor a thousand.
const REARM: u64 = 300 * SECOND;
/// An account tried so little each is stuffing: pairs from a list, not guesses.
const STUFFING_ACCOUNTS: usize = 20;

/// What is known of a source. Most have done nothing that is worth remembering in full.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Calls that are no login, and credentials accepted.
    calls: Rate,
    accepted: Rate,
    pages: Distinct,
    suspect: Option<Box<Suspect>>,
}

/// What a source did that an honest one seldom does.
#[derive(Debug, Default)]
struct Suspect {
    /// Refusals whose credential is not known, so that each may be another one.
    blind: Rate,
    refusals: Rate,
    credentials: Distinct,
    accounts: Distinct,
    steady: Rate,
    slow: Rate,
    attempts: Rate,
    /// Of attempts, how the last was answered; another answer begins anew.
    attempt_answer: u64,
    errors: Distinct,
    files: Distinct,
    probes: [Distinct; 3],
    fast: [u64; FAST_GUESSES],
    first: u64,
    count: u64,
    routes: Vec<Arc<str>>,
    reported: Vec<(&'static str, u64)>,
}

impl Suspect {
    /// The rule may speak now, and not again for a while.
    fn armed(&mut self, rule: Rule, now: u64, rearm: u64) -> bool {
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
        }
        if !facts.login {
            self.calls.add(now, window, 1);
        }
        if facts.refused {
            self.refused(facts, trusted, settings, out);
        }
        if facts.login
            && matches!(
                facts.call.auth.outcome,
                AuthOutcome::Unknown | AuthOutcome::Success | AuthOutcome::None
            )
        {
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
            accepted, suspect, ..
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

        if accounts >= usize::try_from(settings.distinct_username_count).unwrap_or(usize::MAX)
            && mostly
        {
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
            facts.endpoint_key ^ (length << 16 | u64::from(facts.call.status.unwrap_or(0)));
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

    fn visits(
        &mut self,
        facts: &Facts<'_>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let (call, now) = (facts.call, facts.now);
        let service = facts.service();
        let client = || facts.client_text();
        let window = Duration::from_nanos(SCAN_WINDOW);
        let error = matches!(call.status, Some(400 | 403 | 404 | 405 | 444));
        let signs = call.signs;
        if error && !facts.is_static() && !facts.login {
            let suspect = self.suspect.get_or_insert_default();
            let (count, new) = suspect.errors.add(shape(facts), now, SCAN_WINDOW);
            let calls = self.calls.at(now, settings.window_ns());
            let wanted = usize::try_from(settings.distinct_paths).unwrap_or(usize::MAX);
            if new
                && count >= wanted
                && count as u64 * 2 >= calls
                && suspect.armed(PATH_ENUMERATION, now, REARM)
            {
                let message = format!(
                    "{} asked {service} for {count} paths within a minute that do not exist or are forbidden: it is looking for a way in",
                    client()
                );
                out(Finding {
                    count: count as u64,
                    distinct: count as u64,
                    window,
                    ..facts.finding(PATH_ENUMERATION, message)
                });
            }
        } else if !facts.is_static() && matches!(call.method.as_str(), "GET" | "HEAD") {
            let (count, new) = self.pages.add(facts.target_key, now, CRAWL_WINDOW);
            if new && count > CRAWL_PAGES {
                let suspect = self.suspect.get_or_insert_default();
                if suspect.armed(CRAWL, now, REARM) {
                    let message = format!(
                        "{} read {count} different pages of {service} within ten seconds: it is a program, copying or looking around",
                        client()
                    );
                    out(Finding {
                        count: count as u64,
                        distinct: count as u64,
                        window: Duration::from_nanos(CRAWL_WINDOW),
                        ..facts.finding(CRAWL, message)
                    });
                }
            }
        }
        if signs.any(Signs::SCANNER) {
            let suspect = self.suspect.get_or_insert_default();
            if suspect.armed(SCANNER, now, 6 * REARM) {
                let message = format!(
                    "{} looks for weaknesses of {service} with a scanner that names itself",
                    client()
                );
                out(facts.finding(SCANNER, message));
            }
        }
        if signs.has(Signs::PRIVATE_FILE) {
            let suspect = self.suspect.get_or_insert_default();
            let (count, new) = suspect.files.add(facts.target_key, now, SCAN_WINDOW);
            if new && count >= FILES && suspect.armed(PRIVATE_FILES, now, REARM) {
                let message = format!(
                    "{} asked {service} for {count} files that are never meant to be served, such as settings, keys or copies",
                    client()
                );
                out(Finding {
                    count: count as u64,
                    distinct: count as u64,
                    window,
                    ..facts.finding(PRIVATE_FILES, message)
                });
            }
        }
        self.probes(facts, out);
        if signs.has(Signs::PROXY) && matches!(call.status, Some(400 | 403 | 404 | 405 | 501)) {
            let suspect = self.suspect.get_or_insert_default();
            if suspect.armed(OPEN_PROXY_PROBE, now, 6 * REARM) {
                let message = format!(
                    "{} asked {service} to fetch from another server and was turned away: it looks for an open proxy",
                    client()
                );
                out(facts.finding(OPEN_PROXY_PROBE, message));
            }
        }
        for (flag, rule, what) in [
            (
                Flag::ConflictingLength,
                SMUGGLING,
                "a request with two lengths: a second request may hide in it, past what a gateway checks",
            ),
            (
                Flag::HeaderFlood,
                HEADER_FLOOD,
                "a header block longer than any honest one: servers that gather it run out of memory",
            ),
        ] {
            if call.flags.contains(&flag) {
                let suspect = self.suspect.get_or_insert_default();
                if suspect.armed(rule, now, REARM) {
                    out(facts.finding(rule, format!("{} sent {service} {what}", client())));
                }
            }
        }
    }

    fn probes(&mut self, facts: &Facts<'_>, out: &mut impl FnMut(Finding)) {
        let (signs, now) = (facts.call.signs, facts.now);
        if !signs
            .any(Signs::TRAVERSAL | Signs::SQL | Signs::SCRIPT | Signs::CODE | Signs::EXPLOIT_PATH)
        {
            return;
        }
        let suspect = self.suspect.get_or_insert_default();
        // One is enough where it would take the host over; of the others one may be a mistake.
        let at_once = signs.any(Signs::CODE | Signs::EXPLOIT_PATH)
            || signs.has(Signs::TRAVERSAL | Signs::HIDDEN);
        let mut most = 0;
        let what = facts.target_key
            ^ facts
                .call
                .query
                .as_ref()
                .map_or(0, |query| query.len() as u64)
            ^ u64::from(facts.call.client.map_or(0, |c| c.port()));
        for (probes, sign) in
            suspect
                .probes
                .iter_mut()
                .zip([Signs::TRAVERSAL, Signs::SQL, Signs::SCRIPT])
        {
            if signs.has(sign) {
                most = most.max(probes.add(what, now, SCAN_WINDOW).0);
            }
        }
        if (at_once || most >= PROBES) && suspect.armed(EXPLOIT_PROBE, now, REARM) {
            let kind = if signs.has(Signs::CODE) {
                "code"
            } else if signs.has(Signs::EXPLOIT_PATH) {
                "a path through which programs were taken over"
            } else if signs.has(Signs::SQL) {
                "SQL"
            } else if signs.has(Signs::TRAVERSAL) {
                "steps out of the folder that is served"
            } else {
                "script"
            };
            let message = format!(
                "{} sent {} requests with {kind} in them: it tries whether the program can be made to run or show what it should not",
                facts.client_text(),
                facts.service()
            );
            out(Finding {
                count: most.max(1) as u64,
                window: Duration::from_nanos(SCAN_WINDOW),
                ..facts.finding(EXPLOIT_PROBE, message)
            });
        }
    }
}

/// A path with what is an id in it left out: many objects of one kind that are gone are one
/// mistake, not many.
fn shape(facts: &Facts<'_>) -> u64 {
    let path = &facts.call.path;
    let is_id = |part: &str| {
        let name = part.split('.').next().unwrap_or_default();
        !name.is_empty()
            && (name.bytes().all(|b| b.is_ascii_digit())
                || name.len() >= 16
                    && name.bytes().any(|b| b.is_ascii_digit())
                    && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'))
    };
    if !path.split('/').skip(2).any(is_id) {
        return facts.target_key;
    }
    // FNV-1a of what is left: only paths with ids in them come here, and they count at most once.
    path.split('/')
        .filter(|part| !is_id(part))
        .flat_map(|part| part.bytes().chain(std::iter::once(b'/')))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
