//! The observer's command line program.

use std::process::ExitCode;

use observer::{app, cli};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("OBSERVER_LOG").unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let exit = match cli::parse() {
        Ok(command) => app::run(command),
        Err(error) => error.report(),
    };
    exit.into()
}
