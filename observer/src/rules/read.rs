//! From the text of a file to its rules.

use super::correlation::Draft;
use super::event_rule::EventRule;
use super::fault::Fault;
use super::yaml::documents;

/// A rule as it is written.
#[derive(Clone, Debug)]
pub(super) enum Written {
    Event(EventRule),
    Correlation(Draft),
}

/// Reads the rules of a file, in their order.
pub(super) fn read(text: &str) -> Result<Vec<Written>, Fault> {
    documents(text)?
        .iter()
        .map(|node| {
            if node.map().is_none() {
                return Err(Fault::new(node.line, "a rule is a map with title and detection"));
            }
            match (node.get("detection"), node.get("correlation"), node.get("filter")) {
                (Some(detection), None, None) => EventRule::read(node, detection).map(Written::Event),
                (None, Some(correlation), None) => Draft::read(node, correlation).map(Written::Correlation),
                (_, _, Some(filter)) => Err(Fault::new(
                    filter.line,
                    "filter: is not taken: write `and not filter` into the condition of the rule",
                )),
                (Some(_), Some(correlation), None) => Err(Fault::new(
                    correlation.line,
                    "a rule has a detection or a correlation, not both: put `---` between two rules",
                )),
                (None, None, None) => Err(Fault::new(node.line, "a rule needs a detection or a correlation")),
            }
        })
        .collect()
}
