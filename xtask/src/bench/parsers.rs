//! `cargo xtask bench parsers`: what one core reads, beside what others read.
//!
//! In: the benchmark `protocol` of the agent, in release. Out: its figures, or how many
//! instructions valgrind counts. It needs no root and no agent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo;
use crate::tools::on_path;
use crate::workspace::Workspace;

/// Measures how many calls and header blocks one core reads, beside published parsers.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench parsers
  cargo xtask bench parsers http1                 HTTP/1 beside a parser of heads alone
  cargo xtask bench parsers hpack --corpora ~/corpora
  cargo xtask bench parsers --instructions        the same on every machine, to compare changes

--instructions needs valgrind: apt-get install valgrind")]
pub struct Arguments {
    /// Only these: callers, hpack, http1, http2.
    #[arg(value_name = "NAME")]
    only: Vec<String>,
    /// Folder of corpora, whose header blocks are read instead of a few of RFC 7541.
    #[arg(long, value_name = "DIR")]
    corpora: Option<PathBuf>,
    /// Count instructions, not time.
    #[arg(long)]
    instructions: bool,
}

const BENCH: [&str; 5] = ["bench", "--package", "observer", "--bench", "protocol"];

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    if arguments.instructions {
        return instructions(arguments, &workspace);
    }
    let mut bench = cargo::command(&workspace.root);
    bench.args(BENCH).arg("--").args(&arguments.only);
    give_corpora(&mut bench, arguments);
    cargo::run(&mut bench, "the benchmark of the parsers")
}

fn give_corpora(command: &mut Command, arguments: &Arguments) {
    if let Some(folder) = &arguments.corpora {
        command.env("OBSERVER_CORPORA", folder);
    }
}

fn instructions(arguments: &Arguments, workspace: &Workspace) -> Result<()> {
    if on_path("valgrind").is_none() {
        bail!("valgrind is not on the PATH. Install it: apt-get install valgrind");
    }
    let program = built(workspace)?;
    let mut list = Command::new(&program);
    list.args(&arguments.only).arg("--list");
    give_corpora(&mut list, arguments);
    let listed = list.output().context("list what the benchmark measures")?;
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let (name, unit) = line.split_once('\t').context("a name has no unit")?;
        let (count, unit) = unit.split_once(' ').context("a unit has no count")?;
        let count: f64 = count.parse().context("a count is no number")?;
        // What comes before the rounds is the same in both.
        let one = counted(&program, name, 1, arguments)?;
        let two = counted(&program, name, 2, arguments)?;
        let each = two.saturating_sub(one) as f64 / count;
        println!("{name:<44}{each:>12.0} instructions for each of {unit}");
    }
    Ok(())
}

/// Builds the benchmark and returns its program, as cargo names it.
fn built(workspace: &Workspace) -> Result<PathBuf> {
    let output = cargo::command(&workspace.root)
        .args(BENCH)
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("the benchmark of the parsers does not build; the reason is above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let of_bench = message.pointer("/target/name") == Some(&"protocol".into());
        let program = message.get("executable")?.as_str()?;
        of_bench.then(|| program.into())
    });
    program.context("cargo names no program of the benchmark")
}

/// Instructions of so many rounds.
fn counted(program: &Path, name: &str, rounds: u32, arguments: &Arguments) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg("--cachegrind-out-file=/dev/null")
        .arg(program)
        .args(["--only", name, "--rounds", &rounds.to_string()]);
    give_corpora(&mut valgrind, arguments);
    let output = valgrind.output().context("start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name} failed under valgrind:\n{}", said.trim_end());
    }
    references(&said).with_context(|| format!("valgrind counted nothing of {name}"))
}

/// What cachegrind says: `==7== I refs:        1,234,567`.
fn references(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains(" refs:"))?;
    let digits = line.rsplit_once(':')?.1;
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::references;

    #[test]
    fn instructions_are_read_from_what_valgrind_says() {
        let said = "==7== Cachegrind\n==7== \n==7== I   refs:      1,234,567\n";
        assert_eq!(references(said), Some(1_234_567));
        assert_eq!(references("==7== ERROR"), None);
    }
}
