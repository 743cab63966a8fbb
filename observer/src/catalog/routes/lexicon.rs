//! What one segment says by its characters alone.

/// Segments longer than this are values whatever they hold.
const MAX_WORD: usize = 64;
/// Shorter hex strings are as likely words or short codes.
const MIN_HEX: usize = 8;
/// From this length on a hex string is a value even without a digit in it.
const MIN_HEX_WORDLIKE: usize = 16;
/// Shorter mixes of classes may be names.
const MIN_TOKEN: usize = 10;

/// The placeholder of a segment that is surely a value. `depth` counts from 0.
pub(super) fn placeholder(segment: &str, depth: usize) -> Option<String> {
    if let Some(kind) = kind(segment, depth) {
        return Some(kind.to_owned());
    }
    // `Orders(42)`: a key predicate of OData; the set's name stays.
    if let Some((name, key)) = segment.split_once('(')
        && key.ends_with(')')
        && key.len() > 1
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
        && !name.is_empty()
    {
        return Some(format!("{name}({{key}})"));
    }
    let (stem, suffix) = suffix(segment)?;
    match kind(stem, depth) {
        Some(kind) if kind != "{long}" => Some(format!("{kind}{suffix}")),
        _ => None,
    }
}

/// Splits an extension (`.json`) or a custom verb (`:cancel`) from a segment.
pub(super) fn suffix(segment: &str) -> Option<(&str, &str)> {
    let at = segment.rfind(['.', ':'])?;
    let (stem, suffix) = segment.split_at_checked(at)?;
    let name = suffix.get(1..)?;
    let max = if suffix.starts_with('.') { 5 } else { 24 };
    let named = (2..=max).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    (named && !stem.is_empty()).then_some((stem, suffix))
}

fn kind(segment: &str, depth: usize) -> Option<&'static str> {
    let bytes = segment.as_bytes();
    let bare = segment
        .strip_prefix("%7B")
        .and_then(|s| s.strip_suffix("%7D"))
        .unwrap_or(segment);
    if segment.is_empty() {
        None
    } else if bytes.iter().all(u8::is_ascii_digit) {
        // `/1/boards`: a version, and told by its place.
        (depth > 0 || bytes.len() > 2).then_some("{id}")
    } else if segment == "*" {
        // A secret, replaced before it came here.
        Some("{token}")
    } else if is_uuid(bare) {
        Some("{uuid}")
    } else if is_date(segment) {
        // `/2015-03-31/functions`: a version too.
        (depth > 0 || bytes.len() > 10).then_some("{date}")
    } else if is_number(segment) {
        Some("{number}")
    } else if is_hex(segment) {
        Some("{hex}")
    } else if is_email(segment) {
        Some("{email}")
    } else if bytes.iter().filter(|&&b| b == b':').count() >= 3 {
        Some("{urn}")
    } else if is_token(segment) {
        Some("{token}")
    } else if segment.contains('%') {
        // A character that a path cannot hold as it is: nobody names a resource so.
        Some("{text}")
    } else if segment.len() > MAX_WORD {
        Some("{long}")
    } else {
        None
    }
}

/// RFC 9562 §4: 8-4-4-4-12 hex digits.
fn is_uuid(segment: &str) -> bool {
    segment.len() == 36
        && segment.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `-72.5694`, `+467706093938`; not `2.0`, which may be a version.
fn is_number(segment: &str) -> bool {
    let (signed, digits) = match segment
        .strip_prefix(['-', '+'])
        .or_else(|| segment.strip_prefix("%2B"))
    {
        Some(digits) => (true, digits),
        None => (false, segment),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty()
        && all(whole)
        && all(fraction)
        && (signed || (digits.contains('.') && (whole.len() > 2 || fraction.len() > 2)))
}

fn is_hex(segment: &str) -> bool {
    let digits = segment.strip_prefix("0x").unwrap_or(segment);
    if digits.len() < MIN_HEX || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    // `defaced` and `face2face` are words; a random string has more digits than that.
    digits.len() >= MIN_HEX_WORDLIKE || digits.bytes().filter(u8::is_ascii_digit).count() >= 2
}

/// `2026-11`, `2026-11-22`, and RFC 3339 times that begin so.
fn is_date(segment: &str) -> bool {
    let number = |from: usize, to: usize| -> Option<u32> {
        let text = segment.get(from..to)?;
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())?
    };
    let dash = |at: usize| segment.as_bytes().get(at) == Some(&b'-');
    let in_range = number(0, 4).is_some_and(|year| (1900..2200).contains(&year))
        && dash(4)
        && number(5, 7).is_some_and(|month| (1..=12).contains(&month));
    if !in_range || segment.len() == 7 {
        return in_range;
    }
    let day = dash(7) && number(8, 10).is_some_and(|day| (1..=31).contains(&day));
    match segment.as_bytes().get(10) {
        None => day,
        Some(b'T' | b't') => {
            day && segment.bytes().skip(11).all(|b| {
                b.is_ascii_digit()
                    || matches!(b, b':' | b'.' | b'+' | b'-' | b'Z' | b'z' | b'%' | b'A')
            })
        }
        Some(_) => false,
    }
}

/// A person's address must not become a label. `@scope` of a package has nothing before its sign.
fn is_email(segment: &str) -> bool {
    let halves = segment
        .split_once('@')
        .or_else(|| segment.split_once("%40"));
    halves.is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.'))
}

/// Base64url and base62 strings, prefixed ids, JWTs: opaque, possibly secret, never a name.
fn is_token(segment: &str) -> bool {
    let ours = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'=');
    if segment.len() < MIN_TOKEN || !segment.bytes().all(ours) {
        return false;
    }
    let longest = segment
        .split(['-', '_', '.', '~', '='])
        .max_by_key(|part| part.len())
        .unwrap_or(segment);
    let has = |class: fn(&u8) -> bool| longest.as_bytes().iter().any(class);
    let (lower, upper, digit) = (
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
        has(u8::is_ascii_digit),
    );
    if longest.len() < MIN_TOKEN || u8::from(lower) + u8::from(upper) + u8::from(digit) < 2 {
        return false;
    }
    let switches = switches(longest) as f32 / (longest.len() - 1) as f32;
    if digit {
        // Words and a year between them change class less often than a random string.
        switches >= 0.3
    } else {
        longest.len() >= 16 && switches >= 0.42
    }
}

