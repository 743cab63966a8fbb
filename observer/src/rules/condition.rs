//! How the selections of a detection go together: `selection and not 1 of filter_*`.

use super::fault::quoted;

/// Parentheses and `not` within one another.
const DEEPEST: usize = 32;

/// A condition over selections, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Selection(usize),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Condition {
    /// Reads a condition; `names` are those of the selections.
    pub(super) fn read(text: &str, names: &[&str]) -> Result<Self, String> {
        if text.contains('|') {
            return Err(
                "`| count() …` is not taken: write a rule of type correlation (event_count, value_count, temporal)"
                    .to_owned(),
            );
        }
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let mut reader = Reader {
            words: spaced.split_whitespace().collect(),
            at: 0,
            names,
        };
        let read = reader.any(0)?;
        match reader.next() {
            None => Ok(read),
            Some(word) => Err(format!(
                "{} is one word too many: `and` or `or` must stand before it",
                quoted(word)
            )),
        }
    }

    /// `chosen`: whether a selection chooses the call.
    pub(super) fn holds(&self, chosen: &mut dyn FnMut(usize) -> bool) -> bool {
        match self {
            Self::Selection(number) => chosen(*number),
            Self::Not(inner) => !inner.holds(chosen),
            Self::All(parts) => parts.iter().all(|part| part.holds(chosen)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(chosen)),
        }
    }
}

struct Reader<'a> {
    words: Vec<&'a str>,
    at: usize,
    names: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, word: &str) -> bool {
        let is = self
            .words
            .get(self.at)
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let first = self.all(depth)?;
        let mut parts = vec![first];
        while self.take("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one(parts, Condition::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.part(depth)?];
        while self.take("and") {
            parts.push(self.part(depth)?);
        }
        Ok(one(parts, Condition::All))
    }

    fn part(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > DEEPEST {
            return Err(format!(
                "more than {DEEPEST} parentheses within one another"
            ));
        }
        if self.take("not") {
            return Ok(Condition::Not(Box::new(self.part(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err("a parenthesis is not closed".to_owned())
            };
        }
        let Some(word) = self.next() else {
            return Err("a name of a selection is missing at the end".to_owned());
        };
        let all = word.eq_ignore_ascii_case("all");
        if (all || word == "1" || word.eq_ignore_ascii_case("any")) && self.take("of") {
            return self.several(all);
        }
        match self.names.iter().position(|name| *name == word) {
            Some(number) => Ok(Condition::Selection(number)),
            None => Err(format!(
                "there is no selection {}: there are {}",
                quoted(word),
                self.names.join(", ")
            )),
        }
    }

    /// What stands after `1 of` and `all of`.
    fn several(&mut self, all: bool) -> Result<Condition, String> {
        let Some(pattern) = self.next() else {
            return Err(
                "after `of` stands `them`, or the start of names with a star: `1 of selection_*`"
                    .to_owned(),
            );
        };
        let fits = |name: &str| match pattern.strip_suffix('*') {
            // Names that start with a line are left out on purpose (specification, "Condition").
            _ if pattern == "them" => !name.starts_with('_'),
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let parts: Vec<Condition> = self
            .names
            .iter()
            .enumerate()
            .filter(|(_, name)| fits(name))
            .map(|(number, _)| Condition::Selection(number))
            .collect();
        if parts.is_empty() {
            return Err(format!(
                "no selection is named {}: there are {}",
                quoted(pattern),
                self.names.join(", ")
            ));
        }
        Ok(one(
            parts,
            if all { Condition::All } else { Condition::Any },
        ))
    }
}

fn one(mut parts: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Condition;

    const NAMES: [&str; 4] = ["selection_a", "selection_b", "filter", "_hidden"];

    fn holds(text: &str, chosen: &[usize]) -> bool {
        Condition::read(text, &NAMES)
            .unwrap()
            .holds(&mut |number| chosen.contains(&number))
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        assert!(holds("selection_a or selection_b and filter", &[0]));
        assert!(!holds("(selection_a or selection_b) and filter", &[0]));
        assert!(holds("selection_a and not filter", &[0]));
        assert!(!holds("selection_a and not filter", &[0, 2]));
        assert!(holds("not (selection_a and filter)", &[0]));
        assert!(holds("NOT filter AND selection_a", &[0]));
    }

    #[test]
    fn some_of_many_are_chosen_by_the_start_of_their_names() {
        assert!(holds("1 of selection_*", &[1]));
        assert!(!holds("all of selection_*", &[1]));
        assert!(holds("all of selection_* and not 1 of filter*", &[0, 1]));
        assert!(holds("all of them", &[0, 1, 2]));
        assert!(!holds("1 of them", &[3]));
        assert!(holds("any of them", &[2]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, what) in [
            ("selection", "no selection \"selection\""),
            ("selection_a filter", "one word too many"),
            ("selection_a and", "missing at the end"),
            ("(selection_a", "not closed"),
            ("1 of x*", "no selection is named"),
            ("selection_a | count() > 5", "correlation"),
            ("", "missing"),
        ] {
            let error = Condition::read(text, &NAMES).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
        assert!(Condition::read(&"not ".repeat(100_000), &NAMES).is_err());
        assert!(Condition::read(&"(".repeat(100_000), &NAMES).is_err());
    }
}
