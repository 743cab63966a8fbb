//! Every setting: its key, what it says, how it is read and shown.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::alert_table::ALERTS;
use super::audit_table::AUDIT;
use super::callers_table::{CALLERS, route_rule};
use super::capture_table::CAPTURE;
use super::findings_table::FINDINGS;
use super::limits_table::{BLOCK, LIMIT};
use super::settings::{Format, Settings};
use super::values::{in_range, parse_duration, parse_metrics, quoted, show_time, time};

/// Entries of one filter; the kernel half has room for as many.
pub(super) const FILTER_ENTRIES: usize = observer_common::conn::FILTER_ENTRIES as usize;
/// Fingerprints of two keys cannot be compared: a new one each hour would make them useless.
const KEY_ROTATION: RangeInclusive<Duration> =
    Duration::from_secs(86_400)..=Duration::from_secs(3660 * 86_400);
/// Names are kept in memory and become metric labels.
const MAX_SERVICES: RangeInclusive<u64> = 1..=10_000;
const MAX_ROUTES: RangeInclusive<u64> = 10..=10_000;

/// Each is compared with each key of each query.
const MAX_NAMES: usize = 64;

/// A value as it stands in a file.
#[derive(Clone, Debug)]
pub(super) enum Given<'a> {
    Bool(bool),
    Integer(u64),
    Text(&'a str),
    List(Vec<Given<'a>>),
    /// Keys with their values.
    Table(Vec<(&'a str, Given<'a>)>),
    /// Of a type that no setting has.
    Other(&'static str),
}

/// One setting.
pub(super) struct Setting {
    /// Section and key, such as `detect.auth_window`.
    pub(super) key: &'static str,
    /// What it says, for people; one line each.
    pub(super) doc: &'static [&'static str],
    /// Reads a value, or says what is wrong with it.
    pub(super) set: fn(&mut Settings, Given<'_>) -> Result<(), String>,
    /// The TOML value; `None` if it is not set.
    pub(super) show: fn(&Settings) -> Option<String>,
    /// What the sample shows if the default is not set.
    pub(super) example: &'static str,
}

/// All of them, sections together.
pub(super) fn all_settings() -> impl Iterator<Item = &'static Setting> {
    let tables = [GENERAL, CAPTURE, AUDIT, CALLERS, FINDINGS, ALERTS, BLOCK];
    tables.into_iter().flatten()
}

/// Those that have no table of their own, sections together.
const GENERAL: &[Setting] = &[
    Setting {
        key: "format",
        doc: &["How calls are shown: \"table\", \"jsonl\" or \"none\". Flag: --format."],
        set: |settings, given| {
            let text = string(given)?;
            settings.format = [Format::Table, Format::Jsonl, Format::None]
                .into_iter()
                .find(|format| format.as_str() == text)
                .ok_or_else(|| {
                    format!("{} is not a format: use table, jsonl or none", quoted(text))
                })?;
            Ok(())
        },
        show: |settings| Some(toml_string(settings.format.as_str())),
        example: "",
    },
    Setting {
        key: "metrics",
        doc: &["Where metrics and health are served, or \"off\". Flag: --metrics."],
        set: |settings, given| {
            settings.metrics = parse_metrics(string(given)?)?.into();
            Ok(())
        },
        show: |settings| {
            Some(toml_string(
                &settings
                    .metrics
                    .map_or("off".to_owned(), |at| at.to_string()),
            ))
        },
        example: "",
    },
    Setting {
        key: "state_dir",
        doc: &["Folder for what must outlive a run. Flag: --state-dir."],
        set: |settings, given| {
            let text = string(given)?;
            if text.is_empty() {
                return Err("is empty: use the path of a folder".to_owned());
            }
            settings.state_dir = PathBuf::from(text);
            Ok(())
        },
        show: |settings| Some(toml_string(&settings.state_dir.to_string_lossy())),
        example: "",
    },
    Setting {
        key: "duration",
        doc: &["Stop after this time. Not set: run until told to stop. Flag: --duration."],
        set: |settings, given| {
            settings.duration = Some(match given {
                Given::Integer(seconds) => parse_duration(&seconds.to_string())?,
                given => parse_duration(string(given)?)?,
            });
            Ok(())
        },
        show: |settings| settings.duration.map(|time| toml_string(&show_time(time))),
        example: "\"1h\"",
    },
    LIMIT,
    Setting {
        key: "identity.key_rotation",
        doc: &[
            "The key of the fingerprints of credentials is replaced after this time: 1d to 3660d.",
        ],
        set: |settings, given| {
            settings.identity.key_rotation = duration(given, &KEY_ROTATION)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.identity.key_rotation))),
        example: "",
    },
    Setting {
        key: "catalog.max_services",
        doc: &["Services that get a name of their own; the rest is \"{other}\": 1 to 10000."],
        set: |settings, given| {
            settings.catalog.max_services = count(given, &MAX_SERVICES)?;
            Ok(())
        },
        show: |settings| Some(settings.catalog.max_services.to_string()),
        example: "",
    },
    Setting {
        key: "catalog.max_routes_per_service",
        doc: &["Routes of a service that get a name of their own: 10 to 10000."],
        set: |settings, given| {
            settings.catalog.max_routes_per_service = count(given, &MAX_ROUTES)?;
            Ok(())
        },
        show: |settings| Some(settings.catalog.max_routes_per_service.to_string()),
        example: "",
    },
    Setting {
        key: "catalog.routes",
        doc: &[
            "Routes that are known and not learned, of all services or of one: [\"/users/{id}\",",
            "\"shop /files/{path...}\"].",
        ],
        set: |settings, given| {
            settings.route_rules = list(given, route_rule)?;
            Ok(())
        },
        show: |settings| {
            let rules = settings.route_rules.iter();
            show_list(rules.map(|rule| toml_string(&rule.to_string())))
        },
        example: "",
    },
    Setting {
        key: "catalog.openapi",
        doc: &[
            "Folder of OpenAPI documents in JSON, one file SERVICE.json each: the inventory tells what is",
            "documented and what is not.",
        ],
        set: |settings, given| {
            let text = string(given)?;
            if text.is_empty() {
                return Err("is empty: use the path of a folder".to_owned());
            }
            settings.openapi_documents = Some(PathBuf::from(text));
            Ok(())
        },
        show: |settings| {
            let folder = settings.openapi_documents.as_ref()?;
            Some(toml_string(&folder.to_string_lossy()))
        },
        example: "\"/etc/observer/openapi\"",
    },
    Setting {
        key: "unsafe_capture.query_values",
        doc: &[
            "Keys of queries whose values are told, such as \"page, limit\". What looks like a secret",
            "is replaced all the same. Without this no value of a query is told.",
        ],
        set: |settings, given| {
            settings.unsafe_capture.query_values = names(string(given)?)?.into();
            Ok(())
        },
        show: |settings| {
            Some(toml_string(
                &settings.unsafe_capture.query_values.join(", "),
            ))
        },
        example: "",
    },
];

