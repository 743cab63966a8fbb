//! What a rule says of itself.

use std::sync::Arc;

use super::fault::{Fault, quoted};
use super::yaml::Node;
use crate::detect::{RULES, Severity};

/// Characters of a title (Sigma specification, "Title").
const LONGEST_TITLE: usize = 256;
/// Characters of a name: it becomes a label of a metric.
const LONGEST_NAME: usize = 64;

/// Title, names, severity and technique of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    /// Where the rule starts.
    pub(super) line: usize,
    /// For people.
    pub(super) title: String,
    /// What findings, metrics and alerts call it: `name`, else the words of the title.
    pub(super) name: Arc<str>,
    /// What correlations may call it too.
    pub(super) id: Option<String>,
    pub(super) severity: Severity,
    /// MITRE ATT&CK technique, empty if no tag names one.
    pub(super) mitre: Arc<str>,
}

impl Heading {
    pub(super) fn read(node: &Node) -> Result<Self, Fault> {
        let given = |key: &str| node.get(key).and_then(Node::text);
        let name = given("name").map(str::trim).filter(|name| !name.is_empty());
        let title = given("title")
            .map(str::trim)
            .filter(|title| !title.is_empty());
        let Some(title) = title.or(name) else {
            return Err(Fault::new(node.line, "a rule needs a title"));
        };
        if title.chars().count() > LONGEST_TITLE {
            return Err(Fault::new(
                node.line,
                format!("the title is longer than {LONGEST_TITLE} characters"),
            ));
        }
        let name = words(name.unwrap_or(title));
        if name.is_empty() {
            return Err(Fault::new(
                node.line,
                "the title has no letter: give the rule a name",
            ));
        }
        if RULES.iter().any(|rule| rule.name == name) {
            return Err(Fault::new(
                node.line,
                format!(
                    "a built-in detection is named {}: give the rule another name",
                    quoted(&name)
                ),
            ));
        }
        let severity = match node.get("level") {
            None => Severity::Medium,
            Some(level) => match level.text() {
                Some("informational" | "low") => Severity::Low,
                Some("medium") => Severity::Medium,
                Some("high" | "critical") => Severity::High,
                _ => {
                    return Err(Fault::new(
                        level.line,
                        "level: must be informational, low, medium, high or critical",
                    ));
                }
            },
        };
        let tags = node.get("tags").map(Node::items).unwrap_or_default();
        let mitre = tags.iter().filter_map(Node::text).find_map(technique);
        Ok(Self {
            line: node.line,
            title: title.to_owned(),
            name: name.into(),
            id: given("id").map(str::to_owned),
            severity,
            mitre: mitre.unwrap_or_default().into(),
        })
    }

    /// A correlation may call the rule so.
    pub(super) fn is_called(&self, reference: &str) -> bool {
        self.id.as_deref() == Some(reference)
            || *self.name == *reference
            || *self.name == *words(reference)
    }
}

/// Small letters, digits, and a line between them.
pub(super) fn words(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if name.len() >= LONGEST_NAME {
            break;
        }
    }
    name.trim_end_matches('_').to_owned()
}

/// `attack.t1110.001` is `T1110.001`.
fn technique(tag: &str) -> Option<String> {
    let number = tag.strip_prefix("attack.t")?;
    number
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'.')
        .then(|| format!("T{number}"))
}
