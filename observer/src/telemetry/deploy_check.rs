//! What is shipped for Prometheus and Grafana, against the metrics that exist.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::sample::{full, text};

const DASHBOARD: &str = include_str!("../../../deploy/grafana/dashboards/observer.json");
const RULES: &str = include_str!("../../../deploy/prometheus/observer.rules.yml");

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path)
}

/// Names of the samples in a scrape.
fn existing() -> BTreeSet<String> {
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    text(&full())
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(name)
        .collect()
}

/// Words in a query that look like one of our metrics, outside quotes.
fn metric_names(query: &str) -> BTreeSet<String> {
    let outside_quotes: String = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    outside_quotes
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            ["observer_", "http_", "process_"]
                .iter()
                .any(|p| word.starts_with(p))
        })
        .map(str::to_owned)
        .collect()
}

/// Every `expr` of the dashboard, wherever it stands, and the queries of its variables.
fn queries(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if key == "expr" || key == "definition" => out.push(text.to_owned()),
                    _ => queries(value, out),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| queries(item, out)),
        _ => {}
    }
}

fn promtool(args: &[&str], input: &str) -> Option<(bool, String)> {
    let child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: promtool is not installed (Debian package prometheus)");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[test]
fn the_dashboard_queries_only_metrics_that_exist() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut all = Vec::new();
    queries(&dashboard, &mut all);
    assert!(all.len() > 30, "{}", all.len());
    let existing = existing();
    for query in &all {
        let names = metric_names(query);
        assert!(!names.is_empty(), "{query}");
        for name in names {
            assert!(
                existing.contains(&name),
                "{name} does not exist, in {query}"
            );
        }
    }
}

#[test]
fn the_alerts_query_only_metrics_that_exist() {
    let existing = existing();
    let names = RULES
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', 'd', 's', '-']))
        .flat_map(metric_names)
        .collect::<BTreeSet<_>>();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        assert!(existing.contains(&name), "{name} does not exist");
    }
}

#[test]
fn panels_do_not_overlap_and_have_ids_of_their_own() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{}",
            panel["title"]
        );
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(
                    cells.insert((x, y)),
                    "{} overlaps another panel",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn promtool_accepts_a_scrape_without_a_remark() {
    if let Some((success, said)) = promtool(&["check", "metrics"], &text(&full())) {
        assert!(success && said.is_empty(), "{said}");
    }
}

#[test]
fn promtool_accepts_the_configuration_and_the_alerts() {
    let config = deploy("prometheus/prometheus.yml");
    if let Some((success, said)) = promtool(&["check", "config", config.to_str().unwrap()], "") {
        assert!(success, "{said}");
    }
}
