//! Patterns in which `*` stands for any text.

use std::borrow::Cow;

/// Whether `value` is like `pattern`.
pub(in crate::audit) fn like(pattern: &str, value: &str) -> bool {
    Pattern::new(pattern).fits(value)
}

/// A pattern; the case of ASCII letters does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// In lower case.
    text: String,
    /// A star is a star.
    contained: bool,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_ascii_lowercase(),
            contained: false,
        }
    }

    /// Texts that have this one in them, as it is.
    pub(super) fn containing(text: &str) -> Self {
        Self {
            text: text.to_ascii_lowercase(),
            contained: true,
        }
    }

    /// Whether `value` is like this, in time proportional to the product of their lengths at worst,
    /// without recursion.
    pub(super) fn fits(&self, value: &str) -> bool {
        if self.contained {
            return has(value, &self.text);
        }
        let pattern = self.text.as_bytes();
        let value = value.as_bytes();
        let (mut p, mut v) = (0, 0);
        // Where the last star was, and what it has swallowed so far.
        let mut star: Option<(usize, usize)> = None;
        while let Some(byte) = value.get(v) {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, v));
                    p += 1;
                }
                Some(wanted) if *wanted == byte.to_ascii_lowercase() => {
                    p += 1;
                    v += 1;
                }
                _ => match &mut star {
                    Some((at, swallowed)) => {
                        *swallowed += 1;
                        (p, v) = (*at + 1, *swallowed);
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(p).all(|byte| *byte == b'*')
    }

    /// No part of `texts` can be like this; `false` says nothing.
    pub(super) fn is_not_in(&self, texts: &str) -> bool {
        if self.contained {
            return !has(texts, &self.text);
        }
        let parts = self.text.split('*');
        let longest = parts.max_by_key(|part| part.len()).unwrap_or_default();
        !has(texts, longest)
    }
}

/// Whether `text` has `part` in it, which is in lower case.
fn has(text: &str, part: &str) -> bool {
    let text: Cow<'_, str> = if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    };
    memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, value, fits) in [
            ("/v1/*", "/v1/orders", true),
            ("*orders*", "/V1/Orders/7", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("", "", true),
            ("*", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(value), fits, "{pattern} {value}");
        }
        assert!(Pattern::containing("a*B").fits("xA*b"));
        assert!(!Pattern::containing("a*b").fits("axb"));
    }

    proptest! {
        #[test]
        fn what_is_said_not_to_be_there_is_not(
            pattern in "[aB*]{0,5}", values in proptest::collection::vec("[aAbBc*]{0,6}", 0..5),
        ) {
            let texts = values.concat();
            for pattern in [Pattern::new(&pattern), Pattern::containing(&pattern)] {
                let some = values.iter().any(|value| pattern.fits(value));
                prop_assert!(!(some && pattern.is_not_in(&texts)));
            }
        }
    }
}
