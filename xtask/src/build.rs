//! `cargo xtask build`: the agent, kernel half included, as a release build.
//!
//! In: the sources. Out: `target/release/observer`. It never needs root.

use anyhow::Result;

use crate::cargo;
use crate::setup::setup;
use crate::workspace::Workspace;

/// Sets up what is missing and builds the agent with its kernel half.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask build      the agent is target/release/observer afterwards")]
pub struct Arguments {}

/// Runs the command.
pub fn main(_arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    setup(&workspace)?;
    build(&workspace)?;
    println!("{}", workspace.agent().display());
    Ok(())
}

/// Builds the agent.
pub fn build(workspace: &Workspace) -> Result<()> {
    eprintln!("building the agent");
    let mut build = cargo::command(&workspace.root);
    build.args([
        "build",
        "--release",
        "--package",
        "observer",
        "--bin",
        "observer",
    ]);
    cargo::run(&mut build, "building the agent")
}
