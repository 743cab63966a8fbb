//! `cargo xtask`: everything one does with this repository, one file a command.

mod bench;
mod build;
mod cargo;
mod check;
mod corpora;
mod fuzz;
mod host;
mod imports;
mod npm;
mod packages;
mod pypi;
mod run;
mod rust_programs;
mod setup;
mod source;
mod step;
mod test;
mod tls_table;
mod tools;
mod unsafe_code;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs, tests and measures the observer.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Run(run::Arguments),
    Test(test::Arguments),
    Check(check::Arguments),
    Corpora(corpora::Arguments),
    Fuzz(fuzz::Arguments),
    Bench(bench::Arguments),
    Vm(vm::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Build(arguments) => build::main(&arguments),
        Command::Run(arguments) => run::main(&arguments),
        Command::Test(arguments) => test::main(&arguments),
        Command::Check(arguments) => check::main(&arguments),
        Command::Corpora(arguments) => corpora::main(&arguments),
        Command::Fuzz(arguments) => fuzz::main(&arguments),
        Command::Bench(arguments) => bench::main(&arguments),
        Command::Vm(arguments) => vm::main(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            host::exit_code(&error)
        }
    }
}
