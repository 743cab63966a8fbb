//! A rule about what other rules choose: how often, how many different, in which order.

use super::fault::{Fault, quoted};
use super::field::Field;
use super::heading::{Heading, words};
use super::selection::unknown;
use super::yaml::Node;

/// Rules of one correlation; each costs memory in each group.
const MOST_RULES: usize = 16;
/// Fields that a correlation groups by.
const MOST_FIELDS: usize = 8;
/// Largest number of calls.
const MOST_CALLS: u64 = 1_000_000;
/// Largest number of different values, which are held one by one.
const MOST_VALUES: u64 = 1_000;
/// Longest timespan: nobody runs an agent for a year to wait for one call.
const LONGEST_S: u64 = 30 * 86_400;
const SECOND_NS: u64 = 1_000_000_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Events,
    Values,
    Temporal,
    Ordered,
}

/// An alias, and for each rule the field that it stands for.
type Alias = (String, Vec<(String, Field)>);

/// A name in the text and its line.
pub(super) type Named = (String, usize);

/// A correlation as it is written.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) heading: Heading,
    pub(super) kind: Kind,
    /// Rules it refers to.
    pub(super) rules: Vec<Named>,
    group_by: Vec<Named>,
    aliases: Vec<Alias>,
    timespan_ns: u64,
    least: u64,
    most: Option<u64>,
    field: Option<Named>,
    pub(super) generate: bool,
    definition: String,
}

/// A rule of the same set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Event(usize),
    Correlation(usize),
}

/// One of the rules of a correlation.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) member: Member,
    /// What its calls are grouped by.
    pub(super) groups: Vec<Field>,
    /// Whose values are counted.
    pub(super) field: Option<Field>,
}

/// A correlation whose rules are known.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    pub(super) heading: Heading,
    pub(super) kind: Kind,
    pub(super) parts: Vec<Part>,
    pub(super) timespan_ns: u64,
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    /// What was read of it and of its rules, without lines.
    pub(super) definition: String,
    pub(super) told: bool,
}

impl Draft {
    pub(super) fn read(node: &Node, section: &Node) -> Result<Self, Fault> {
        let heading = Heading::read(node)?;
        let wrong = |line: usize, what: String| Fault::new(line, format!("correlation: {what}"));
        let kind = match section.get("type").and_then(Node::text) {
            Some("event_count") => Kind::Events,
            Some("value_count") => Kind::Values,
            Some("temporal") => Kind::Temporal,
            Some("temporal_ordered") => Kind::Ordered,
            other => {
                let line = section.get("type").map_or(section.line, |node| node.line);
                let what = format!(
                    "the type {} is not taken: there are event_count, value_count, temporal and temporal_ordered",
                    quoted(other.unwrap_or_default())
                );
                return Err(wrong(line, what));
            }
        };
        let rules = names(section, "rules", MOST_RULES)?;
        if rules.is_empty() {
            return Err(wrong(
                section.line,
                "needs rules: names or ids of other rules".to_owned(),
            ));
        }
        let timespan = section
            .get("timespan")
            .or_else(|| section.get("timeframe"))
            .ok_or_else(|| wrong(section.line, "needs a timespan, such as 5m".to_owned()))?;
        let timespan_ns = timespan
            .text()
            .and_then(seconds)
            .filter(|seconds| (1..=LONGEST_S).contains(seconds))
            .ok_or_else(|| {
                wrong(
                    timespan.line,
                    "timespan: must be a number with s, m, h or d, 30d at most".to_owned(),
                )
            })?
            * SECOND_NS;
        let (least, most) = range(section, kind, rules.len())?;
        let field = section
            .get("condition")
            .and_then(|condition| condition.get("field"))
            .or_else(|| section.get("field"))
            .and_then(|node| Some((node.text()?.to_owned(), node.line)));
        if field.is_none() && kind == Kind::Values {
            return Err(wrong(
                section.line,
                "value_count needs `field` in its condition".to_owned(),
            ));
        }
        let generate = [section.get("generate"), node.get("generate")]
            .into_iter()
            .flatten()
            .any(|node| node.truth() == Some(true));
        let mut definition = String::new();
        node.print(&mut definition);
        Ok(Self {
            heading,
            kind,
            rules,
            group_by: names(section, "group-by", MOST_FIELDS)?,
            aliases: aliases(section)?,
            timespan_ns,
            least,
            most,
            field,
            generate,
            definition,
        })
    }

    /// The correlation, with its rules found: each with its name and what was read of it.
    pub(super) fn link(&self, members: &[(Member, &str, &str)]) -> Result<Correlation, Fault> {
        let mut definition = self.definition.clone();
        let mut parts = Vec::new();
        for (member, name, of_member) in members {
            definition.push_str(of_member);
            let field = |(wanted, line): &Named| self.field(wanted, *line, name);
            parts.push(Part {
                member: *member,
                groups: self.group_by.iter().map(field).collect::<Result<_, _>>()?,
                field: self.field.as_ref().map(field).transpose()?,
            });
        }
        Ok(Correlation {
            heading: self.heading.clone(),
            kind: self.kind,
            parts,
            timespan_ns: self.timespan_ns,
            least: self.least,
            most: self.most,
            definition,
            told: true,
        })
    }

