//! What the index alone says of every record of a block: fits, does not, or must be read.

use super::block::{Block, Looked};
use super::filter::Node;
use super::predicate::Predicate;
use super::record::Value;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    No,
    Yes,
    /// The index does not hold the field.
    Unknown,
}

/// All records of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdicts {
    All(Verdict),
    Each(Vec<Verdict>),
}

impl Verdicts {
    pub(super) fn at(&self, at: usize) -> Verdict {
        match self {
            Self::All(verdict) => *verdict,
            Self::Each(verdicts) => verdicts.get(at).copied().unwrap_or(Verdict::Unknown),
        }
    }

    /// How many fit of so many records; `None` if that is not known of all.
    pub(super) fn decided(&self, records: usize) -> Option<u64> {
        match self {
            Self::All(Verdict::Yes) => Some(records as u64),
            Self::All(Verdict::No) => Some(0),
            Self::All(Verdict::Unknown) => None,
            Self::Each(verdicts) if verdicts.len() == records => {
                let count = |wanted| {
                    verdicts
                        .iter()
                        .filter(|verdict| **verdict == wanted)
                        .count()
                };
                (count(Verdict::Unknown) == 0).then(|| count(Verdict::Yes) as u64)
            }
            Self::Each(_) => None,
        }
    }

    pub(super) fn all_are(&self, wanted: Verdict) -> bool {
        match self {
            Self::All(verdict) => *verdict == wanted,
            Self::Each(verdicts) => verdicts.iter().all(|verdict| *verdict == wanted),
        }
    }

    fn combine(self, other: Self, join: impl Fn(Verdict, Verdict) -> Verdict) -> Self {
        match (self, other) {
            (Self::All(a), Self::All(b)) => Self::All(join(a, b)),
            (Self::All(one), Self::Each(mut each)) | (Self::Each(mut each), Self::All(one)) => {
                for verdict in &mut each {
                    *verdict = join(*verdict, one);
                }
                Self::Each(each)
            }
            (Self::Each(mut each), Self::Each(other)) => {
                for (a, b) in each.iter_mut().zip(other) {
                    *a = join(*a, b);
                }
                Self::Each(each)
            }
        }
    }
}

const fn and(a: Verdict, b: Verdict) -> Verdict {
    match (a, b) {
        (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
        (Verdict::Yes, Verdict::Yes) => Verdict::Yes,
        _ => Verdict::Unknown,
    }
}

const fn or(a: Verdict, b: Verdict) -> Verdict {
    match (a, b) {
        (Verdict::Yes, _) | (_, Verdict::Yes) => Verdict::Yes,
        (Verdict::No, Verdict::No) => Verdict::No,
        _ => Verdict::Unknown,
    }
}

const fn not(a: Verdict) -> Verdict {
    match a {
        Verdict::No => Verdict::Yes,
        Verdict::Yes => Verdict::No,
        Verdict::Unknown => Verdict::Unknown,
    }
}

const fn known(fits: bool) -> Verdict {
    if fits { Verdict::Yes } else { Verdict::No }
}

/// What the index of `block` says.
pub(super) fn judge(node: &Node, block: &Block) -> Verdicts {
    match node {
        Node::All(nodes) => {
            let mut result = Verdicts::All(Verdict::Yes);
            for node in nodes {
                result = result.combine(judge(node, block), and);
                if result.all_are(Verdict::No) {
                    return Verdicts::All(Verdict::No);
                }
            }
            result
        }
        Node::Any(nodes) => {
            let mut result = Verdicts::All(Verdict::No);
            for node in nodes {
                result = result.combine(judge(node, block), or);
                if result.all_are(Verdict::Yes) {
                    return Verdicts::All(Verdict::Yes);
                }
            }
            result
        }
        Node::Not(node) => judge(node, block).combine(Verdicts::All(Verdict::Yes), |a, _| not(a)),
        Node::Test(predicate) => test(predicate, block).unwrap_or(Verdicts::All(Verdict::Unknown)),
        Node::Since(ms) => time(block, |time| time >= *ms),
        Node::Until(ms) => time(block, |time| time < *ms),
    }
}

/// Both bounds decide for all between them, as every time filter has one end.
fn time(block: &Block, fits: impl Fn(u64) -> bool) -> Verdicts {
    let (least, most) = block.head().time;
    if fits(least) == fits(most) {
        return Verdicts::All(known(fits(least)));
    }
    match block.times() {
        Some(times) => Verdicts::Each(times.into_iter().map(|time| known(fits(time))).collect()),
        None => Verdicts::All(Verdict::Unknown),
    }
}

fn test(predicate: &Predicate, block: &Block) -> Option<Verdicts> {
    let column = match block.column(predicate.field) {
        Looked::Column(column) => column,
        Looked::Nowhere => return Some(Verdicts::All(known(predicate.fits(Value::Absent)))),
        Looked::Untold => return None,
    };
    if column.field().is_measured() {
        let fits = |row: u64| {
            let value = row.checked_sub(1).map_or(Value::Absent, Value::Number);
            known(predicate.fits(value))
        };
        return Some(Verdicts::Each(
            column.rows()?.into_iter().map(fits).collect(),
        ));
    }
    let text = column.text()?;
    if predicate.is_not_in(&text) {
        return Some(Verdicts::All(Verdict::No));
    }
    let mut table = Vec::new();
    column.values(&text, |value| table.push(known(predicate.fits(value))))?;
    // A value that no record of the block has need not be looked for.
    if let Some(first) = table.first().copied()
        && table.iter().all(|verdict| *verdict == first)
    {
        return Some(Verdicts::All(first));
    }
    let of = |row: u64| {
        let at = usize::try_from(row).unwrap_or(usize::MAX);
        table.get(at).copied().unwrap_or(Verdict::Unknown)
    };
    Some(Verdicts::Each(column.rows()?.into_iter().map(of).collect()))
}
