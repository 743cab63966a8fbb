//! `cargo xtask vm`: the agent on other kernels, in emulated machines.
//!
//! In: the agent as built, Debian's kernels, and programs of this host. Out: two tables, kernel by
//! program and kernel by case, in which every "no" carries its reason. It needs no root and never
//! touches this host's kernel.

mod cases;
mod guest;
mod initramfs;
mod kernels;
mod matrix;
mod offsets;
mod rungs;

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::build::build;
use crate::setup::setup;
use crate::workspace::Workspace;
use guest::Machine;
use kernels::KERNELS;
use matrix::{Column, Matrix};

/// Boots the agent on other kernels and prints what loads and what is seen there.
///
/// Kernels are Debian's packages for virtual machines, fetched once and looked up again on each
/// run. One machine runs at a time, under QEMU without hardware help, about a minute a kernel.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask vm                  the oldest and the newest kernel
  cargo xtask vm --kernel 6.1     one kernel; may be given several times
  cargo xtask vm --all            all of them: 5.10 6.1 6.12 6.18 7.3
  cargo xtask vm --lockdown integrity
  cargo xtask vm --kernel 6.12 --rungs

Exit codes: 0 everything required loads and is seen within the budget of instructions; 1 not,
or a kernel could not be fetched or booted.")]
pub struct Arguments {
    /// A kernel version, such as 6.1.
    #[arg(long, value_name = "VERSION", conflicts_with = "all")]
    kernel: Vec<String>,
    /// Every kernel.
    #[arg(long)]
    all: bool,
    /// Measure instead what a call costs by each way of capture, in instructions.
    #[arg(long, conflicts_with = "lockdown")]
    rungs: bool,
    /// Lock the kernels down: `integrity` or `confidentiality`.
    #[arg(long, value_name = "MODE", value_parser = ["integrity", "confidentiality"])]
    lockdown: Option<String>,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let wanted = wanted(arguments)?;
    guest::check()?;
    let workspace = Workspace::find()?;
    setup(&workspace)?;
    build(&workspace)?;
    let folder = workspace.target.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let file_system = guest::file_system(&workspace.agent(), &folder)?;

    if arguments.rungs {
        return rungs::print(&wanted, &file_system, &folder);
    }
    let lockdown = arguments.lockdown.as_deref();
    let mut matrix = Matrix::default();
    for source in wanted {
        let column = match kernels::fetch(source, &folder) {
            Ok(kernel) => {
                eprintln!("booting {}", kernel.package);
                let logs = folder.join("kernels").join(source.version);
                let seen = offsets::of(&kernel.image, &logs).and_then(|places| {
                    let machine = Machine {
                        words: lockdown.map_or_else(String::new, |mode| format!("lockdown={mode}")),
                        counted: false,
                    };
                    let said = guest::boot(&kernel, &file_system, &machine, &logs)?;
                    Ok(Column::judge(source.version, lockdown, &said, &places))
                });
                seen.unwrap_or_else(|error| Column::failed(source.version, &format!("{error:#}")))
            }
            Err(error) => Column::failed(source.version, &format!("not fetched: {error:#}")),
        };
        matrix.push(column);
    }
    print!("{}", matrix.text());
    let faults = matrix.faults();
    if faults.is_empty() {
        return Ok(());
    }
    bail!("not as it must be:\n  {}", faults.join("\n  "));
}

fn wanted(arguments: &Arguments) -> Result<Vec<&'static kernels::KernelSource>> {
    let Arguments {
        kernel,
        all,
        lockdown: _,
        rungs: _,
    } = arguments;
    if *all {
        return Ok(KERNELS.iter().collect());
    }
    if kernel.is_empty() {
        return Ok(KERNELS.first().into_iter().chain(KERNELS.last()).collect());
    }
    kernel
        .iter()
        .map(|version| {
            KERNELS
                .iter()
                .find(|source| source.version == version)
                .with_context(|| {
                    let known: Vec<_> = KERNELS.iter().map(|source| source.version).collect();
                    format!("there is no kernel {version}; known: {}", known.join(" "))
                })
        })
        .collect()
}
