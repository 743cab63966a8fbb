//! Rules that people write, in Sigma's language, over the fields of calls.
//!
//! In: a folder of YAML files, and calls whose outcome is known. Out: findings, as those of the
//! built-in detections. Never: a rule that is half understood (what is not supported is an error
//! that names file and line), or more memory than [`UserRules`] gives each correlation.
//!
//! Left to right: `yaml` reads a file into [`Node`](yaml::Node)s that know their lines; `read`
//! makes rules of them, each a `selection` of `test`s on a [`Field`] under a `condition`, or a
//! `correlation` of others; [`RuleSet`] is a whole folder; [`UserRules`] holds it against calls.
//!
//! Source: the Sigma specification 2.1.0, rules, correlations and modifiers.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unreachable
    )
)]

mod condition;
mod correlation;
mod event_rule;
mod fault;
mod field;
mod folder_state;
mod glob;
mod group;
mod heading;
mod read;
mod rule_set;
mod selection;
mod telling;
mod test;
mod user_rules;
mod window;
mod yaml;

#[cfg(test)]
mod tests;

pub use fault::RuleError;
pub use field::{Field, Kind as FieldKind};
pub use folder_state::FolderState;
pub use rule_set::RuleSet;
pub use user_rules::{RuleCounts, UserRules};
