//! `cargo xtask check`: everything about the sources that a machine can judge.
//!
//! In: the sources. Out: what is wrong with them. It never changes them.

use anyhow::{Result, bail};

use crate::step::Steps;
use crate::workspace::Workspace;
use crate::{cargo, imports, unsafe_code};

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

/// Checks format, lints, the direction of imports and the places of `unsafe`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask check
  cargo fmt --all           puts the format right")]
pub struct Arguments {}

/// Runs the command.
pub fn main(_arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    let root = &workspace.root;
    let mut steps = Steps::new(6);

    steps.next("format");
    let mut fmt = cargo::command(root);
    cargo::run(fmt.args(["fmt", "--all", "--check"]), "the format check")?;

    steps.next("imports go to the left only");
    report(imports::violations(root)?)?;

    steps.next("unsafe has its place");
    report(unsafe_code::violations(root)?)?;

    // A workspace of their own: what changes in this one does not reach it by itself.
    steps.next("lock file of the fuzz targets");
    let mut fetch = cargo::command(&root.join("observer/fuzz"));
    cargo::run(
        fetch.args(["fetch", "--quiet", "--locked"]),
        "the check of observer/fuzz/Cargo.lock (`cargo fetch` there mends it)",
    )?;

    steps.next("lints");
    let mut clippy = cargo::command(root);
    clippy.args(["clippy", "--workspace", "--all-targets"]);
    cargo::run(clippy.args(DENY_WARNINGS), "clippy")?;

    // On the host the kernel half is an empty program; its code is there only when
    // it is compiled for the kernel.
    steps.next("lints of the kernel half");
    let mut clippy = cargo::command(root);
    clippy
        .args(["clippy", "--package", "observer-ebpf", "--release"])
        .args(["-Z", "build-std=core", "--target", "bpfel-unknown-none"])
        // Build scripts of some crates look at RUSTC_BOOTSTRAP: in the common folder
        // they would be built again with each change of command.
        .arg("--target-dir")
        .arg(workspace.target.join("xtask").join("kernel-half"))
        .env("RUSTC_BOOTSTRAP", "1");
    cargo::run(clippy.args(DENY_WARNINGS), "clippy on the kernel half")
}

fn report(violations: Vec<String>) -> Result<()> {
    if violations.is_empty() {
        return Ok(());
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    bail!("{} found", violations.len());
}
