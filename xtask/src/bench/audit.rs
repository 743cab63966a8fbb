//! `cargo xtask bench audit`: what the audit log takes and gives.
//!
//! In: the benchmark `audit` of the agent, in release. Out: its figures: appending, verifying,
//! indexing, and the time of a search by class of query. It needs no root and no agent, and for
//! ten million records 1.5 GB of disk beside it.

use anyhow::Result;

use crate::cargo;
use crate::workspace::Workspace;

/// Measures the audit log: append, verify, size, and searches by class of query.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench audit
  cargo xtask bench audit 1000000       a tenth of the records")]
pub struct Arguments {
    /// Records of the log.
    #[arg(value_name = "RECORDS", default_value_t = 10_000_000)]
    records: u64,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    let mut bench = cargo::command(&workspace.root);
    bench
        .args(["bench", "--package", "observer", "--bench", "audit", "--"])
        .arg(arguments.records.to_string());
    cargo::run(&mut bench, "the benchmark of the audit log")
}
