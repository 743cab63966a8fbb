//! `cargo xtask bench`: what the agent costs, as ratios of paired runs.

mod agent;
mod audit;
mod bodies;
mod churn;
pub mod cpu;
mod http;
mod nginx;
mod overhead;
mod parsers;
mod report;
mod tls;
mod tls_servers;
mod wrk;

use anyhow::Result;

/// Measures what the agent costs on this machine.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Audit(audit::Arguments),
    Overhead(overhead::Arguments),
    Bodies(bodies::Arguments),
    Churn(churn::Arguments),
    Parsers(parsers::Arguments),
    Tls(tls::Arguments),
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Audit(arguments) => audit::main(arguments),
        What::Overhead(arguments) => overhead::main(arguments),
        What::Bodies(arguments) => bodies::main(arguments),
        What::Churn(arguments) => churn::main(arguments),
        What::Parsers(arguments) => parsers::main(arguments),
        What::Tls(arguments) => tls::main(arguments),
    }
}
