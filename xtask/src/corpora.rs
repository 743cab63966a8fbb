//! `cargo xtask corpora`: the accuracy of what is learned, on labelled traffic.
//!
//! In: a folder of corpora, handed to the tests as `OBSERVER_CORPORA`. Out: the
//! figures these tests print, those that compare with other tools as one table of what
//! agreed, disagreed (each is listed above it) and was skipped. It never downloads a
//! corpus.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo;
use crate::workspace::Workspace;

/// Runs the tests that need corpora and prints their figures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask corpora ~/corpora
  cargo xtask corpora ~/corpora --only openapi,http1
  cargo xtask corpora ~/corpora --only hpack,http1,h2,pcap,operations")]
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
    // Not a release build: that takes minutes longer, the tests then seconds less.
    tests.args(["test", "--package", "observer"]);
    if arguments.only.is_empty() {
        tests.args(["--test", "corpora_*"]);
    }
    for name in &arguments.only {
        tests.args(["--test", &format!("corpora_{name}")]);
    }
    tests.env("OBSERVER_CORPORA", folder);
    let mut building = cargo::command(&workspace.root);
    building.args(tests.get_args()).arg("--no-run");
    cargo::run(&mut building, "building the tests on the corpora")?;
    tests.args(["--quiet", "--", "--nocapture", "--test-threads=1"]);
    let said = pass_on(&mut tests)?;
    println!("\n{}", table(&said.rows));
    if !said.succeeded {
        bail!("a test on the corpora failed; the reason is above");
    }
    Ok(())
}

/// What the tests said.
struct Said {
    /// Name, agreed, disagreed, skipped.
    rows: Vec<[String; 4]>,
    succeeded: bool,
}

/// Runs the tests and passes on what they print, but for the lines of the table.
fn pass_on(tests: &mut Command) -> Result<Said> {
    let mut child = tests
        .stdout(Stdio::piped())
        .spawn()
        .context("start the tests on the corpora")?;
    let mut rows = Vec::new();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.context("read what the tests say")?;
            match row(&line) {
                Some(row) => rows.push(row),
                None => println!("{line}"),
            }
        }
    }
    let status = child.wait().context("wait for the tests")?;
    Ok(Said {
        rows,
        succeeded: status.success(),
    })
}

/// A row of the table: `table: NAME: N agreed, N disagreed, N skipped`.
fn row(line: &str) -> Option<[String; 4]> {
    let (_, text) = line.split_once("table: ")?;
    let (name, counts) = text.split_once(": ")?;
    let mut counts = counts.split(", ");
    let mut count = |what: &str| {
        let count = counts.next()?.strip_suffix(what)?;
        Some(count.trim_end().to_owned())
    };
    Some([
        name.to_owned(),
        count("agreed")?,
        count("disagreed")?,
        count("skipped")?,
    ])
}

fn table(rows: &[[String; 4]]) -> String {
    let head = ["", "agreed", "disagreed", "skipped"].map(str::to_owned);
    let lines = std::iter::once(&head).chain(rows);
    let lines = lines.map(|[name, agreed, disagreed, skipped]| {
        format!("{name:<36}{agreed:>8}{disagreed:>11}{skipped:>9}\n")
    });
    lines.collect()
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

#[cfg(test)]
mod tests {
    use super::{row, table};

    #[test]
    fn rows_of_the_table_are_told_from_what_else_tests_say() {
        let line = "test x ... table: pcap/zeek: 59 agreed, 1 disagreed, 2 skipped";
        let read = row(line).expect("a row");
        assert_eq!(read, ["pcap/zeek", "59", "1", "2"]);
        assert!(row("zeek: wanted GET /").is_none());
        assert!(table(&[read]).contains("59          1        2\n"));
    }
}
