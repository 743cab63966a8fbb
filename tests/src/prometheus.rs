//! A real Prometheus that scrapes the agent.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::curl::curl;
use crate::running::Running;
use crate::{metrics, port, wait};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    _running: Running,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes the agent on this port every second.
    pub fn scraping(agent: u16) -> Result<Self> {
        let folder = TempDir::new()?;
        let port = port::free();
        let file = folder.path().join("prometheus.yml");
        fs::write(
            &file,
            format!(
                "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n- job_name: \
                 observer\n  static_configs:\n  - targets: ['127.0.0.1:{agent}']\n"
            ),
        )?;
        let running = Running::start(
            "prometheus",
            Command::new("prometheus")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.path().join("data").display()
                ))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(folder.path().join("stderr"))?),
        )?;
        wait::until("Prometheus to be ready", START_LIMIT, || {
            metrics::get(port, "/-/ready")
                .ok()
                .filter(|(status, _)| *status == 200)
        })
        .with_context(|| fs::read_to_string(folder.path().join("stderr")).unwrap_or_default())?;
        Ok(Self {
            port,
            _running: running,
            _folder: folder,
        })
    }

    /// The series a query gives now.
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let answer = curl(&[
            "-G",
            "--data-urlencode",
            &format!("query={query}"),
            &format!("http://127.0.0.1:{}/api/v1/query", self.port),
        ])?;
        let answer: Value = serde_json::from_str(&answer)?;
        if answer["status"] != "success" {
            bail!("{query}: {}", answer["error"]);
        }
        let result = &answer["data"]["result"];
        Ok(match answer["data"]["resultType"].as_str() {
            // One number, not a list of series.
            Some("scalar") => vec![result.clone()],
            _ => result.as_array().cloned().unwrap_or_default(),
        })
    }
}
