//! YAML as a tree that knows its lines.
//!
//! Enters: the text of a file. Leaves: its documents. Never: a tree deeper or larger than a rule
//! can be. Anchors and aliases are refused: a few lines of them stand for a billion nodes.

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::fault::{Fault, quoted};

/// Lists and maps within one another; a rule has six.
const DEEPEST: usize = 32;
/// Nodes of a file: the longest public rules have some hundred.
const MOST_NODES: usize = 100_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `plain`: without quotes, so that it may be a number, a truth value or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) name: String,
}

impl Node {
    /// The entries of a map.
    pub(super) fn map(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let found = self.map()?.iter().find(|(key, _)| key.name == name)?;
        Some(&found.1)
    }

    /// The text of a scalar that is there.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Nothing is written, or `null` (YAML 1.2 §10.3.2).
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// `true` or `false`.
    pub(super) fn truth(&self) -> Option<bool> {
        match &self.value {
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" | "yes" => Some(true),
                "false" | "False" | "FALSE" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Writes the tree without its lines: two rules that read the same mean the same.
    pub(super) fn print(&self, out: &mut String) {
        match &self.value {
            Value::Scalar { text, plain } => {
                let _ = write!(out, "{text:?}{plain} ");
            }
            Value::List(items) => {
                out.push('[');
                for item in items {
                    item.print(out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (key, value) in entries {
                    let _ = write!(out, "{:?}:", key.name);
                    value.print(out);
                }
                out.push('}');
            }
        }
    }

    /// The items of a list; anything else is a list of itself.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }
}

/// What is being read.
enum Open {
    List(usize, Vec<Node>),
    /// The key whose value comes next, if it is known.
    Map(usize, Vec<(Key, Node)>, Option<Key>),
}

/// Reads the documents of a file.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            Fault::new(
                error.marker().line(),
                format!("is no YAML: {}", error.info()),
            )
        })?;
        let line = span.start.line();
        let done = match event {
            Event::Alias(_) => {
                return Err(Fault::new(
                    line,
                    "an alias (*name) is not taken: write the value out",
                ));
            }
            Event::Scalar(value, style, ..) => Some(Node {
                line,
                value: Value::Scalar {
                    text: value.into_owned(),
                    plain: style == ScalarStyle::Plain,
                },
            }),
            Event::SequenceStart(..) => {
                open.push(Open::List(line, Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(line, Vec::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(line, items)) => Some(Node {
                    line,
                    value: Value::List(items),
                }),
                Some(Open::Map(line, entries, _)) => Some(Node {
                    line,
                    value: Value::Map(entries),
                }),
                None => None,
            },
            _ => None,
        };
        if open.len() > DEEPEST {
            return Err(Fault::new(
                line,
                format!("more than {DEEPEST} lists and maps within one another"),
            ));
        }
        let Some(node) = done else { continue };
        nodes += 1;
        if nodes > MOST_NODES {
            return Err(Fault::new(
                line,
                format!("more than {MOST_NODES} values in a file"),
            ));
        }
        match open.last_mut() {
            None if node.is_null() => {}
            None => documents.push(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key)) => match (key.take(), node.value) {
                (Some(key), value) => {
                    if entries.iter().any(|(other, _)| other.name == key.name) {
                        return Err(Fault::new(
                            key.line,
                            format!("the key {} is there twice", quoted(&key.name)),
                        ));
                    }
                    entries.push((
                        key,
                        Node {
                            line: node.line,
                            value,
                        },
                    ));
                }
                (None, Value::Scalar { text, .. }) => {
                    *key = Some(Key {
                        line: node.line,
                        name: text,
                    });
                }
                (None, _) => return Err(Fault::new(node.line, "a key must be a word")),
            },
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::{Value, documents};

    #[test]
    fn values_know_their_lines_and_whether_they_were_quoted() {
        let read = documents("a: 1\nb:\n  - 'null'\n  - ~\n---\nc: {d: yes}\n").unwrap();
        assert_eq!(read.len(), 2);
        let list = read[0].get("b").unwrap().items();
        assert_eq!((list[0].line, list[0].text()), (3, Some("null")));
        assert!(list[1].is_null() && list[1].text().is_none());
        assert_eq!(
            read[1].get("c").unwrap().get("d").unwrap().truth(),
            Some(true)
        );
        assert!(matches!(
            &read[0].get("a").unwrap().value,
            Value::Scalar { plain: true, .. }
        ));
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        for (text, line, what) in [
            ("a: &x [1]\nb: *x\n", 2, "alias"),
            ("a: 1\na: 2\n", 2, "twice"),
            ("a: [1\n", 2, "no YAML"),
            ("[1]: 2\n", 1, "must be a word"),
        ] {
            let fault = documents(text).unwrap_err();
            assert_eq!(fault.line, line, "{text}: {}", fault.what);
            assert!(fault.what.contains(what), "{}", fault.what);
        }
        let deep = "[".repeat(10_000);
        assert!(documents(&deep).is_err());
        let wide = "- 1\n".repeat(200_000);
        assert!(documents(&wide).unwrap_err().what.contains("100000"));
        assert_eq!(documents("# nothing\n").unwrap(), []);
    }
}
