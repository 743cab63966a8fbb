//! The limits of the settings: a list of tables.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::capture_table::network;
use super::settings::Settings;
use super::table::{
    Given, Setting, boolean, duration, integer, list, show_list, string, toml_string,
};
use super::values::{in_range, quoted, show_time, time};
use crate::usage::{Action, Counted, Dimension, Limit, LimitWindow, Period};

/// Each is held against each call.
const MOST_LIMITS: usize = 32;
/// Shorter windows are told apart no better than calls are; longer ones are quotas.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Above this nothing is limited.
const MOST: RangeInclusive<u64> = 1..=(1 << 53);

/// Longer than this is for a firewall.
const BLOCK_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// The kernel half has room for as many.
const BLOCK_ENTRIES: RangeInclusive<u64> = 1..=observer_common::block::BLOCK_ENTRIES as u64;

/// The settings of blocking.
pub(super) const BLOCK: &[Setting] = &[
    Setting {
        key: "block.enabled",
        doc: &[
            "Drop what comes from clients that exceed a limit whose action is to block, and close their",
            "connections. The only setting that changes what happens to traffic.",
        ],
        set: |settings, given| {
            settings.block.enabled = boolean(given)?;
            Ok(())
        },
        show: |settings| Some(settings.block.enabled.to_string()),
        example: "",
    },
    Setting {
        key: "block.dry_run",
        doc: &[
            "Only tell who would be dropped. Set it to false after some days without surprises.",
        ],
        set: |settings, given| {
            settings.block.dry_run = boolean(given)?;
            Ok(())
        },
        show: |settings| Some(settings.block.dry_run.to_string()),
        example: "",
    },
    Setting {
        key: "block.time",
        doc: &["A client is let in again after this time: 1s to 1d."],
        set: |settings, given| {
            settings.block.time = duration(given, &BLOCK_TIME)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.block.time))),
        example: "",
    },
    Setting {
        key: "block.max_entries",
        doc: &["Clients dropped at a time, at most: 1 to 4096."],
        set: |settings, given| {
            let count = in_range(integer(given)?, &BLOCK_ENTRIES, |n| n.to_string())?;
            settings.block.max_entries = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.block.max_entries.to_string()),
        example: "",
    },
    Setting {
        key: "block.allow",
        doc: &[
            "Networks that are never dropped, whatever they do: gateways, health checks, offices.",
            "This host itself never is.",
        ],
        set: |settings, given| {
            settings.block.allow = list(given, network)?;
            Ok(())
        },
        show: |settings| {
            show_list(
                settings
                    .block
                    .allow
                    .iter()
                    .map(|it| toml_string(&it.to_string())),
            )
        },
        example: "",
    },
];

/// The one setting of limits.
pub(super) const LIMIT: Setting = Setting {
    key: "limit",
    doc: &[
        "What may be used, one table for each limit, also as [[limit]] sections. `per`: \"identity\",",
        "\"client\", \"endpoint\" or \"service\". `limit`: the number. `window`: \"1s\" to \"1d\", sliding, or a",
        "quota of the calendar (UTC): \"hour\", \"day\" or \"month\". Optional: `key`, whom it is for, a name as",
        "in `observer usage` or the beginning of one with a * after it (default: \"*\", each); `count`:",
        "\"calls\" (default), \"bytes\", \"errors\" or \"failures\"; `action`: \"alert\" (default), or \"block\" for",
        "clients and identities, see [block].",
    ],
    set: |settings, given| {
        let Given::List(items) = given else {
            return Err("must be a list of tables: write [[limit]]".to_owned());
        };
        if items.len() > MOST_LIMITS {
            return Err(format!(
                "has {} limits: use at most {MOST_LIMITS}",
                items.len()
            ));
        }
        let limits = items
            .into_iter()
            .enumerate()
            .map(|(at, item)| one(item).map_err(|what| format!("number {}: {what}", at + 1)));
        settings.limits = limits.collect::<Result<_, _>>()?;
        let mut ids: Vec<String> = settings.limits.iter().map(Limit::id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            Some(_) => {
                Err("two limits are for the same key, count and window: keep one".to_owned())
            }
            None => Ok(()),
        }
    },
    show: |settings| (!settings.limits.is_empty()).then(|| show(settings)),
    example: "[{ per = \"client\", limit = 600, window = \"1m\" }]",
};

fn word<T: Copy>(given: Given<'_>, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let text = string(given)?;
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        format!("{} is not known: use {}", quoted(text), names.join(", "))
    })
}