/// Names between commas.
fn names(text: &str) -> Result<Vec<Box<str>>, String> {
    let names: Vec<Box<str>> = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(Box::from)
        .collect();
    if names.len() > MAX_NAMES {
        return Err(format!(
            "has {} names: use at most {MAX_NAMES}",
            names.len()
        ));
    }
    Ok(names)
}

/// Section and name of a key; the section of a key outside any is empty.
pub(super) fn split(key: &'static str) -> (&'static str, &'static str) {
    key.split_once('.').unwrap_or(("", key))
}

/// The settings in force, as TOML.
pub fn effective(settings: &Settings) -> String {
    render(|out, setting, name| {
        let _ = match (setting.show)(settings) {
            Some(value) => writeln!(out, "{name} = {value}"),
            None => writeln!(out, "# {name} is not set"),
        };
    })
}

/// A settings file that says what each setting means and changes nothing.
pub fn sample() -> String {
    let defaults = Settings::default();
    let head = "\
# Settings of the observer, all at their defaults. Check a file with
# `observer check-config FILE`; flags of `observer run` win over it.

";
    let body = render(|out, setting, name| {
        for line in setting.doc {
            let _ = writeln!(out, "# {line}");
        }
        let value = (setting.show)(&defaults).unwrap_or_else(|| setting.example.to_owned());
        let _ = writeln!(out, "# {name} = {value}");
    });
    format!("{head}{body}")
}

fn render(mut line: impl FnMut(&mut String, &Setting, &str)) -> String {
    let mut out = String::new();
    let mut section = "";
    for setting in all_settings() {
        let (its_section, name) = split(setting.key);
        if its_section != section {
            section = its_section;
            let _ = writeln!(out, "\n[{section}]");
        }
        line(&mut out, setting, name);
    }
    out
}

pub(super) fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) fn string(given: Given<'_>) -> Result<&str, String> {
    match given {
        Given::Text(text) => Ok(text),
        other => Err(format!("must be a string, not {}", kind(other))),
    }
}

pub(super) fn duration(
    given: Given<'_>,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, String> {
    match given {
        Given::Integer(_) => Err("needs a unit: write \"60s\"".to_owned()),
        given => in_range(time(string(given)?)?, range, show_time),
    }
}

pub(super) fn boolean(given: Given<'_>) -> Result<bool, String> {
    match given {
        Given::Bool(value) => Ok(value),
        other => Err(format!("must be true or false, not {}", kind(other))),
    }
}

pub(super) fn integer(given: Given<'_>) -> Result<u64, String> {
    match given {
        Given::Integer(value) => Ok(value),
        other => Err(format!("must be a whole number, not {}", kind(other))),
    }
}

fn count(given: Given<'_>, range: &RangeInclusive<u64>) -> Result<usize, String> {
    let count = in_range(integer(given)?, range, |n| n.to_string())?;
    usize::try_from(count).map_err(|_| "is too large for this machine".to_owned())
}

/// Each of a list, or a lone one without the brackets.
pub(super) fn list<T>(
    given: Given<'_>,
    one: impl Fn(Given<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let items = match given {
        Given::List(items) => items,
        lone => vec![lone],
    };
    if items.len() > FILTER_ENTRIES {
        return Err(format!("has more than {FILTER_ENTRIES} entries"));
    }
    items.into_iter().map(one).collect()
}

pub(super) fn show_list(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.collect();
    Some(format!("[{}]", items.join(", ")))
}

fn kind(given: Given<'_>) -> &'static str {
    match given {
        Given::Bool(_) => "true or false",
        Given::Integer(_) => "a number",
        Given::Text(_) => "a string",
        Given::List(_) => "a list",
        Given::Table(_) => "a section",
        Given::Other(kind) => kind,
    }
}
