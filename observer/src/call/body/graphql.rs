//! Names the operations of a GraphQL document (GraphQL specification §2), whole or cut off.

/// Operations of one document that are told.
const MOST: usize = 64;

/// An operation as its document defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Definition<'a> {
    /// `query`, `mutation` or `subscription`.
    pub kind: &'static str,
    /// Its name, if it has one.
    pub name: Option<&'a str>,
}

/// The operations of a document in order; `None` if it is none.
pub(super) fn definitions(text: &str) -> Option<Vec<Definition<'_>>> {
    let mut found = Vec::new();
    let mut tokens = Tokens { rest: text };
    let mut depth = 0usize;
    // What the definition at hand begins with, until its selection set does.
    let mut begun: Option<Begun<'_>> = None;
    while let Some(token) = tokens.next()? {
        match token {
            Token::Mark('{' | '(' | '[') => {
                if depth == 0 && matches!(token, Token::Mark('{')) {
                    match begun.take() {
                        None => found.push(Definition {
                            kind: "query",
                            name: None,
                        }),
                        Some(Begun::Operation(definition)) => found.push(definition),
                        Some(Begun::Fragment | Begun::Type) => {}
                    }
                    if found.len() >= MOST {
                        break;
                    }
                } else if depth == 0 && begun.is_none() {
                    return None;
                }
                depth += 1;
            }
            Token::Mark('}' | ')' | ']') => depth = depth.checked_sub(1)?,
            Token::Mark(_) if depth == 0 && begun.is_none() => return None,
            Token::Name(name) if depth == 0 => match &mut begun {
                None => begun = Some(Begun::of(name)?),
                Some(Begun::Operation(definition)) => {
                    definition.name.get_or_insert(name);
                }
                Some(Begun::Fragment) => {}
                // Some types have no braces to end them.
                Some(Begun::Type) => begun = Begun::of(name).or(Some(Begun::Type)),
            },
            Token::Mark('@') if depth == 0 => {
                // A directive follows: a name after it is not the operation's.
                if let Some(Begun::Operation(definition)) = &mut begun
                    && definition.name.is_none()
                {
                    definition.name = Some("");
                }
            }
            _ => {}
        }
    }
    for definition in &mut found {
        definition.name = definition.name.filter(|name| !name.is_empty());
    }
    (!found.is_empty()).then_some(found)
}

enum Begun<'a> {
    Operation(Definition<'a>),
    Fragment,
    /// A definition of a type system (§3), which servers refuse.
    Type,
}

impl Begun<'_> {
    fn of(word: &str) -> Option<Self> {
        let kind = match word {
            "query" => "query",
            "mutation" => "mutation",
            "subscription" => "subscription",
            "fragment" => return Some(Self::Fragment),
            "type" | "extend" | "schema" | "scalar" | "interface" | "union" | "enum" | "input"
            | "directive" => return Some(Self::Type),
            _ => return None,
        };
        Some(Self::Operation(Definition { kind, name: None }))
    }
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Name(&'a str),
    Mark(char),
    Other,
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// `None`: no document. `Some(None)`: the end.
    #[expect(
        clippy::option_option,
        reason = "the end of a document and the end of being one are two things"
    )]
    fn next(&mut self) -> Option<Option<Token<'a>>> {
        loop {
            let blank =
                |char: char| char.is_ascii_whitespace() || char == ',' || char == '\u{feff}';
            self.rest = self.rest.trim_start_matches(blank);
            if !self.rest.starts_with('#') {
                break;
            }
            let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
            self.take(end);
        }
        let Some(first) = self.rest.chars().next() else {
            return Some(None);
        };
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
        Some(Some(match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = self.rest.find(|char| !is_word(char));
                Token::Name(self.take(end.unwrap_or(self.rest.len())))
            }
            '0'..='9' | '-' => {
                let end = self
                    .rest
                    .find(|char| !is_word(char) && !"+-.".contains(char));
                self.take(end.unwrap_or(self.rest.len()));
                Token::Other
            }
            '"' => {
                self.string();
                Token::Other
            }
            '!' | '$' | '&' | '(' | ')' | ':' | '=' | '@' | '[' | ']' | '{' | '|' | '}' | '.' => {
                self.take(1);
                Token::Mark(first)
            }
            _ => return None,
        }))
    }

    fn string(&mut self) {
        if let Some(block) = self.rest.strip_prefix("\"\"\"") {
            let mut from = 0;
            while let Some(end) = block.get(from..).and_then(|rest| rest.find("\"\"\"")) {
                let end = from + end;
                if block.get(..end).is_some_and(|text| text.ends_with('\\')) {
                    from = end + 3;
                    continue;
                }
                self.take(3 + end + 3);
                return;
            }
            self.rest = "";
            return;
        }
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|&(_, char)| {
            let ends = char == '"' && !escaped;
            escaped = char == '\\' && !escaped;
            ends
        });
        self.take(end.map_or(self.rest.len(), |(at, _)| at + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Option<String> {
        let definitions = definitions(text)?;
        let texts = definitions.iter().map(|definition| match definition.name {
            Some(name) => format!("{} {name}", definition.kind),
            None => definition.kind.to_owned(),
        });
        Some(texts.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn operations_are_named_as_defined() {
        for (text, expected) in [
            ("{ me { id } }", "query"),
            ("query Me { me }", "query Me"),
            ("query ($id: ID!) { me }", "query"),
            (
                "mutation M($a: [Int!]! = [1, 2]) @d(x: {y: 1}) { m }",
                "mutation M",
            ),
            ("query @live { a }", "query"),
            ("fragment F on T { a } query Q { ...F }", "query Q"),
            (
                "# query No { }\nsubscription S { s(text: \"} query X {\") }",
                "subscription S",
            ),
            (
                "query A { a(b: \"\"\"x \\\"\"\" } y\"\"\") } mutation B { b }",
                "query A,mutation B",
            ),
            ("query Cut { a { b", "query Cut"),
            ("scalar S type T { a: B } query Q { a }", "query Q"),
        ] {
            assert_eq!(named(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_query_languages_are_none() {
        for text in [
            "",
            "SELECT * FROM users",
            "status:open author:me",
            "query",
            "{",
            "}",
            "(a)",
            "queryish { a }",
            "fragment F on T { a }",
            "\u{2026}",
        ] {
            if text == "{" {
                assert_eq!(named(text).as_deref(), Some("query"));
            } else {
                assert_eq!(named(text), None, "{text}");
            }
        }
    }
}