fn one(given: Given<'_>) -> Result<Limit, String> {
    let Given::Table(entries) = given else {
        return Err("must be a table: write [[limit]]".to_owned());
    };
    let mut read = Limit {
        key: "*".to_owned(),
        per: Dimension::Client,
        count: Counted::Calls,
        limit: 0,
        window: LimitWindow::Calendar(Period::Day),
        action: Action::Alert,
    };
    let mut wanted = vec!["per", "limit", "window"];
    for (key, value) in entries {
        wanted.retain(|name| *name != key);
        let set = match key {
            "key" => string(value).and_then(|text| {
                read.key = text.to_owned();
                let beginning = text.strip_suffix('*').unwrap_or(text);
                if text.is_empty() || beginning.contains('*') {
                    return Err(
                        "must be a name, or the beginning of one with * after it".to_owned()
                    );
                }
                Ok(())
            }),
            "per" => word(value, &Dimension::ALL, Dimension::as_str).map(|per| read.per = per),
            "count" => word(value, &Counted::ALL, Counted::as_str).map(|count| read.count = count),
            "action" => word(value, &ACTIONS, Action::as_str).map(|action| read.action = action),
            "limit" => integer(value)
                .and_then(|number| in_range(number, &MOST, |n| n.to_string()))
                .map(|number| read.limit = number),
            "window" => window(value).map(|window| read.window = window),
            other => {
                return Err(format!(
                    "unknown key {}: a limit has key, per, count, limit, window, action",
                    quoted(other)
                ));
            }
        };
        set.map_err(|what| format!("{key}: {what}"))?;
    }
    match wanted.first() {
        Some(missing) => Err(format!("{missing} is missing")),
        None if read.action == Action::Block
            && matches!(read.per, Dimension::Endpoint | Dimension::Service) =>
        {
            Err("action: only a client or an identity can be blocked".to_owned())
        }
        None => Ok(read),
    }
}

/// What can be done about an excess.
const ACTIONS: [Action; 2] = [Action::Alert, Action::Block];

fn window(given: Given<'_>) -> Result<LimitWindow, String> {
    let text = match given {
        Given::Integer(_) => return Err("needs a unit: write \"60s\"".to_owned()),
        given => string(given)?,
    };
    if let Some(period) = Period::named(text) {
        return Ok(LimitWindow::Calendar(period));
    }
    let length = time(text).map_err(|what| format!("{what}, or hour, day or month"))?;
    in_range(length, &WINDOW, show_time).map(LimitWindow::Sliding)
}

fn show(settings: &Settings) -> String {
    let all = settings.limits.iter().map(|limit| {
        let Limit {
            key,
            per,
            count,
            limit,
            window,
            action,
        } = limit;
        let window = match window {
            LimitWindow::Sliding(length) => show_time(*length),
            LimitWindow::Calendar(period) => period.as_str().to_owned(),
        };
        format!(
            "{{ key = {}, per = \"{}\", count = \"{}\", limit = {limit}, window = \"{window}\", action = \"{}\" }}",
            toml_string(key),
            per.as_str(),
            count.as_str(),
            action.as_str()
        )
    });
    format!("[{}]", all.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config::{effective, parse};
    use crate::usage::{Counted, Dimension, LimitWindow, Period};

    #[test]
    fn limits_are_sections_of_a_list_and_are_shown_so_that_they_read_back() {
        let text = "[[limit]]\nkey = \"basic:partner-*\"\nper = \"identity\"\nlimit = 1000\nwindow = \"day\"\n\
                    [[limit]]\nper = \"client\"\ncount = \"failures\"\nlimit = 5\nwindow = \"10s\"\n";
        let read = parse(Path::new("o.toml"), text).unwrap();
        let [quota, rate] = &read.limits[..] else {
            panic!("{:?}", read.limits)
        };
        assert_eq!(quota.window, LimitWindow::Calendar(Period::Day));
        assert_eq!((quota.per, quota.limit), (Dimension::Identity, 1000));
        assert_eq!(quota.id(), "identity calls day basic:partner-*");
        assert_eq!(rate.window, LimitWindow::Sliding(Duration::from_secs(10)));
        assert_eq!((rate.count, &*rate.key), (Counted::Failures, "*"));
        let again = parse(Path::new("o.toml"), &effective(&read)).unwrap();
        assert_eq!(again.limits, read.limits);
    }

    #[test]
    fn a_wrong_limit_is_one_clear_error() {
        let good = "[[limit]]\nper = \"client\"\nlimit = 5\nwindow = \"10s\"\n";
        for (text, what) in [
            (
                "limit = 5\n",
                "o.toml:1: limit: must be a list of tables: write [[limit]]",
            ),
            ("limit = [5]\n", "limit: number 1: must be a table"),
            (
                "[[limit]]\nper = \"user\"\n",
                "number 1: per: \"user\" is not known: use identity, client, endpoint, service",
            ),
            (
                "[[limit]]\nper = \"client\"\nlimit = 0\n",
                "limit: 0 is out of range",
            ),
            (
                "[[limit]]\nper = \"client\"\nlimit = 5\n",
                "number 1: window is missing",
            ),
            ("[[limit]]\nwindow = \"week\"\n", "hour, day or month"),
            ("[[limit]]\nwindow = 60\n", "needs a unit"),
            ("[[limit]]\nkey = \"a*b\"\n", "with * after it"),
            (
                "[[limit]]\nburst = 5\n",
                "unknown key \"burst\": a limit has key, per",
            ),
            (
                "[[limit]]\naction = \"explode\"\n",
                "\"explode\" is not known",
            ),
            (&format!("{good}{good}"), "two limits are for the same"),
            (&good.repeat(33), "has 33 limits"),
        ] {
            let error = parse(Path::new("o.toml"), text).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
