//! A rule about single calls.

use super::condition::Condition;
use super::fault::{Fault, quoted};
use super::heading::Heading;
use super::selection::Selection;
use super::yaml::Node;
use crate::call::{ApiCall, Role};

/// Selections of a rule: public rules have at most some dozen.
const MOST_SELECTIONS: usize = 256;
/// Categories of log sources that calls are (Sigma taxonomy, "Web" and "Network").
const CATEGORIES: [&str; 4] = ["webserver", "proxy", "api", "application"];
/// Products whose calls can be seen; only asked for where no category is given.
const PRODUCTS: [&str; 6] = ["observer", "nginx", "apache", "iis", "web", "http"];

/// Chooses calls.
#[derive(Clone, Debug)]
pub(super) struct EventRule {
    pub(super) heading: Heading,
    /// Only calls seen at this end.
    role: Option<Role>,
    selections: Vec<Selection>,
    condition: Condition,
    /// What was read, without lines.
    pub(super) definition: String,
    /// Its matches are findings; else it is only there for a correlation.
    pub(super) told: bool,
}

impl EventRule {
    pub(super) fn read(node: &Node, detection: &Node) -> Result<Self, Fault> {
        let heading = Heading::read(node)?;
        let entries = detection.map().ok_or_else(|| {
            Fault::new(
                detection.line,
                "detection: must hold selections and a condition",
            )
        })?;
        let (mut names, mut selections) = (Vec::new(), Vec::new());
        for (key, value) in entries {
            match key.name.as_str() {
                "condition" => {}
                "timeframe" => {
                    return Err(Fault::new(
                        key.line,
                        "timeframe: is not taken: write a rule of type correlation with a timespan",
                    ));
                }
                name if selections.len() < MOST_SELECTIONS => {
                    names.push(name);
                    selections.push(Selection::read(value)?);
                }
                _ => {
                    return Err(Fault::new(
                        key.line,
                        format!("more than {MOST_SELECTIONS} selections"),
                    ));
                }
            }
        }
        let Some(condition) = detection.get("condition") else {
            return Err(Fault::new(
                detection.line,
                "detection: needs a condition, such as `condition: selection`",
            ));
        };
        let mut conditions = Vec::new();
        for one in condition.items() {
            let wrong = |what: &str| Fault::new(one.line, format!("condition: {what}"));
            let text = one.text().ok_or_else(|| wrong("must be a text"))?;
            conditions.push(Condition::read(text, &names).map_err(|what| wrong(&what))?);
        }
        let mut definition = String::new();
        node.print(&mut definition);
        Ok(Self {
            heading,
            role: role(node)?,
            selections,
            condition: Condition::Any(conditions),
            definition,
            told: true,
        })
    }

    /// The call is one of those that the rule is about.
    pub(super) fn chooses(&self, call: &ApiCall) -> bool {
        let Self {
            role,
            selections,
            condition,
            ..
        } = self;
        role.is_none_or(|role| role == call.role)
            && condition.holds(&mut |number| {
                selections
                    .get(number)
                    .is_some_and(|selection| selection.chooses(call))
            })
    }
}

/// Which end the source of a rule's events is at; an error if they are no calls.
fn role(node: &Node) -> Result<Option<Role>, Fault> {
    let Some(source) = node.get("logsource") else {
        return Ok(None);
    };
    let word = |key: &str| source.get(key).and_then(Node::text);
    let cannot = |key: &str, value: &str| {
        Fault::new(
            source.line,
            format!(
                "logsource: events of {key} {} are no API calls: the category can be {}",
                quoted(value),
                CATEGORIES.join(", ")
            ),
        )
    };
    match (word("category"), word("product")) {
        (Some("webserver"), _) => Ok(Some(Role::Server)),
        (Some(category), _) if CATEGORIES.contains(&category) => Ok(None),
        (Some(category), _) => Err(cannot("category", category)),
        (None, Some(product)) if !PRODUCTS.contains(&product) => Err(cannot("product", product)),
        (None, _) => Ok(None),
    }
}
