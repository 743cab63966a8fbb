//! The inventory as text for people.

use std::fmt::Write as _;

use super::documents::Document;
use super::endpoint::Endpoint;
use super::privilege::credential_findings;
use super::service::Service;
use super::standing::{findings, orphans, states};
use super::state::Inventory;

/// Narrowest terminal that is fitted.
const LEAST_WIDTH: usize = 60;
/// Credentials listed: what a person looks at.
const MOST_CREDENTIALS: usize = 50;
/// Columns besides the route: method, calls, errors, schemes, callers, states.
const FIXED: usize = 2 + 8 + 8 + 5 + 5 + 13 + 9;

/// Services with their endpoints, as wide as `width` columns.
pub fn table(inventory: &Inventory, documents: &[Document], now_ms: u64, width: usize) -> String {
    let width = width.max(LEAST_WIDTH);
    let mut out = String::new();
    for (name, service) in &inventory.services {
        let document = documents.iter().find(|document| document.service == *name);
        head(&mut out, name, service, width);
        let states_width = 12;
        let route_width = width.saturating_sub(FIXED + states_width).max(10);
        line(
            &mut out,
            width,
            &format!(
                "  {:8}{:route_width$}{:>8}{:>5}{:>5} {:12}{:>8} STATE",
                "METHOD", "ROUTE", "CALLS", "4XX", "5XX", "AUTH", "CALLERS"
            ),
        );
        for (endpoint_name, endpoint) in &service.endpoints {
            let (method, route) = endpoint_name
                .split_once(' ')
                .unwrap_or(("?", endpoint_name));
            let states = states(endpoint_name, endpoint, document, now_ms).join(",");
            line(
                &mut out,
                width,
                &format!(
                    "  {:8}{:route_width$}{:>8}{:>5}{:>5} {:12}{:>8} {states}",
                    cut(method, 7),
                    cut(route, route_width - 1),
                    endpoint.calls,
                    percent(endpoint.client_errors, endpoint.calls),
                    percent(endpoint.server_errors, endpoint.calls),
                    cut(&schemes(endpoint), 11),
                    callers(endpoint),
                ),
            );
        }
        for orphan in orphans(service, document) {
            line(&mut out, width, &format!("  {orphan}  orphan"));
        }
        out.push('\n');
    }
    credentials(&mut out, inventory, now_ms, width);
    if inventory.services.is_empty() {
        out.push_str("no service was called yet\n");
    }
    if inventory.folded > 0 {
        let _ = writeln!(
            out,
            "{} calls found no place in the tables",
            inventory.folded
        );
    }
    out
}

/// Credentials with which something is wrong, used last first.
fn credentials(out: &mut String, inventory: &Inventory, now_ms: u64, width: usize) {
    let mut wrong: Vec<_> = inventory
        .credentials
        .iter()
        .map(|(key, found)| (found, credential_findings(inventory, key, found, now_ms)))
        .filter(|(_, findings)| !findings.is_empty())
        .collect();
    wrong.sort_by_key(|(found, _)| std::cmp::Reverse(found.last_seen_ms));
    if wrong.is_empty() {
        return;
    }
    line(out, width, "credentials");
    for (found, findings) in wrong.iter().take(MOST_CREDENTIALS) {
        let text = format!(
            "  {}:{} of {}, {} calls, {} to {} UTC: {}",
            found.kind,
            found.id,
            found.service,
            found.calls,
            date(found.first_seen_ms),
            date(found.last_seen_ms),
            findings.join(", ")
        );
        line(out, width, &text);
    }
    if wrong.len() > MOST_CREDENTIALS {
        let more = wrong.len() - MOST_CREDENTIALS;
        line(out, width, &format!("  and {more} more, see --json"));
    }
    out.push('\n');
}

fn head(out: &mut String, name: &str, service: &Service, width: usize) {
    let Service {
        first_seen_ms,
        last_seen_ms,
        programs,
        listening,
        addresses,
        protocols,
        tls,
        unmatched,
        ..
    } = service;
    line(out, width, name);
    for (exe, program) in programs {
        let mut text = format!("  program  {exe}");
        let package = program.package.as_deref().unwrap_or("none");
        let _ = write!(text, "  package {package}");
        for (what, value) in [("unit", &program.unit), ("container", &program.container)] {
            if let Some(value) = value {
                let _ = write!(text, "  {what} {value}");
            }
        }
        line(out, width, &text);
    }
    let listens = if listening.is_empty() {
        addresses
    } else {
        listening
    };
    let join = |names: Vec<&str>| names.join(", ");
    for (what, names) in [
        (
            "listens",
            join(listens.iter().map(String::as_str).collect()),
        ),
        (
            "speaks",
            join(protocols.keys().map(String::as_str).collect()),
        ),
        ("tls", join(tls.keys().map(String::as_str).collect())),
        ("warning", findings(service).join(", ")),
    ] {
        if !names.is_empty() {
            line(out, width, &format!("  {what:8} {names}"));
        }
    }
    let seen = format!(
        "  {:8} {} to {} UTC, {unmatched} calls on paths never served",
        "seen",
        date(*first_seen_ms),
        date(*last_seen_ms)
    );
    line(out, width, &seen);
}

/// What programs and callers chose is shown without control characters.
fn line(out: &mut String, width: usize, text: &str) {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    out.extend(text.trim_end().chars().take(width).map(clean));
    out.push('\n');
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "-".to_owned();
    }
    format!("{}%", (part.saturating_mul(100) / whole).clamp(1, 100))
}

fn schemes(endpoint: &Endpoint) -> String {
    let names: Vec<&str> = endpoint.schemes.keys().map(String::as_str).collect();
    names.join(",")
}

fn callers(endpoint: &Endpoint) -> String {
    let more = if endpoint.other_callers > 0 { "+" } else { "" };
    format!("{}{more}", endpoint.callers.len())
}

/// `2026-11-22 10:20:30`.
fn date(unix_ms: u64) -> String {
    let text = super::rfc3339(unix_ms);
    text.get(..19).unwrap_or_default().replace('T', " ")
}
