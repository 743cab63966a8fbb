//! The one place that wires the parts: reads as the program's life.
//!
//! Threads: `capture` reads the ring and rebuilds calls; `calls` names, judges and counts them,
//! unless the host has few processors and `capture` does that too;
//! `libraries` finds TLS libraries and attaches probes; `output` writes lines; `audit` writes the
//! audit log; `inventory` and `usage` keep their files; the main thread serves metrics and waits for
//! signals. Calls flow from `capture` to `calls`, and from there to `output` and `audit` only, over
//! bounded queues.

mod alerts;
mod audit;
mod audit_watch;
mod back_half;
mod blocking;
mod calls_thread;
mod capture_thread;
mod doctor;
mod export;
mod host_key;
mod inventory;
mod judging;
mod library_thread;
mod limits;
mod live;
mod open_sockets;
mod output;
mod probe_watch;
mod query;
mod recording;
mod recordings;
mod review;
mod routes;
mod rules;
mod running_agent;
mod silences;
mod usage;
mod witness;

use std::io::{self, Write as _};

use crate::cli::{self, Command, Exit};
use crate::config;

/// Runs one command to its end.
pub fn run(command: Command) -> Exit {
    match command {
        Command::Run(settings) => live::run(&settings),
        Command::Replay {
            files,
            keylog,
            settings,
        } => recordings::replay(&files, keylog.as_deref(), &settings),
        Command::Doctor {
            json,
            sockets,
            blocks,
            metrics,
        } => doctor::run(json, sockets, blocks, metrics),
        Command::Routes => routes::run(),
        Command::Report(args) => review::report(&args),
        Command::Review(command) => review::run(&command),
        Command::Query(args) => query::query(&args),
        Command::Alerts { dir, json, command } => alerts::run(&dir, json, command.as_ref()),
        Command::Inventory(command) => inventory::run(&command),
        Command::Usage(command) => usage::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::CheckConfig(settings) => check_config(&settings),
        Command::Completions(shell) => {
            let mut script = Vec::new();
            cli::completions(shell, &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Shows the settings in force, if they and the rules they name are sound.
fn check_config(settings: &config::Settings) -> Exit {
    if let Err(what) = settings.alert.check() {
        complain(what);
        return Exit::Usage;
    }
    match rules::load(settings) {
        Ok(set) => {
            if let Some(folder) = &settings.rules {
                complain(&format!("{} rules in {}", set.len(), folder.display()));
            }
            print(&config::effective(settings))
        }
        Err(error) => {
            complain(&error.to_string());
            Exit::Usage
        }
    }
}

/// Writes to the standard output; a reader that went away is no failure.
fn print(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to the standard output: {error}"));
            Exit::Failed
        }
        _ => Exit::Done,
    }
}

/// One line for a person on the standard error.
fn complain(text: &str) {
    // Nothing is left to be done if the standard error is gone.
    drop(writeln!(io::stderr(), "observer: {text}"));
}
