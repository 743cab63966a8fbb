//! `cargo xtask bench parsers`: what one core reads.
//!
//! In: the benchmark `protocol` of the agent, in release. Out: its figures. It needs no root and
//! no agent.

use std::path::PathBuf;

use anyhow::Result;

use crate::cargo;
use crate::workspace::Workspace;

/// Measures how many calls and header blocks one core reads.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench parsers
  cargo xtask bench parsers http1 httparse        HTTP/1 beside the parser of heads alone
  cargo xtask bench parsers hpack --corpora ~/corpora")]
pub struct Arguments {
    /// Only these: callers, hpack, http1, http2, httparse.
    #[arg(value_name = "NAME")]
    only: Vec<String>,
    /// Folder of corpora, whose header blocks are read instead of a few of RFC 7541.
    #[arg(long, value_name = "DIR")]
    corpora: Option<PathBuf>,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    let mut bench = cargo::command(&workspace.root);
    bench
        .args([
            "bench",
            "--package",
            "observer",
            "--bench",
            "protocol",
            "--",
        ])
        .args(&arguments.only);
    if let Some(folder) = &arguments.corpora {
        bench.env("OBSERVER_CORPORA", folder);
    }
    cargo::run(&mut bench, "the benchmark of the parsers")
}
