//! Tells secrets from other text by how they are written.
//!
//! Vendors give their keys a prefix, so that leaked ones are found; the list is of formats that are
//! public. Anything else is told by its length and its letters: the ids that programs make up are
//! mostly shorter than 24 random characters (a UUID in base 62 has 22), or have a form of their
//! own (UUID, ObjectId, ULID).

use std::borrow::Cow;

/// Stands for what is not kept.
pub(super) const REDACTED: &str = "*";

/// Random text that is longer than any id of digits and letters of one case.
const LEAST_RANDOM: usize = 28;
/// The same for digits and letters of both cases.
const LEAST_MIXED: usize = 24;
/// Shortest text after a word such as `token` that is taken for one.
const LEAST_NAMED: usize = 12;
/// One in so many characters of random text is of another class than the one before, and more.
const CHANGE_EACH: usize = 5;
/// The same where there is nothing but digits and small letters.
const LOOSE_CHANGE_EACH: usize = 7;

/// Whose keys begin how, and how many characters follow at least.
const PREFIXES: [(&str, &str, usize); 137] = [
    ("1password", "A3-", 30),
    ("1password", "ops_eyJ", 40),
    ("age", "AGE-SECRET-KEY-1", 40),
    ("adafruit", "aio_", 24),
    ("anthropic", "sk-ant-", 20),
    ("artifactory", "cmVmd", 50),
    ("artifactory", "AKCp", 40),
    ("atlassian", "ATATT3", 40),
    ("atlassian", "ATCTT3", 40),
    ("aws", "AKIA", 16),
    ("aws", "ASIA", 16),
    ("aws", "ABIA", 16),
    ("aws", "ACCA", 16),
    ("aws", "A3T", 17),
    ("aws", "bedrock-api-key-", 20),
    ("aws", "ABSK", 80),
    ("clojars", "CLOJARS_", 40),
    ("contentful", "CFPAT-", 30),
    ("databricks", "dapi", 32),
    ("defined", "dnkey-", 30),
    ("digitalocean", "doo_v1_", 40),
    ("digitalocean", "dop_v1_", 40),
    ("digitalocean", "dor_v1_", 40),
    ("docker", "dckr_pat_", 20),
    ("docker", "dckr_oat_", 20),
    ("doppler", "dp.pt.", 30),
    ("doppler", "dp.st.", 30),
    ("doppler", "dp.ct.", 30),
    ("doppler", "dp.sa.", 30),
    ("duffel", "duffel_test_", 30),
    ("duffel", "duffel_live_", 30),
    ("dynatrace", "dt0c01.", 24),
    ("dynatrace", "dt0s01.", 24),
    ("easypost", "EZAK", 50),
    ("easypost", "EZTK", 50),
    ("facebook", "EAAM", 60),
    ("facebook", "EAAC", 60),
    ("figma", "figd_", 30),
    ("flutterwave", "FLWPUBK", 16),
    ("flutterwave", "FLWSECK", 16),
    ("fly", "fo1_", 30),
    ("fly", "fm1_", 30),
    ("fly", "fm2_", 30),
    ("frameio", "fio-u-", 40),
    ("github", "ghp_", 30),
    ("github", "gho_", 30),
    ("github", "ghu_", 30),
    ("github", "ghs_", 30),
    ("github", "ghr_", 30),
    ("github", "github_pat_", 30),
    ("gitlab", "glpat-", 16),
    ("gitlab", "gldt-", 16),
    ("gitlab", "glffct-", 16),
    ("gitlab", "glagent-", 16),
    ("gitlab", "glptt-", 16),
    ("gitlab", "glrt-", 16),
    ("gitlab", "glcbt-", 16),
    ("gitlab", "glimt-", 16),
    ("gitlab", "glft-", 16),
    ("gitlab", "glsoat-", 16),
    ("gitlab", "gloas-", 16),
    ("gitlab", "GR1348941", 16),
    ("google", "AIza", 30),
    ("google", "ya29.", 20),
    ("google", "GOCSPX-", 20),
    ("grafana", "glc_", 30),
    ("grafana", "glsa_", 30),
    ("groq", "gsk_", 40),
    ("harness", "pat.", 50),
    ("harness", "sat.", 50),
    ("heroku", "HRKU-", 30),
    ("huggingface", "hf_", 30),
    ("huggingface", "api_org_", 30),
    ("infracost", "ico-", 30),
    ("linear", "lin_api_", 30),
    ("lob", "live_", 30),
    ("lob", "test_", 30),
    ("mailgun", "key-", 30),
    ("mailgun", "pubkey-", 30),
    ("netlify", "nfp_", 30),
    ("newrelic", "NRJS-", 16),
    ("newrelic", "NRAK-", 16),
    ("newrelic", "NRII-", 16),
    ("notion", "ntn_", 40),
    ("notion", "secret_", 40),
    ("npm", "npm_", 30),
    ("octopus", "API-", 26),
    ("openai", "sk-proj-", 20),
    ("openai", "sk-svcacct-", 20),
    ("openai", "sk-admin-", 20),
    ("openai", "sk-", 32),
    ("openshift", "sha256~", 30),
    ("perplexity", "pplx-", 40),
    ("plaid", "access-sandbox-", 30),
    ("plaid", "access-development-", 30),
    ("plaid", "access-production-", 30),
    ("planetscale", "pscale_", 30),
    ("posthog", "phx_", 30),
    ("postman", "PMAK-", 40),
    ("prefect", "pnu_", 30),
    ("pulumi", "pul-", 40),
    ("pypi", "pypi-", 40),
    ("readme", "rdme_", 40),
    ("replicate", "r8_", 30),
    ("rubygems", "rubygems_", 40),
    ("scalingo", "tk-us-", 40),
    ("sendgrid", "SG.", 40),
    ("sendinblue", "xkeysib-", 40),
    ("sentry", "sntryu_", 40),
    ("sentry", "sntrys_", 40),
    ("settlemint", "sm_aat_", 16),
    ("settlemint", "sm_pat_", 16),
    ("settlemint", "sm_sat_", 16),
    ("shippo", "shippo_live_", 30),
    ("shippo", "shippo_test_", 30),
    ("shopify", "shpat_", 30),
    ("shopify", "shpca_", 30),
    ("shopify", "shppa_", 30),
    ("shopify", "shpss_", 30),
    ("slack", "xoxb-", 20),
    ("slack", "xoxp-", 20),
    ("slack", "xoxe", 20),
    ("slack", "xoxa-", 20),
    ("slack", "xoxr-", 20),
    ("slack", "xoxs-", 20),
    ("slack", "xapp-", 20),
    ("sonar", "squ_", 40),
    ("sonar", "sqp_", 40),
    ("sonar", "sqa_", 40),
    ("square", "sq0", 20),
    ("stripe", "sk_", 20),
    ("stripe", "rk_", 20),
    ("stripe", "whsec_", 20),
    ("supabase", "sbp_", 30),
    ("vault", "hvs.", 20),
    ("vault", "hvb.", 20),
    ("yandex", "AQVN", 34),
];