/// How often a string changes between small letters, capitals and digits.
fn switches(text: &str) -> usize {
    let class = |b: u8| match b {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    text.as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if class(*a) != class(*b)))
        .count()
}

/// How a word is written. One service writes its own words in one or two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Camel,
    Pascal,
    Kebab,
    Snake,
    Other,
}

pub(super) const CASES: usize = 6;

impl Case {
    pub(super) fn of(word: &str) -> Self {
        let has = |class: fn(&u8) -> bool| word.as_bytes().iter().any(class);
        let (dash, underscore) = (word.contains('-'), word.contains('_'));
        let upper = has(u8::is_ascii_uppercase);
        let first = word.as_bytes().first().copied().unwrap_or(b'a');
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !word.bytes().all(plain) || (dash && underscore) || ((dash || underscore) && upper) {
            Self::Other
        } else if dash {
            Self::Kebab
        } else if underscore {
            Self::Snake
        } else if first.is_ascii_uppercase() {
            Self::Pascal
        } else if upper {
            Self::Camel
        } else {
            Self::Lower
        }
    }
}

/// `v1`, `v2beta1`, `2.0`, `v1.33`, `2015-03-31` as first segment.
pub(super) fn is_version(word: &str) -> bool {
    let rest = word.strip_prefix(['v', 'V']).unwrap_or(word);
    let mut bytes = rest.bytes().peekable();
    if !bytes.peek().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    rest.len() <= 10
        && if rest.len() == word.len() {
            rest.bytes()
                .all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')
        } else {
            let stage =
                rest.trim_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
            matches!(stage, "" | "alpha" | "beta" | "rc" | "preview" | "p")
        }
}

/// Log odds that a word is a value rather than a name in the interface, by its characters.
pub(super) fn oddness(word: &str) -> f32 {
    if is_version(word) {
        return -8.0;
    }
    let bytes = word.as_bytes();
    if matches!(bytes.first(), Some(b'$' | b'@' | b'_')) {
        return -3.0;
    }
    let mut odds = 0.0;
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    if digits > 0 {
        let trailing = bytes
            .iter()
            .rev()
            .take_while(|b| b.is_ascii_digit())
            .count();
        odds += match (digits, trailing) {
            (1, _) => 0.5,
            (_, 0) => 2.0,
            (a, b) if a == b => 2.0,
            _ => 2.5,
        };
        if switches(word) >= 3 && !word.contains(['-', '_', '.']) {
            odds += 1.0;
        }
    }
    let dashes = bytes.iter().filter(|b| matches!(b, b'-' | b'_')).count();
    if dashes >= 2 {
        odds += 0.3 * dashes as f32;
    }
    if word.contains(['.', '~', '+', '=', '!', '*', '\'', ',']) {
        odds += 1.2;
    }
    if !bytes
        .iter()
        .any(|b| matches!(b | 32, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'))
        && bytes.len() > 4
    {
        odds += 1.0;
    }
    if bytes.len() > 32 {
        odds += 1.0;
    }
    odds
}

#[cfg(test)]
mod tests {
    use super::{is_version, oddness, placeholder};

    #[test]
    fn values_become_typed_placeholders() {
        for (segment, expected) in [
            ("42", "{id}"),
            ("-72.5694", "{number}"),
            ("550e8400-e29b-41d4-a716-446655440000", "{uuid}"),
            ("%7B550E8400-E29B-41D4-A716-446655440000%7D", "{uuid}"),
            ("507f1f77bcf86cd799439011", "{hex}"),
            ("0x52908400098527886e0f7030069857d2e4169ee7", "{hex}"),
            ("2026-11-22", "{date}"),
            ("2026-11-22T10:00:00Z", "{date}"),
            ("ada@example.org", "{email}"),
            ("ada%40example.org", "{email}"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.sig7Qx2", "{token}"),
            ("ord_8Fk2Lq9ZxW3vT7", "{token}"),
            ("urn:x:y:z", "{urn}"),
            ("two%20words", "{text}"),
            ("12.json", "{id}.json"),
            ("12:cancel", "{id}:cancel"),
            ("Orders(42)", "Orders({key})"),
        ] {
            assert_eq!(
                placeholder(segment, 1).as_deref(),
                Some(expected),
                "{segment}"
            );
        }
        assert_eq!(placeholder(&"z".repeat(65), 1).as_deref(), Some("{long}"));
    }

    #[test]
    fn names_and_versions_stay_as_they_are() {
        for segment in [
            "",
            "users",
            "v1",
            "2.0",
            "face2face",
            "defaced",
            "@scope",
            "0x1f",
            "index.html",
            "externalMembersDisabled",
            "jquery-3.6.0.min.js",
            "2026-1\u{e9}",
        ] {
            assert_eq!(placeholder(segment, 1), None, "{segment}");
        }
        assert_eq!(placeholder("2015-03-31", 0), None);
        assert_eq!(placeholder("1", 0), None);
        for version in ["v1", "v2beta1", "2.0", "v1.33", "2015-03-31"] {
            assert!(is_version(version) && oddness(version) < -5.0, "{version}");
        }
        assert!(oddness("color83") > oddness("colors"));
    }
}
