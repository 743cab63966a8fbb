//! Every query of every panel, taken to a real Prometheus that scrapes the agent under traffic,
//! gives data.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use observer_tests::{Agent, Nginx, Prometheus, curl, live};
use serde_json::Value;

/// How long traffic, scrapes and rates may take until every query has data.
const LIMIT: Duration = Duration::from_secs(40);
/// Rates over this many seconds; scrapes are one second apart.
const RATE: &str = "5s";

/// One query and the panel it is of.
#[derive(Debug)]
struct Panel {
    dashboard: String,
    title: String,
    query: String,
}

fn panels() -> Result<Vec<Panel>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/dashboards");
    let mut found = Vec::new();
    let entries = fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "json") {
            let board: Value = serde_json::from_str(&fs::read_to_string(&path)?)
                .with_context(|| path.display().to_string())?;
            let variables = variables(&board);
            let name = path.file_stem().unwrap_or_default().display().to_string();
            collect(&board, &name, &variables, &mut found);
        }
    }
    ensure!(
        !found.is_empty(),
        "no query in any dashboard of {}",
        folder.display()
    );
    Ok(found)
}

fn variables(board: &Value) -> Vec<String> {
    let list = board["templating"]["list"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut names: Vec<String> = list
        .iter()
        .filter_map(|it| it["name"].as_str().map(str::to_owned))
        .collect();
    // `$route` must not replace the beginning of `$route_name`.
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names
}

fn collect(value: &Value, board: &str, variables: &[String], found: &mut Vec<Panel>) {
    let panels = value["panels"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for panel in panels {
        let targets = panel["targets"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for target in targets {
            if let Some(query) = target["expr"].as_str() {
                found.push(Panel {
                    dashboard: board.to_owned(),
                    title: panel["title"].as_str().unwrap_or_default().to_owned(),
                    query: filled_in(query, variables),
                });
            }
        }
        // A row holds panels of its own.
        collect(panel, board, variables, found);
    }
}

fn filled_in(query: &str, variables: &[String]) -> String {
    let mut query = query.to_owned();
    for range in ["__rate_interval", "__interval", "__range"] {
        query = query
            .replace(&format!("${range}"), RATE)
            .replace(&format!("${{{range}}}"), RATE);
    }
    for name in variables {
        // `${name:regex}` is as good as `$name`.
        while let Some(at) = query.find(&format!("${{{name}")) {
            let Some(length) = query[at..].find('}') else {
                break;
            };
            query.replace_range(at..=at + length, ".*");
        }
        query = query.replace(&format!("${name}"), ".*");
    }
    query
}

/// Some of everything that a panel might show, over and over until told to stop.
fn traffic(nginx: &Nginx, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for base in [nginx.url(""), nginx.tls_url("")] {
            let mut urls: Vec<String> = [200, 201, 204, 401, 403, 404, 429, 500, 503]
                .iter()
                .map(|status| format!("{base}/status/{status}"))
                .collect();
            urls.push(format!("{base}/redirect"));
            let failures = vec![format!("{base}/status/401"); 20];
            let with = |credential: &str, urls: &[String]| {
                let mut all = vec!["-H".to_owned(), credential.to_owned()];
                all.extend_from_slice(urls);
                let _ = curl(&all);
            };
            let _ = curl(&urls);
            let _ = curl(&["-d", "x=1", &format!("{base}/accept")]);
            with("Authorization: Bearer not.a.token", &urls);
            with("Authorization: Bearer not.a.token", &failures);
            with("X-Api-Key: not-a-key", &urls);
        }
    }
}

#[test]
fn every_query_of_every_panel_gives_data() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "prometheus"]) else {
        return Ok(());
    };
    let mut waiting = panels()?;
    let nginx = Nginx::start(2)?;
    let agent = Agent::start()?;
    let prometheus = Prometheus::scraping(agent.metrics_port())?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| traffic(&nginx, &stop));
        let result = all_give_data(&prometheus, &mut waiting);
        stop.store(true, Ordering::Relaxed);
        result
    })
    .with_context(|| agent.diagnostics())
}

fn all_give_data(prometheus: &Prometheus, waiting: &mut Vec<Panel>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !waiting.is_empty() {
        let mut empty = Vec::new();
        for panel in waiting.drain(..) {
            // An error in a query will not go away: it ends the test at once.
            let series = prometheus
                .query(&panel.query)
                .with_context(|| format!("dashboard {}, panel {}", panel.dashboard, panel.title))?;
            if series.is_empty() {
                empty.push(panel);
            }
        }
        if Instant::now() >= deadline && !empty.is_empty() {
            bail!("no data for {} queries: {empty:#?}", empty.len());
        }
        *waiting = empty;
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

#[test]
fn variables_and_ranges_are_filled_in() {
    let names = vec!["route_name".to_owned(), "route".to_owned()];
    assert_eq!(
        filled_in(
            r#"rate(a{b=~"$route",c=~"${route_name:regex}"}[$__rate_interval])"#,
            &names
        ),
        r#"rate(a{b=~".*",c=~".*"}[5s])"#
    );
}
