//! Reads a settings file.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::settings::Settings;
use super::table::{Given, all_settings, split};
use super::values::quoted;

/// A settings file is a few hundred bytes; this keeps a mistaken path from filling the memory.
const MAX_FILE: u64 = 1 << 20;

/// Reads and checks the file at `path`. What it does not say stays at the default.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let read = |source: io::Error| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(read)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
            most: MAX_FILE,
        });
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(path, text),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + memchr::memchr_iter(b'\n', before).count();
            let what = "is not UTF-8 text".to_owned();
            Err(ConfigError::Line {
                path: path.to_owned(),
                line,
                what,
            })
        }
    }
}

/// Checks the text of a file; `path` is only for the messages. Of several errors the first in the
/// file is given.
///
/// # Errors
/// [`ConfigError::Line`].
pub fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let mut problems = Vec::new();
    let settings = read(text, &mut problems);
    let first = problems.into_iter().min_by_key(|(span, _)| span.start);
    match first {
        None => Ok(settings),
        Some((span, what)) => {
            let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
            let line = 1 + memchr::memchr_iter(b'\n', before).count();
            Err(ConfigError::Line {
                path: path.to_owned(),
                line,
                what,
            })
        }
    }
}

type Problem = (Range<usize>, String);

fn read(text: &str, problems: &mut Vec<Problem>) -> Settings {
    let mut settings = Settings::default();
    match DeTable::parse(text) {
        Ok(document) => section("", document.get_ref(), &mut settings, problems),
        Err(error) => {
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            problems.push((error.span().unwrap_or(0..0), message));
        }
    }
    settings
}

fn section(
    section_name: &str,
    table: &DeTable<'_>,
    settings: &mut Settings,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let full = if section_name.is_empty() {
            name.to_owned()
        } else {
            format!("{section_name}.{name}")
        };
        let known = all_settings().find(|setting| setting.key == full);
        let is_section = section_name.is_empty()
            && all_settings().any(|setting| split(setting.key) == (name, split(setting.key).1));
        if let Some(setting) = known {
            if let Err(what) = given(value).and_then(|given| (setting.set)(settings, given)) {
                problems.push((key.span(), format!("{full}: {what}")));
            }
        } else if is_section {
            match value.get_ref() {
                DeValue::Table(inner) => section(name, inner, settings, problems),
                _ => problems.push((key.span(), format!("{name}: is a section: write [{name}]"))),
            }
        } else {
            problems.push((key.span(), unknown(section_name, name, &full)));
        }
    }
}

