//! One comparison of a field with what a rule says.

use std::borrow::Cow;
use std::net::IpAddr;

use regex::{Regex, RegexBuilder};

use super::fault::{Fault, quoted};
use super::field::{Field, Kind, Value};
use super::glob::Glob;
use super::yaml::Node;
use crate::call::ApiCall;

/// Memory that one compiled expression may need, bytes: those of public rules need some thousand.
const EXPRESSION_BYTES: usize = 1 << 20;

/// How a value of a rule is compared (Sigma specification, "Modifiers").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Comparison {
    #[default]
    Equal,
    Contains,
    StartsWith,
    EndsWith,
    Expression,
    Network,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Exists,
    SameAs,
}

/// What modifiers say of all values of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) comparison: Comparison,
    pub(super) cased: bool,
    /// `i`, `m` and `s` of an expression.
    pub(super) expression: [bool; 3],
}

/// One comparison.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Text(Glob),
    Expression(Regex),
    Network(IpAddr, u8),
    Number(Comparison, u64),
    Exists(bool),
    SameAs(Field),
    /// There is no value, or an empty one.
    Nothing,
}

impl Test {
    /// Reads a value of a rule. `field`: what it is compared with; `None` for a keyword.
    pub(super) fn read(node: &Node, field: Option<Field>, manner: Manner) -> Result<Self, Fault> {
        let wrong = |what: String| Fault::new(node.line, what);
        let kind = field.map_or(Kind::Text, |field| field.kind);
        let name = field.map_or("a keyword", |field| field.name);
        if manner.comparison == Comparison::Exists {
            let truth = node
                .truth()
                .ok_or_else(|| wrong(format!("{name}|exists: must be true or false")))?;
            return Ok(Self::Exists(truth));
        }
        if node.is_null() {
            return Ok(Self::Nothing);
        }
        let text = node.text().ok_or_else(|| {
            wrong(format!(
                "{name}: a value must be a text or a number, not a list or a map"
            ))
        })?;
        let numeric = || {
            text.parse::<u64>()
                .map_err(|_| wrong(format!("{name}: {} is no whole number", quoted(text))))
        };
        Ok(match manner.comparison {
            Comparison::Expression => Self::Expression(expression(text, manner).map_err(wrong)?),
            Comparison::Network if kind == Kind::Address => {
                let (address, bits) = network(text).ok_or_else(|| {
                    wrong(format!(
                        "{name}|cidr: {} is no network, such as 10.0.0.0/8",
                        quoted(text)
                    ))
                })?;
                Self::Network(address, bits)
            }
            Comparison::Network => {
                return Err(wrong(format!(
                    "{name}|cidr: {name} is no address: use client or server"
                )));
            }
            comparison @ (Comparison::Greater
            | Comparison::GreaterOrEqual
            | Comparison::Less
            | Comparison::LessOrEqual) => {
                if kind != Kind::Number {
                    return Err(wrong(format!(
                        "{name} is no number: gt, gte, lt and lte compare numbers"
                    )));
                }
                Self::Number(comparison, numeric()?)
            }
            Comparison::SameAs => Self::SameAs(Field::named(text).ok_or_else(|| {
                wrong(format!(
                    "{name}|fieldref: there is no field {}",
                    quoted(text)
                ))
            })?),
            Comparison::Equal if text.is_empty() => Self::Nothing,
            Comparison::Equal if kind == Kind::Number && !Glob::is_wild(text) => {
                Self::Number(Comparison::Equal, numeric()?)
            }
            Comparison::Equal if kind == Kind::Address && !Glob::is_wild(text) => {
                let (address, bits) =
                    network(text)
                        .filter(|_| !text.contains('/'))
                        .ok_or_else(|| {
                            wrong(format!(
                                "{name}: {} is no address; for a network write {name}|cidr",
                                quoted(text)
                            ))
                        })?;
                Self::Network(address, bits)
            }
            comparison => {
                let before = field.is_none()
                    || matches!(comparison, Comparison::Contains | Comparison::EndsWith);
                let after = field.is_none()
                    || matches!(comparison, Comparison::Contains | Comparison::StartsWith);
                Self::Text(Glob::new(text, before, after, manner.cased))
            }
        })
    }

    /// Some value of the field passes.
    pub(super) fn passes(&self, field: Field, call: &ApiCall) -> bool {
        match self {
            Self::Exists(wanted) => field.any(call, &mut |_| true) == *wanted,
            Self::Nothing => !field.any(call, &mut |value| match value {
                Value::Text(text) => !text.is_empty(),
                _ => true,
            }),
            Self::SameAs(other) => field.any(call, &mut |value| {
                other.any(call, &mut |same| same == value)
            }),
            test => field.any(call, &mut |value| test.takes(&value)),
        }
    }

    fn takes(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Text(glob), value) => glob.fits(&shown(value)),
            (Self::Expression(expression), value) => expression.is_match(&shown(value)),
            (Self::Network(network, bits), Value::Address(address)) => {
                contains(*network, *bits, *address)
            }
            (Self::Number(comparison, wanted), Value::Number(number)) => match comparison {
                Comparison::Greater => number > wanted,
                Comparison::GreaterOrEqual => number >= wanted,
                Comparison::Less => number < wanted,
                Comparison::LessOrEqual => number <= wanted,
                _ => number == wanted,
            },
            _ => false,
        }
    }
}

fn shown<'a>(value: &'a Value<'_>) -> Cow<'a, str> {
    match value {
        Value::Text(text) => Cow::Borrowed(text),
        value => Cow::Owned(value.shown()),
    }
}

/// Compiles an expression, whose time is linear in the text whatever it is.
fn expression(text: &str, manner: Manner) -> Result<Regex, String> {
    let [insensitive, lines, dot] = manner.expression;
    RegexBuilder::new(text)
        .case_insensitive(insensitive)
        .multi_line(lines)
        .dot_matches_new_line(dot)
        .size_limit(EXPRESSION_BYTES)
        .build()
        .map_err(|error| {
            let last = error.to_string();
            let last = last.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("{} is no expression that can be used: {last} (look-around and back references are not taken)", quoted(text))
        })
}

/// An address, or a network with its length.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let differ = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros()
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).leading_zeros()
        }
        _ => return false,
    };
    differ >= u32::from(bits)
}