/// Whose key the text is, if it begins as their keys do.
pub(super) fn vendor(text: &str) -> Option<&'static str> {
    // The shortest of the list with its prefix.
    if text.len() < 19 {
        return None;
    }
    PREFIXES.iter().find_map(|(class, prefix, least)| {
        let rest = text.strip_prefix(prefix)?;
        (rest.len() >= *least && !rest.contains(['/', ' '])).then_some(*class)
    })
}

/// The text is a secret, whatever stands around it.
pub(super) fn is_secret(text: &str) -> bool {
    let mixed = || {
        text.bytes().any(|byte| byte.is_ascii_lowercase())
            && text.bytes().any(|byte| byte.is_ascii_uppercase())
            && text.bytes().any(|byte| byte.is_ascii_digit())
    };
    text.len() >= LEAST_NAMED
        && (is_token(text)
            || vendor(text).is_some()
            || (text.len() >= LEAST_RANDOM || text.len() >= LEAST_MIXED && mixed())
                && is_random(text)
                && !is_file_name(text)
            || is_key_like(text)
            || holds_key(text))
}

/// Digits and small letters, not all of them of base 16, in a text without any sign: nobody writes
/// a word so. The ids that are so long and of such letters have a beginning of their own.
fn is_key_like(text: &str) -> bool {
    if text.len() < LEAST_MIXED {
        return false;
    }
    let (mut digits, mut beyond, mut changes) = (0, 0, 0);
    let mut last = None;
    for byte in text.bytes() {
        let digit = match byte {
            b'0'..=b'9' => true,
            b'a'..=b'z' => false,
            _ => return false,
        };
        digits += usize::from(digit);
        beyond += usize::from(byte > b'f');
        changes += usize::from(last.is_some_and(|last| last != digit));
        last = Some(digit);
    }
    // CUIDs have 25 characters and begin with a c; ULIDs have 26 and begin with the time.
    let id =
        text.len() == 25 && text.starts_with('c') || text.len() == 26 && text.starts_with("01");
    digits >= 3 && beyond >= 3 && changes * LOOSE_CHANGE_EACH >= text.len() && !id
}

