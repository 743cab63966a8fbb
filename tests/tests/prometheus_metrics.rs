//! The metrics page, as promtool and a real Prometheus judge it.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::running::Running;
use observer_tests::{Agent, Nginx, Prometheus, curl, live, wait};

fn some_traffic(nginx: &Nginx) -> Result<()> {
    for base in [nginx.url(""), nginx.tls_url("")] {
        for status in [200, 204, 401, 403, 404, 500] {
            curl(&[
                format!("{base}/status/{status}"),
                format!("{base}/item/{status}"),
            ])?;
        }
    }
    Ok(())
}

#[test]
fn promtool_finds_no_fault_with_the_metrics() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "promtool"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let agent = Agent::start()?;
    some_traffic(&nginx)?;
    agent.wait_for_call("a call", Duration::from_secs(6), |call| {
        call.served_by(nginx.https)
    })?;
    let folder = tempfile::TempDir::new()?;
    let page = folder.path().join("metrics");
    fs::write(&page, agent.metrics()?.text)?;
    let report = folder.path().join("report");
    let mut promtool = Running::start(
        "promtool",
        Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(File::open(&page)?)
            .stdout(File::create(&report)?)
            .stderr(File::create(folder.path().join("errors"))?),
    )?;
    let status = promtool.wait(Duration::from_secs(10))?;
    let said = fs::read_to_string(&report)? + &fs::read_to_string(folder.path().join("errors"))?;
    ensure!(status.success(), "{said}");
    Ok(())
}

#[test]
fn no_label_has_an_address_a_raw_path_or_a_host() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start_with(2, "location /orders/ { return 200 'order'; }")?;
    let agent = Agent::start()?;
    for id in 1000..1040 {
        curl(&[
            "-H".to_owned(),
            format!("Host: tenant-{id}.example"),
            nginx.url(&format!("/orders/{id}")),
        ])?;
    }
    wait::until("the calls", Duration::from_secs(6), || {
        let calls = agent
            .calls_where(|call| call.path.starts_with("/orders/"))
            .ok()?;
        (calls.len() == 40).then_some(())
    })?;
    let metrics = agent.metrics()?;
    for sample in &metrics.samples {
        for (label, value) in &sample.labels {
            ensure!(
                !value.contains("127.0.0.1"),
                "{} {label}={value}",
                sample.name
            );
            ensure!(
                !value.contains("tenant-"),
                "{} {label}={value}",
                sample.name
            );
            ensure!(
                !value.contains("/orders/1"),
                "{} {label}={value}",
                sample.name
            );
        }
    }
    // One template for all of them.
    let routes: Vec<_> = metrics
        .of("observer_calls_total", &[("role", "server")])
        .filter(|it| {
            it.labels
                .get("route")
                .is_some_and(|route| route.starts_with("/orders/"))
        })
        .map(|it| it.labels.get("route").cloned())
        .collect();
    ensure!(routes.len() == 1, "{routes:?}");
    Ok(())
}

#[test]
fn a_real_prometheus_reads_the_same_counts() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "prometheus"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    nginx.file("page", 10)?;
    let agent = Agent::start()?;
    let prometheus = Prometheus::scraping(agent.metrics_port())?;
    for _ in 0..7 {
        curl(&[nginx.url("/status/418"), nginx.tls_url("/status/418")])?;
        curl(&[nginx.url("/page")])?;
    }
    for (query, count) in [
        (
            r#"sum(observer_calls_total{role="server",route=~"/status/.*",status_class="4xx"})"#,
            14,
        ),
        (
            r#"sum(observer_calls_total{role="server",route="/page",status_class="2xx"})"#,
            7,
        ),
    ] {
        let expected = count.to_string();
        let found = wait::until(query, Duration::from_secs(10), || {
            let series = prometheus.query(query).ok()?;
            (series.first()?["value"][1] == expected.as_str()).then_some(())
        });
        if let Err(error) = found {
            let now = prometheus.query(query)?;
            let page: Vec<String> = agent
                .metrics()?
                .of("observer_calls_total", &[])
                .map(|it| format!("{it:?}"))
                .collect();
            anyhow::bail!("{error}: {now:?}; the agent says {page:#?}");
        }
    }
    Ok(())
}
