//! Text with wildcards: `*` any text, `?` any one character (Sigma specification, "Wildcards").

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    One(char),
    Any,
    Many,
}

/// A pattern for the whole of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    steps: Vec<Step>,
    cased: bool,
}

impl Glob {
    /// Reads a pattern. A backslash takes its meaning from a wildcard or a backslash after it, and
    /// stands for itself elsewhere. `before`, `after`: any text may stand there.
    pub(super) fn new(pattern: &str, before: bool, after: bool, cased: bool) -> Self {
        let mut steps = Vec::new();
        if before {
            steps.push(Step::Many);
        }
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            let step = match c {
                '*' => Step::Many,
                '?' => Step::Any,
                '\\' => Step::One(
                    rest.next_if(|next| matches!(next, '*' | '?' | '\\'))
                        .unwrap_or('\\'),
                ),
                c => Step::One(c),
            };
            if step != Step::Many || steps.last() != Some(&Step::Many) {
                steps.push(step);
            }
        }
        if after && steps.last() != Some(&Step::Many) {
            steps.push(Step::Many);
        }
        Self { steps, cased }
    }

    /// There is a wildcard in the pattern.
    pub(super) fn is_wild(pattern: &str) -> bool {
        pattern.contains(['*', '?'])
    }

    /// The pattern fits the whole text. At most as many comparisons as the product of the lengths.
    pub(super) fn fits(&self, text: &str) -> bool {
        let mut steps = self.steps.as_slice();
        let mut rest = text;
        // Where to go on if what follows the last `Many` does not fit: one character further.
        let mut retry: Option<(&[Step], &str)> = None;
        loop {
            let went = match steps.split_first() {
                Some((Step::Many, after)) => {
                    if after.is_empty() {
                        return true;
                    }
                    retry = Some((after, rest));
                    steps = after;
                    true
                }
                Some((step, after)) => match first(rest) {
                    Some((c, left)) if self.same(*step, c) => {
                        (steps, rest) = (after, left);
                        true
                    }
                    _ => false,
                },
                None if rest.is_empty() => return true,
                None => false,
            };
            if went {
                continue;
            }
            let Some((after, from)) = retry else {
                return false;
            };
            let Some((_, left)) = first(from) else {
                return false;
            };
            retry = Some((after, left));
            (steps, rest) = (after, left);
        }
    }

    fn same(&self, step: Step, c: char) -> bool {
        match step {
            Step::Many | Step::Any => true,
            Step::One(wanted) if wanted == c => true,
            Step::One(_) if self.cased => false,
            Step::One(wanted) if wanted.is_ascii() && c.is_ascii() => {
                wanted.eq_ignore_ascii_case(&c)
            }
            Step::One(wanted) => wanted.to_lowercase().eq(c.to_lowercase()),
        }
    }
}

fn first(text: &str) -> Option<(char, &str)> {
    let mut rest = text.chars();
    let c = rest.next()?;
    Some((c, rest.as_str()))
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn wildcards_and_escapes_mean_what_sigma_says() {
        for (pattern, text, fits) in [
            ("admin", "ADMIN", true),
            ("admin", "admins", false),
            ("/api/*/keys", "/api/v1/x/keys", true),
            ("/api/*/keys", "/api/keys", false),
            ("*.php*", "/a.php", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("c:\\dir", "C:\\dir", true),
            ("c:\\\\dir", "c:\\dir", true),
            ("\\\\*", "\\anything", true),
            ("ÄÖ*", "äöü", true),
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
            ("*ab*ab", "ababab", true),
            ("*aab", "aaab", true),
        ] {
            assert_eq!(
                Glob::new(pattern, false, false, false).fits(text),
                fits,
                "{pattern} {text}"
            );
        }
        assert!(Glob::new("log", true, true, false).fits("/BLOG/1"));
        assert!(!Glob::new("log", true, true, true).fits("/BLOG/1"));
        assert!(Glob::new(".git", true, false, false).fits("/x/.git"));
        assert!(!Glob::new(".git", true, false, false).fits("/x/.git/config"));
    }
}
