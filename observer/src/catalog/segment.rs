//! What kind of value a path segment is. A segment that is not surely a value is left as it is.

/// Hex strings shorter than this are as likely words or short codes.
const MIN_HEX: usize = 8;
/// From this length on a hex string is a value even without a digit in it.
const MIN_HEX_WORDLIKE: usize = 16;
/// A shorter mix of letters and digits may be a file name or a slug.
const MIN_TOKEN: usize = 20;
/// Slugs and file names change between letters and digits less often than random strings do.
const MIN_TOKEN_SWITCHES: usize = 3;
/// Longer suffixes are not file extensions.
const MAX_EXTENSION: usize = 5;
/// Segments longer than this are values whatever they hold.
pub(super) const MAX_LITERAL: usize = 64;

/// The template of one canonical segment: its placeholder, or `None` if it stays as it is.
pub(super) fn placeholder(segment: &str) -> Option<String> {
    if let Some(kind) = kind(segment) {
        return Some(kind.to_owned());
    }
    let (stem, extension) = segment.rsplit_once('.')?;
    let is_extension = !extension.is_empty()
        && extension.len() <= MAX_EXTENSION
        && extension.bytes().all(|b| b.is_ascii_alphanumeric())
        && extension
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphabetic);
    match kind(stem) {
        Some(kind) if is_extension && kind != "{long}" => Some(format!("{kind}.{extension}")),
        _ => None,
    }
}

fn kind(segment: &str) -> Option<&'static str> {
    if segment.is_empty() {
        return None;
    }
    if segment.bytes().all(|b| b.is_ascii_digit()) {
        Some("{id}")
    } else if is_uuid(segment) {
        Some("{uuid}")
    } else if is_date(segment) {
        Some("{date}")
    } else if is_hex(segment) {
        Some("{hex}")
    } else if is_email(segment) {
        Some("{email}")
    } else if is_token(segment) {
        Some("{token}")
    } else if segment.len() > MAX_LITERAL {
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
                b.is_ascii_digit() || matches!(b, b':' | b'.' | b'+' | b'-' | b'Z' | b'z' | b'%')
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

/// Base64url and base62 strings, JWTs: opaque, possibly secret, never a name.
fn is_token(segment: &str) -> bool {
    let ours = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'=');
    if segment.len() < MIN_TOKEN || !segment.bytes().all(ours) {
        return false;
    }
    let has = |class: fn(&u8) -> bool| segment.as_bytes().iter().any(class);
    let switches = segment
        .as_bytes()
        .windows(2)
        .filter(|pair| {
            matches!(pair, [a, b] if (a.is_ascii_digit() && b.is_ascii_alphabetic())
                || (a.is_ascii_alphabetic() && b.is_ascii_digit()))
        })
        .count();
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && switches >= MIN_TOKEN_SWITCHES
}

#[cfg(test)]
mod tests {
    use super::placeholder;

    #[test]
    fn values_become_typed_placeholders() {
        for (segment, expected) in [
            ("42", "{id}"),
            ("20261122", "{id}"),
            ("550e8400-e29b-41d4-a716-446655440000", "{uuid}"),
            ("550E8400-E29B-41D4-A716-446655440000", "{uuid}"),
            ("507f1f77bcf86cd799439011", "{hex}"),
            ("0x52908400098527886e0f7030069857d2e4169ee7", "{hex}"),
            ("deadbeefdeadbeefdead", "{hex}"),
            ("a1b2c3d4", "{hex}"),
            ("2026-11-22", "{date}"),
            ("2026-11", "{date}"),
            ("2026-11-22T10:00:00Z", "{date}"),
            ("ada@example.org", "{email}"),
            ("ada%40example.org", "{email}"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.sig7Qx2", "{token}"),
            ("12.json", "{id}.json"),
            ("507f1f77bcf86cd799439011.png", "{hex}.png"),
        ] {
            assert_eq!(placeholder(segment).as_deref(), Some(expected), "{segment}");
        }
        assert_eq!(placeholder(&"z".repeat(65)).as_deref(), Some("{long}"));
    }

    #[test]
    fn names_stay_as_they_are() {
        for segment in [
            "",
            "users",
            "v1",
            "v2beta1",
            "face2face",
            "defaced",
            "facade",
            "@scope",
            "2026-13",
            "1.2",
            "jquery-3.6.0.min.js",
            "ReleaseNotes2024-Final-Version",
            "index.html",
            "0x1f",
            "2026-11-22x",
            "2026-1\u{e9}",
        ] {
            assert_eq!(placeholder(segment), None, "{segment}");
        }
    }
}
