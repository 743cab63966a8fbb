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
  cargo xtask corpora ~/corpora
  cargo xtask corpora ~/corpora --only openapi,http1")]
pub struct Arguments {
    /// The folder that holds the corpora.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only these: each NAME is a file observer/tests/corpora_NAME.rs.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
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
    let tests_folder = workspace.root.join("observer").join("tests");
    if !has_corpora_tests(&tests_folder)? {
        println!("no test needs corpora: observer/tests has no file corpora_*.rs");
        return Ok(());
    }
    for name in &arguments.only {
        if !tests_folder.join(format!("corpora_{name}.rs")).is_file() {
            bail!("--only {name}: there is no observer/tests/corpora_{name}.rs");
        }
    }
    let mut tests = cargo::command(&workspace.root);
    tests.args(["test", "--release", "--package", "observer"]);
    if arguments.only.is_empty() {
        tests.args(["--test", "corpora_*"]);
    }
    for name in &arguments.only {
        tests.args(["--test", &format!("corpora_{name}")]);
    }
    tests
        .args(["--", "--nocapture"])
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
