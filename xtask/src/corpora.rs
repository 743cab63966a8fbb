//! `cargo xtask corpora`: the accuracy of what is learned, on labelled traffic.
//!
//! In: a folder of corpora, handed to the tests as `OBSERVER_CORPORA`. Out: the
//! figures these tests print. It never downloads a corpus.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::cargo;
use crate::workspace::Workspace;

/// Runs the tests that need corpora and prints their figures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask corpora ~/corpora")]
pub struct Arguments {
    /// The folder that holds the corpora.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    let Ok(folder) = arguments.folder.canonicalize() else {
        bail!(
            "there is no folder {}: give the one that holds the corpora",
            arguments.folder.display()
        );
    };
    if !has_corpora_tests(&workspace.root.join("observer").join("tests"))? {
        println!("no test needs corpora: observer/tests has no file corpora_*.rs");
        return Ok(());
    }
    let mut tests = cargo::command(&workspace.root);
    tests
        .args(["test", "--release", "--package", "observer"])
        .args(["--test", "corpora_*", "--", "--nocapture"])
        .env("OBSERVER_CORPORA", folder);
    cargo::run(&mut tests, "a test on the corpora")
}

fn has_corpora_tests(folder: &Path) -> Result<bool> {
    if !folder.is_dir() {
        return Ok(false);
    }
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let name = entry.context("read observer/tests")?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("corpora_") && name.ends_with(".rs") {
            return Ok(true);
        }
    }
    Ok(false)
}