    /// The field that a name stands for in calls of a rule.
    fn field(&self, wanted: &str, line: usize, rule: &str) -> Result<Field, Fault> {
        if let Some((_, fields)) = self.aliases.iter().find(|(alias, _)| alias == wanted) {
            let found = fields.iter().find(|(of, _)| words(of) == rule);
            return found.map(|(_, field)| *field).ok_or_else(|| {
                Fault::new(
                    line,
                    format!(
                        "correlation: the alias {} says nothing of the rule {}",
                        quoted(wanted),
                        quoted(rule)
                    ),
                )
            });
        }
        Field::named(wanted)
            .ok_or_else(|| Fault::new(line, format!("correlation: {}", unknown(wanted))))
    }
}

/// A list of names.
fn names(section: &Node, key: &str, most: usize) -> Result<Vec<Named>, Fault> {
    let Some(node) = section.get(key) else {
        return Ok(Vec::new());
    };
    if node.items().len() > most {
        return Err(Fault::new(
            node.line,
            format!("correlation: {key}: more than {most}"),
        ));
    }
    node.items()
        .iter()
        .map(|item| {
            item.text()
                .map(|text| (text.to_owned(), item.line))
                .ok_or_else(|| {
                    Fault::new(
                        item.line,
                        format!("correlation: {key}: must be a name or a list of names"),
                    )
                })
        })
        .collect()
}

fn aliases(section: &Node) -> Result<Vec<Alias>, Fault> {
    let Some(node) = section.get("aliases") else {
        return Ok(Vec::new());
    };
    let shape = |line| {
        let what = "correlation: aliases: must be a map of aliases, each a map of rules and fields";
        Fault::new(line, what)
    };
    let mut found = Vec::new();
    for (alias, fields) in node.map().ok_or_else(|| shape(node.line))? {
        let mut of_rules = Vec::new();
        for (rule, field) in fields.map().ok_or_else(|| shape(fields.line))? {
            let name = field.text().ok_or_else(|| shape(field.line))?;
            let known = Field::named(name).ok_or_else(|| {
                Fault::new(
                    field.line,
                    format!("correlation: aliases: {}", unknown(name)),
                )
            })?;
            of_rules.push((rule.name.clone(), known));
        }
        found.push((alias.name.clone(), of_rules));
    }
    Ok(found)
}

/// Least and most of what is counted.
fn range(section: &Node, kind: Kind, rules: usize) -> Result<(u64, Option<u64>), Fault> {
    let all = u64::try_from(rules).unwrap_or(u64::MAX);
    let condition = section.get("condition");
    let line = condition.map_or(section.line, |node| node.line);
    let wrong = |what: String| Fault::new(line, format!("correlation: condition: {what}"));
    match (kind, condition) {
        (Kind::Temporal | Kind::Ordered, None) => return Ok((all, None)),
        (Kind::Ordered, Some(_)) => {
            return Err(wrong(
                "temporal_ordered has none: all rules must match in order".to_owned(),
            ));
        }
        _ => {}
    }
    let entries = condition
        .and_then(Node::map)
        .ok_or_else(|| wrong("must be a map such as `gte: 10`".to_owned()))?;
    let (mut least, mut most) = (None, None);
    for (key, value) in entries {
        if key.name == "field" {
            continue;
        }
        let number = value.text().and_then(|text| text.parse::<u64>().ok());
        let number =
            number.ok_or_else(|| wrong(format!("{}: must be a whole number", key.name)))?;
        match key.name.as_str() {
            "gt" => least = Some(number.saturating_add(1)),
            "gte" => least = Some(number),
            "lt" => most = Some(number.saturating_sub(1)),
            "lte" => most = Some(number),
            "eq" => (least, most) = (Some(number), Some(number)),
            other => {
                return Err(wrong(format!(
                    "{} is not taken: there are gt, gte, lt, lte and eq",
                    quoted(other)
                )));
            }
        }
    }
    let Some(least) = least.filter(|least| *least > 0) else {
        return Err(wrong(
            "needs gt, gte or eq with a number above zero: a count that is only below a number is true before the first call"
                .to_owned(),
        ));
    };
    let bound = match kind {
        Kind::Events => MOST_CALLS,
        Kind::Values => MOST_VALUES,
        Kind::Temporal | Kind::Ordered => all,
    };
    if least > bound || most.is_some_and(|most| most < least) {
        return Err(wrong(format!(
            "must be between 1 and {bound}, and not end before it starts"
        )));
    }
    // What is held of values ends a little above the least.
    let most = if kind == Kind::Values {
        most.map(|most| most.min(MOST_VALUES))
    } else {
        most
    };
    Ok((least, most))
}

/// Seconds of `10s`, `5m`, `2h`, `1d`.
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}