/// One of its parts between signs is random text.
fn holds_key(text: &str) -> bool {
    let both = |part: &str| {
        part.bytes().any(|byte| byte.is_ascii_lowercase())
            && part.bytes().any(|byte| byte.is_ascii_uppercase())
            && part.bytes().any(|byte| byte.is_ascii_digit())
    };
    text.len() > LEAST_MIXED
        && !is_file_name(text)
        && text.split(['-', '_', '.', '~']).any(|part| {
            is_key_like(part) || part.len() >= LEAST_RANDOM && both(part) && is_random(part)
        })
}

/// Ends as the name of a file does: builds and stores put the hash of a file in its name.
fn is_file_name(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(name, extension)| {
        !name.is_empty()
            && matches!(extension.len(), 2..=5)
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && extension.starts_with(|first: char| first.is_ascii_alphabetic())
    })
}

/// A part of a path, or a word of a message, with secrets replaced. `announced`: it stands after a
/// word that announces one.
pub(super) fn redact_part(part: &str, announced: bool) -> Cow<'_, str> {
    if part.len() < LEAST_NAMED {
        return Cow::Borrowed(part);
    }
    let secret = |text: &str| {
        let decoded;
        let text = if text.contains('%') {
            decoded = super::target::percent_decoded(text);
            &decoded
        } else {
            text
        };
        is_secret(text) || announced && is_secret_value(text)
    };
    const BETWEEN: [char; 12] = ['=', ':', ',', '@', '(', ')', '\'', '"', '[', ']', '<', '>'];
    let mut kept = String::new();
    if part.contains(BETWEEN) {
        let mut any = false;
        for piece in part.split_inclusive(BETWEEN) {
            let bare = piece.trim_end_matches(BETWEEN);
            if bare.len() >= LEAST_NAMED && secret(bare) {
                any = true;
                kept.push_str(REDACTED);
                kept.push_str(piece.get(bare.len()..).unwrap_or_default());
            } else {
                kept.push_str(piece);
            }
        }
        if any {
            return Cow::Owned(kept);
        }
    }
    Cow::Borrowed(if secret(part) { REDACTED } else { part })
}