fn given<'a>(value: &'a Spanned<DeValue<'_>>) -> Result<Given<'a>, String> {
    Ok(match value.get_ref() {
        DeValue::String(text) => Given::Text(text),
        DeValue::Boolean(value) => Given::Bool(*value),
        DeValue::Integer(integer) => match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Given::Integer(value),
            Err(_) => return Err(format!("{} is out of range", quoted(integer.as_str()))),
        },
        DeValue::Float(_) => Given::Other("a number with a fraction"),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(items) => Given::List(items.iter().map(given).collect::<Result<_, _>>()?),
        DeValue::Table(entries) => Given::Table(
            entries
                .iter()
                .map(|(key, value)| Ok((&**key.get_ref(), given(value)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

/// Says what is there instead: the key in its own section if it is merely misplaced, else the
/// keys of this section.
fn unknown(section: &str, name: &str, full: &str) -> String {
    let full = quoted(full);
    let elsewhere = all_settings().find(|setting| split(setting.key).1 == name);
    if let Some(setting) = elsewhere {
        let (section, name) = split(setting.key);
        let place = if section.is_empty() {
            "before the first section".to_owned()
        } else {
            format!("in section [{section}]")
        };
        return format!("unknown key {full}: {name} stands {place}");
    }
    let keys = |wanted: &str| -> Vec<&str> {
        all_settings()
            .map(|s| split(s.key))
            .filter(|(s, _)| *s == wanted)
            .map(|(_, n)| n)
            .collect()
    };
    if section.is_empty() {
        let mut sections: Vec<&str> = all_settings().map(|s| split(s.key).0).collect();
        sections.dedup();
        sections.retain(|section| !section.is_empty());
        format!(
            "unknown key {full}: there are {}, and the sections {}",
            keys("").join(", "),
            sections.join(", ")
        )
    } else {
        format!(
            "unknown key {full}: section [{section}] has {}",
            keys(section).join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{load, parse};
    use crate::config::{Format, Settings, effective, sample};
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::path::Path;
    use std::time::Duration;

    fn error(text: &str) -> String {
        parse(Path::new("o.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn filters_are_lists_and_each_entry_is_checked() {
        let text = "[capture]\nports = [80, 443]\nexclude_ports = 22\n\
                    exclude_addresses = [\"10.0.0.0/8\", \"::1\"]\n\
                    exclude_processes = [\"backup\"]\nexclude_cgroups = [\"/a.slice\"]\n";
        let read = parse(Path::new("o.toml"), text).unwrap().capture.filters;
        assert_eq!(read.ports, [80, 443]);
        assert_eq!(read.exclude_ports, [22]);
        assert_eq!(read.exclude_addresses.len(), 2);
        assert_eq!(read.exclude_processes, ["backup"]);
        assert_eq!(read.exclude_cgroups, ["/a.slice"]);
        for (line, what) in [
            ("ports = [0]", "1 to 65535"),
            ("ports = [\"http\"]", "must be a whole number"),
            ("exclude_addresses = [\"10.0.0.0/33\"]", "number up to 32"),
            ("exclude_processes = [\"\"]", "is empty"),
            ("exclude_processes = [[]]", "must be a string, not a list"),
        ] {
            let error = error(&format!("[capture]\n{line}\n"));
            assert!(error.contains(what), "{line}: {error}");
        }
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let text = "format = \"jsonl\"\nmetrics = \"off\"\nduration = 20\n[capture]\nring_bytes = \"64MiB\"\n\
                    tls = false\n[detect]\nauth_failures = 0x20\nauth_window = \"5m\"\n";
        let read = parse(Path::new("o.toml"), text).unwrap();
        let mut expected = Settings {
            format: Format::Jsonl,
            metrics: None,
            duration: Some(Duration::from_secs(20)),
            ..Settings::default()
        };
        expected.capture.ring_bytes = 64 << 20;
        expected.capture.tls = false;
        expected.detect.auth_failures = 32;
        expected.detect.auth_window = Duration::from_secs(300);
        assert_eq!(read, expected);
        assert_eq!(
            parse(Path::new("o.toml"), &effective(&read)).unwrap(),
            expected
        );
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_key() {
        assert_eq!(
            error("format = \"table\"\n\n[detect]\nauth_window = \"10 parsecs\"\n"),
            "o.toml:4: detect.auth_window: \"10 parsecs\" is not a time: use a whole number with a \
             unit (ms, s, m, h, d), such as 60s"
        );
        assert_eq!(
            error("[detect]\nauth_failures = 1\n"),
            "o.toml:2: detect.auth_failures: 1 is out of range: 2 to 256"
        );
        assert_eq!(
            error("[detect]\nauth_failure = 5\n"),
            "o.toml:2: unknown key \"detect.auth_failure\": section [detect] has auth_failures, auth_window, distinct_username_count, \
                 login_failure_ratio, slow_failures, distinct_paths, distinct_objects, spike_factor, rules"
        );
        assert_eq!(
            error("[capture]\nformat = \"table\"\n"),
            "o.toml:2: unknown key \"capture.format\": format stands before the first section"
        );
        assert_eq!(
            error("auth_window = \"60s\"\n"),
            "o.toml:1: unknown key \"auth_window\": auth_window stands in section [detect]"
        );
        assert_eq!(
            error("[detekt]\n"),
            "o.toml:1: unknown key \"detekt\": there are format, metrics, state_dir, duration, limit, and \
             the sections identity, catalog, unsafe_capture, capture, audit, proxies, detect, alert, block"
        );
        assert_eq!(
            error("capture = 1\n"),
            "o.toml:1: capture: is a section: write [capture]"
        );
        assert_eq!(
            error("[capture]\nring_bytes = \"10MiB\"\n"),
            "o.toml:2: capture.ring_bytes: 10MiB is not a power of two: use 16MiB"
        );
        assert_eq!(
            error("[capture]\n\ntls = \"yes\"\n"),
            "o.toml:3: capture.tls: must be true or false, not a string"
        );
        assert_eq!(
            error("[detect]\nauth_failures = -3\n"),
            "o.toml:2: detect.auth_failures: \"-3\" is out of range"
        );
        assert!(error("\n\nformat = \n").starts_with("o.toml:3: "));
        assert!(error("format=\"table\"\nformat=\"table\"\n").starts_with("o.toml:2: "));
        assert!(error("b = 1\na = 1\n").starts_with("o.toml:1: "));
    }

    #[test]
    fn files_that_cannot_be_settings_are_refused() {
        let missing = load(Path::new("/nonexistent/o.toml"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("/nonexistent/o.toml: No such file"),
            "{missing}"
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"format = \"table\"\n# \xff\n").unwrap();
        let binary = load(file.path()).unwrap_err().to_string();
        assert!(binary.ends_with(":2: is not UTF-8 text"), "{binary}");
        let endless = load(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(endless.contains("is it the right file?"), "{endless}");
    }

    #[test]
    fn the_sample_is_the_one_shipped_and_is_valid_with_every_line_in_force() {
        let sample = sample();
        let shipped = include_str!("../../../deploy/observer.toml");
        assert_eq!(
            sample, shipped,
            "write the output of `sample()` to deploy/observer.toml"
        );
        assert_eq!(
            parse(Path::new("o.toml"), &sample).unwrap(),
            Settings::default()
        );
        let in_force: String = sample
            .lines()
            .map(|line| {
                let line = if line.contains(" = ") {
                    line.trim_start_matches("# ")
                } else {
                    line
                };
                format!("{line}\n")
            })
            .collect();
        let read = parse(Path::new("o.toml"), &in_force).unwrap();
        assert_eq!(
            read,
            Settings {
                duration: Some(Duration::from_secs(3600)),
                // Set by their examples: where alerts go is up to who has somewhere to send them.
                alert: read.alert.clone(),
                openapi_documents: Some("/etc/observer/openapi".into()),
                limits: read.limits.clone(),
                rules: Some("/etc/observer/rules".into()),
                ..Settings::default()
            }
        );
        assert_eq!(read.limits.len(), 1);
        let alert = &read.alert;
        assert!(alert.alertmanager.is_some() && alert.webhook.is_some() && alert.slack.is_some());
        assert!(alert.syslog.is_some() && alert.webhook_secret_file.is_some());
        assert!(alert.mail_server.is_some() && alert.mail_to.len() == 1 && alert.ca_file.is_some());
        assert!(alert.mail_password_file.is_some() && alert.slack_file.is_some());
        assert_eq!(alert.cooldown, Settings::default().alert.cooldown);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([a-z_.]{1,14} ?= ?[0-9a-zA-Z\"\\[\\]{}.-]{0,12}|\\[[a-z]{0,8}\\]|.{0,12}\n){0,6}") {
            let _ = parse(Path::new("o.toml"), &text);
        }
    }
}
