//! What a source looks at: paths, pages and files, and what its requests carry.

use std::time::Duration;

use super::facts::Facts;
use super::finding::Finding;
use super::rule::{
    BATCHED_LOGINS, CRAWL, EXPLOIT_PROBE, HEADER_FLOOD, OPEN_PROXY_PROBE, PATH_ENUMERATION,
    PRIVATE_FILES, SCANNER, SMUGGLING,
};
use super::settings::DetectSettings;
use super::source::{MINUTE, REARM, SECOND, Source};
use crate::call::{Flag, Signs};

/// Paths are counted over this.
const SCAN_WINDOW: u64 = MINUTE;
/// Pages read over this are a crawl, and so many.
const CRAWL_WINDOW: u64 = 10 * SECOND;
const CRAWL_PAGES: usize = 40;
/// Logins in one request: nobody has so many accounts to log in to at once.
const BATCH: u32 = 5;
/// Probes of one kind within the scan window.
const PROBES: u64 = 4;
/// Private files asked for, each different.
const FILES: usize = 4;

impl Source {
    /// Takes into account what the source asked for, and what it got.
    pub(super) fn visits(
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
            let (count, new) = self.pages.add(facts.target_key(), now, CRAWL_WINDOW);
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
            let (count, new) = suspect.files.add(facts.target_key(), now, SCAN_WINDOW);
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
        if let Some(operations) = call
            .operations
            .filter(|count| facts.login && *count >= BATCH)
        {
            let suspect = self.suspect.get_or_insert_default();
            if suspect.armed(BATCHED_LOGINS, now, REARM) {
                let message = format!(
                    "{} put {operations} logins in one request to {service}: limits that count requests do not see them",
                    client()
                );
                out(Finding {
                    count: operations.into(),
                    ..facts.finding(BATCHED_LOGINS, message)
                });
            }
        }
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
        for (probes, sign) in
            suspect
                .probes
                .iter_mut()
                .zip([Signs::TRAVERSAL, Signs::SQL, Signs::SCRIPT])
        {
            if signs.has(sign) {
                most = most.max(probes.add(now, SCAN_WINDOW, 1));
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
                count: most.max(1),
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
        return facts.target_key();
    }
    // FNV-1a of what is left: only paths with ids in them come here, and they count at most once.
    path.split('/')
        .filter(|part| !is_id(part))
        .flat_map(|part| part.bytes().chain(std::iter::once(b'/')))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