/// A message with secrets replaced.
pub(super) fn redact_text(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let (mut announced, mut done) = (false, 0);
    let mut at = 0;
    for word in text.split_inclusive([' ', '/', ';', '?', '&', '\n', '\t', '|']) {
        let bare = word.trim_end_matches([' ', '/', ';', '?', '&', '\n', '\t', '|']);
        if let redacted = redact_part(bare, announced)
            && *redacted != *bare
        {
            kept.push_str(text.get(done..at).unwrap_or_default());
            kept.push_str(&redacted);
            done = at + bare.len();
        }
        announced = announces(bare.trim_end_matches([':', '=']));
        at += word.len();
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(kept)
}

/// The text is a secret where it stands after a word that announces one.
pub(super) fn is_secret_value(text: &str) -> bool {
    text.len() >= LEAST_NAMED
        && (text.bytes().any(|byte| byte.is_ascii_digit()) || is_random(text) || is_secret(text))
}

/// A word that announces a secret: `token`, `reset-password`, `api_key`.
pub(super) fn announces(word: &str) -> bool {
    const WORDS: [&str; 22] = [
        "token",
        "tokens",
        "key",
        "keys",
        "apikey",
        "secret",
        "secrets",
        "password",
        "passwd",
        "reset",
        "verify",
        "confirm",
        "confirmation",
        "activate",
        "activation",
        "invite",
        "invitation",
        "session",
        "auth",
        "otp",
        "webhook",
        "unsubscribe",
    ];
    // Most words begin with none of their letters.
    let possible = |part: &str| {
        let first = part.bytes().next().map(|byte| byte.to_ascii_lowercase());
        first.is_some_and(|first| b"tkaspruvciow".contains(&first))
    };
    word.len() <= 40
        && word.split(['-', '_', '.']).any(|part| {
            possible(part) && WORDS.iter().any(|known| part.eq_ignore_ascii_case(known))
        })
}

/// A JSON Web Token or another text of base64url parts, the first of which is a JSON object.
fn is_token(text: &str) -> bool {
    text.len() >= 20
        && (text.starts_with("eyJ") || text.starts_with("ewog") || text.starts_with("ZXlK"))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.=%+/".contains(&byte))
}

/// Letters and digits change as they do in no word, date or list of words.
fn is_random(text: &str) -> bool {
    #[derive(PartialEq, Clone, Copy)]
    enum Class {
        Digit,
        Lower,
        Upper,
    }
    let (mut changes, mut count, mut digits, mut letters) = (0, 0, 0, 0);
    let mut last = None;
    for byte in text.bytes() {
        let class = match byte {
            b'0'..=b'9' => Class::Digit,
            b'a'..=b'z' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            _ if byte.is_ascii() => continue,
            // Not of ASCII: words.
            _ => return false,
        };
        count += 1;
        digits += usize::from(class == Class::Digit);
        letters += usize::from(class != Class::Digit);
        // A capital before small letters begins a word.
        changes += usize::from(match (last, class) {
            (Some(before), now) => before != now && (before, now) != (Class::Upper, Class::Lower),
            (None, _) => false,
        });
        last = Some(class);
    }
    letters > 0
        && digits + letters == count
        && count * 2 > text.len()
        && changes * CHANGE_EACH >= count
        && !is_uuid(text)
}

fn is_uuid(text: &str) -> bool {
    let text = text.trim_matches(['{', '}']);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_prefix() {
        for (text, class) in [
            ("ghp_od7gNqWu5FkSCkGBAca9xQZw8Pozq5sTxkwQ", Some("github")),
            ("xoxb-52296982562671-fAg2ZY2ARq2NWeLfe74b", Some("slack")),
            ("sk-ant-api03-GcfBbHapw6TFQgROx3Rkyvfw8", Some("anthropic")),
            ("AKIA2345ABCDEFGHIJKL", Some("aws")),
            ("hf_models-of-the-year", None),
            ("ghp_short", None),
        ] {
            assert_eq!(vendor(text), class, "{text}");
        }
    }

    #[test]
    fn secrets_are_told_from_ids_and_words() {
        for secret in [
            "jfmfkxei9qr1hysz21pfinxo6pryk3w0",
            "SkJs2P2XwH9aDNR5DMpdk2rjd9m1gaSrGcfPrRNg",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "a804d3219cf77522c97d60ebd1b23712cd07abac32f8168e69d605ceb35975e5",
            "8auow5emco21wxeyl61l2gcy",
            "mu44goa1tqsvspq82hmwcazusnxqqwil",
            "s.cc28xrqj1woinxnie9tgws6m",
            "549343642518614292501-RI8zzXrPdtpCzDIeQjwgHMHdcZQuuqwmqfNt",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for other in [
            "orders",
            "windows6.0-kb955430-x86_9c8a57958486102e94e591384dc69dd7e8d21c03.exe",
            "getUserAccountInformationByExternalIdentifier",
            "how-to-write-2-slugs-that-are-very-long-indeed-2024",
            "dfaf09f1-19e1-3d87-0c44-177afe013a82",
            "507f1f77bcf86cd799439011",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01arz3ndektsv4rrffq69g5fav",
            "cjld2cjxh0000qzrmn831i7rn",
            "internationalconference2024program",
            "reallylongusername1990reallylongdomain",
            "2024-11-22T18:37:34.341Z/2024-11-23",
            "123456789012345678901234567890",
            "application.v1.internal.configuration.json",
            "InternationalizationAndLocalisation",
        ] {
            assert!(!is_secret(other), "{other}");
        }
        assert_eq!(
            redact_text("token: 5bjghnnqi15o9535 of ana/ghp_od7gNqWu5FkSCkGBAca9xQZw8Pozq5sTxkwQ?"),
            "token: * of ana/*?"
        );
        assert_eq!(redact_text("no such order"), "no such order");
        assert!(is_secret_value("5bjghnnqi15o9535"));
        assert!(!is_secret_value("settings") && !is_secret_value("change-password"));
        assert!(announces("reset-password") && announces("API_KEY") && !announces("orders"));
    }
}
