//! Parameters of a credential: `name=value, name="value"` (RFC 9110 §11.2), with any separator.

/// Most parameters looked at: Digest has twelve.
const MOST: usize = 32;

/// The value of the first parameter of this name; quotes removed, escapes kept.
pub(super) fn find<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    all(text)
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// All parameters in order.
pub(super) fn all(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',', ';', '&']);
        let (name, after) = rest.split_once('=')?;
        let value = after.trim_start_matches([' ', '\t']);
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted).unwrap_or(quoted.len());
                let (value, after) = quoted.split_at_checked(end)?;
                (value, after.strip_prefix('"').unwrap_or(after))
            }
            None => {
                let end = value
                    .find([',', ';', '&', ' ', '\t'])
                    .unwrap_or(value.len());
                value.split_at_checked(end)?
            }
        };
        rest = after;
        Some((name.trim(), value))
    })
    .take(MOST)
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_quoted_or_not() {
        let text = "username=\"a\\\"b\", realm=\"x, y=z\",qop=auth; nc=1&sig=ab==";
        let found: Vec<_> = all(text).collect();
        assert_eq!(
            found,
            [
                ("username", "a\\\"b"),
                ("realm", "x, y=z"),
                ("qop", "auth"),
                ("nc", "1"),
                ("sig", "ab==")
            ]
        );
        assert_eq!(find(text, "REALM"), Some("x, y=z"));
        assert_eq!(find(text, "y"), None);
        assert_eq!(find("a=\"open", "a"), Some("open"));
        assert_eq!(all("=,=,\"").count(), 2);
    }
}
