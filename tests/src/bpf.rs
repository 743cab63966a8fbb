//! What the kernel holds of a process: its BPF programs, links and maps, as bpftool lists them.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::running::run_ok;

/// Ids of BPF objects. The kernel counts them up and gives none twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BpfObjects {
    /// Programs.
    pub programs: BTreeSet<u64>,
    /// Links.
    pub links: BTreeSet<u64>,
    /// Maps.
    pub maps: BTreeSet<u64>,
}

impl BpfObjects {
    /// All there are now.
    pub fn now() -> Result<Self> {
        Ok(Self {
            programs: list("prog")?,
            links: list("link")?,
            maps: list("map")?,
        })
    }

    /// Those of these that are not in `others`.
    pub fn without(&self, others: &Self) -> Self {
        let minus = |a: &BTreeSet<u64>, b: &BTreeSet<u64>| a.difference(b).copied().collect();
        Self {
            programs: minus(&self.programs, &others.programs),
            links: minus(&self.links, &others.links),
            maps: minus(&self.maps, &others.maps),
        }
    }

    /// Those of these that are in `others`, too.
    pub fn common(&self, others: &Self) -> Self {
        self.without(&self.without(others))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let Self {
            programs,
            links,
            maps,
        } = self;
        programs.is_empty() && links.is_empty() && maps.is_empty()
    }
}

fn list(kind: &str) -> Result<BTreeSet<u64>> {
    let program = crate::prerequisites::program("bpftool").context("no bpftool")?;
    let text = run_ok(
        Command::new(program).args(["-j", kind, "show"]),
        Duration::from_secs(10),
    )?;
    let rows: Vec<Value> = if text.trim().is_empty() {
        Vec::new()
    } else {
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?
    };
    Ok(rows
        .iter()
        .filter_map(|row| row.get("id")?.as_u64())
        .collect())
}
