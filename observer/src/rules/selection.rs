//! A named part of a detection: which calls it chooses.

use super::fault::{Fault, quoted};
use super::field::{Field, never_kept};
use super::test::{Comparison, Manner, Test};
use super::yaml::{Node, Value};
use crate::call::ApiCall;

/// Values of one key: public rules have some hundred.
const MOST_VALUES: usize = 4096;

/// One key with its values.
#[derive(Clone, Debug)]
struct Item {
    /// `None`: any field of text.
    field: Option<Field>,
    tests: Vec<Test>,
    /// All values must fit, not any.
    all: bool,
    /// None may fit.
    not: bool,
}

/// All keys of one map, or any of several maps.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    maps: Vec<Vec<Item>>,
}

impl Selection {
    pub(super) fn read(node: &Node) -> Result<Self, Fault> {
        let maps = match &node.value {
            Value::Map(_) => vec![items(node)?],
            Value::List(nodes) if nodes.is_empty() => {
                return Err(Fault::new(
                    node.line,
                    "an empty selection chooses nothing: give it a key and a value",
                ));
            }
            Value::List(nodes) if nodes.iter().any(|node| node.map().is_some()) => {
                nodes.iter().map(items).collect::<Result<_, _>>()?
            }
            _ => vec![vec![item("", node.line, node)?]],
        };
        Ok(Self { maps })
    }

    /// The call is one of those.
    pub(super) fn chooses(&self, call: &ApiCall) -> bool {
        self.maps
            .iter()
            .any(|items| items.iter().all(|item| item.fits(call)))
    }
}

fn items(node: &Node) -> Result<Vec<Item>, Fault> {
    let entries = node.map().ok_or_else(|| {
        Fault::new(
            node.line,
            "a selection is a map of fields and values, a list of such maps, or a list of words",
        )
    })?;
    if entries.is_empty() {
        return Err(Fault::new(
            node.line,
            "an empty selection chooses everything: give it a key and a value",
        ));
    }
    entries
        .iter()
        .map(|(key, value)| item(&key.name, key.line, value))
        .collect()
}

/// Reads `field|modifier|modifier`, which stands on `line`, and its values.
fn item(key: &str, line: usize, node: &Node) -> Result<Item, Fault> {
    let mut words = key.split('|');
    let name = words.next().unwrap_or_default();
    let wrong = |what: String| Fault::new(line, what);
    let field = if name.is_empty() {
        None
    } else {
        Some(Field::named(name).ok_or_else(|| wrong(unknown(name)))?)
    };
    let (mut manner, mut all, mut not) = (Manner::default(), false, false);
    for word in words {
        let comparison = match word {
            "contains" => Comparison::Contains,
            "startswith" => Comparison::StartsWith,
            "endswith" => Comparison::EndsWith,
            "re" => Comparison::Expression,
            "cidr" => Comparison::Network,
            "gt" => Comparison::Greater,
            "gte" => Comparison::GreaterOrEqual,
            "lt" => Comparison::Less,
            "lte" => Comparison::LessOrEqual,
            "exists" => Comparison::Exists,
            "fieldref" => Comparison::SameAs,
            "all" => {
                all = true;
                continue;
            }
            "neq" => {
                not = true;
                continue;
            }
            "cased" => {
                manner.cased = true;
                continue;
            }
            "i" | "m" | "s" if manner.comparison == Comparison::Expression => {
                let [i, m, s] = &mut manner.expression;
                *match word {
                    "i" => i,
                    "m" => m,
                    _ => s,
                } = true;
                continue;
            }
            other => {
                return Err(wrong(format!(
                    "{key}: the modifier {} is not taken: there are contains, startswith, endswith, re (with i, m, s), \
                     cidr, gt, gte, lt, lte, exists, fieldref, all, neq and cased",
                    quoted(other)
                )));
            }
        };
        if manner.comparison != Comparison::Equal {
            return Err(wrong(format!(
                "{key}: two modifiers that exclude each other"
            )));
        }
        manner.comparison = comparison;
    }
    let needs_field = matches!(manner.comparison, Comparison::Exists | Comparison::SameAs);
    if field.is_none() && needs_field {
        return Err(wrong(format!("{key}: needs a field before the modifier")));
    }
    let values = node.items();
    if values.is_empty() {
        return Err(wrong(format!("{key}: there is no value")));
    }
    if values.len() > MOST_VALUES {
        return Err(wrong(format!("{key}: more than {MOST_VALUES} values")));
    }
    let tests = values
        .iter()
        .map(|value| Test::read(value, field, manner))
        .collect::<Result<_, _>>()?;
    Ok(Item {
        field,
        tests,
        all,
        not,
    })
}

/// Says what is there instead.
pub(super) fn unknown(name: &str) -> String {
    if let Some(reason) = never_kept(name) {
        return format!("there is no field {}: {reason}", quoted(name));
    }
    let names: Vec<&str> = Field::all().iter().map(|field| field.name).collect();
    format!(
        "there is no field {}: there are {}",
        quoted(name),
        names.join(", ")
    )
}

impl Item {
    fn fits(&self, call: &ApiCall) -> bool {
        let Self {
            field,
            tests,
            all,
            not,
        } = self;
        let passes = |test: &Test| match field {
            Some(field) => test.passes(*field, call),
            None => Field::all().iter().any(|field| test.passes(*field, call)),
        };
        let fits = if *all {
            tests.iter().all(passes)
        } else {
            tests.iter().any(passes)
        };
        fits != *not
    }
}
