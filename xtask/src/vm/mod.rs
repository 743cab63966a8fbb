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
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::build::build;
use crate::setup::setup;
use crate::workspace::Workspace;
use guest::Machine;
use kernels::KERNELS;
use matrix::{Column, Matrix};

/// The kernel that all of them includes in each mode of lockdown too.
const LOCKED_DOWN: &str = "6.12";

/// Boots the agent on other kernels and prints what loads and what is seen there.
///
/// Kernels are Debian's packages for virtual machines, fetched once and looked up again on each
/// run. One machine runs at a time, under QEMU without hardware help, two to five minutes a kernel.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask vm                  the oldest and the newest kernel
  cargo xtask vm --kernel 6.1     one kernel; may be given several times
  cargo xtask vm --all            all of them: 5.10 6.1 6.12 6.18 7.3, and 6.12 locked down
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
    /// A kernel that cannot be fetched is said and is no fault.
    #[arg(long)]
    if_reachable: bool,
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
    let mut matrix = Matrix::default();
    let mut unreachable = Vec::new();
    for machine in machines(arguments, &wanted) {
        let kernel = match kernels::fetch(machine.source, &folder) {
            Ok(kernel) => kernel,
            Err(error) => {
                let reason = format!("not fetched: {error:#}");
                let label = machine.label();
                if arguments.if_reachable {
                    unreachable.push(format!("{label}: {reason}"));
                } else {
                    matrix.push(Column::failed(&label, &reason));
                }
                continue;
            }
        };
        matrix.push(machine.run(&kernel, &file_system, &folder));
    }
    if arguments.all || arguments.lockdown.is_some() {
        println!("i and c: locked down, mode integrity and confidentiality\n");
    }
    print!("{}", matrix.text());
    for kernel in unreachable {
        println!("NOT TRIED {kernel}");
    }
    let faults = matrix.faults();
    if faults.is_empty() {
        return Ok(());
    }
    bail!("not as it must be:\n  {}", faults.join("\n  "));
}

/// A column of the matrix.
struct Test<'a> {
    source: &'a kernels::KernelSource,
    lockdown: Option<&'a str>,
}

impl Test<'_> {
    /// The version, with the first letter of the mode it is locked down in.
    fn label(&self) -> String {
        let mode = self.lockdown.and_then(|mode| mode.get(..1));
        format!("{}{}", self.source.version, mode.unwrap_or_default())
    }

    /// Boots it; once more if something is not as it must be, because an emulated machine on a busy
    /// host can be too slow for what it tests. That is said.
    fn run(&self, kernel: &kernels::Kernel, file_system: &Path, folder: &Path) -> Column {
        let first = self.try_run(kernel, file_system, folder);
        if first.faults().is_empty() {
            return first;
        }
        eprintln!(
            "{} runs once more: {}",
            self.label(),
            first.faults().join("; ")
        );
        self.try_run(kernel, file_system, folder)
    }

    fn try_run(&self, kernel: &kernels::Kernel, file_system: &Path, folder: &Path) -> Column {
        let label = self.label();
        eprintln!("booting {} for {label}", kernel.package);
        let logs = folder.join("kernels").join(self.source.version);
        let seen = offsets::of(&kernel.image, &logs).and_then(|places| {
            let machine = Machine {
                words: self
                    .lockdown
                    .map_or_else(String::new, |mode| format!("lockdown={mode}")),
                counted: false,
            };
            let said = guest::boot(kernel, file_system, &machine, &logs)?;
            Ok(Column::judge(&label, self.lockdown, &said, &places))
        });
        seen.unwrap_or_else(|error| Column::failed(&label, &format!("{error:#}")))
    }
}

/// Every kernel wanted as it is, or locked down as wanted; all of them are followed by one in each
/// mode of lockdown.
fn machines<'a>(arguments: &'a Arguments, wanted: &[&'a kernels::KernelSource]) -> Vec<Test<'a>> {
    let lockdown = arguments.lockdown.as_deref();
    let mut tests: Vec<_> = wanted
        .iter()
        .map(|&source| Test { source, lockdown })
        .collect();
    if arguments.all && lockdown.is_none() {
        let middle = KERNELS.iter().find(|source| source.version == LOCKED_DOWN);
        for mode in ["integrity", "confidentiality"] {
            tests.extend(middle.map(|source| Test {
                source,
                lockdown: Some(mode),
            }));
        }
    }
    tests
}

fn wanted(arguments: &Arguments) -> Result<Vec<&'static kernels::KernelSource>> {
    let Arguments {
        kernel,
        all,
        lockdown: _,
        if_reachable: _,
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
