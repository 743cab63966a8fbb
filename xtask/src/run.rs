//! `cargo xtask run`: from a fresh clone to API calls on the screen.
//!
//! In: arguments for `observer run`. Out: the agent in place of this process, so
//! that Ctrl-C, the exit code and the output are its own. It never builds as root
//! what it can build as the user, and uses sudo for nothing but the agent.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::build::build;
use crate::host::{self, Root};
use crate::setup::setup;
use crate::workspace::Workspace;

/// Sets up, builds and starts the agent on this host, and shows API calls.
///
/// Everything after `--` goes to `observer run`. The agent is started with sudo if
/// this is not root; Ctrl-C ends it, and it leaves nothing behind.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask run
  cargo xtask run -- --format jsonl --duration 20s
  cargo xtask run -- --metrics 127.0.0.1:9464 --format none

Exit codes: the agent's own; 1 if the build fails; 3 without root or sudo.")]
pub struct Arguments {
    /// Arguments for `observer run`.
    #[arg(last = true, value_name = "ARGS")]
    agent: Vec<OsString>,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    setup(&workspace)?;
    build(&workspace)?;

    let agent = workspace.agent();
    if !host::has_btf() {
        eprintln!(
            "note: this kernel does not describe its types (/sys/kernel/btf/vmlinux is missing, \
             CONFIG_DEBUG_INFO_BTF): calls may be shown without their process"
        );
    }
    let mut command = match host::root() {
        Root::Already => {
            if std::env::var_os("SUDO_USER").is_some() {
                eprintln!(
                    "note: started with sudo, so what was built belongs to root; without it, \
                     sudo is used for the agent only"
                );
            }
            Command::new(&agent)
        }
        Root::Sudo => {
            eprintln!("starting the agent with sudo: probes need root");
            let mut sudo = Command::new("sudo");
            sudo.arg("--").arg(&agent);
            sudo
        }
        Root::No(why) => {
            let typed: Vec<_> = arguments
                .agent
                .iter()
                .map(|a| a.to_string_lossy())
                .collect();
            return Err(host::ending(
                host::EXIT_UNSUPPORTED,
                format!(
                    "{why}: probes need root. The agent is built; start it as root:\n  {} run {}",
                    agent.display(),
                    typed.join(" ")
                ),
            ));
        }
    };
    let error = command.arg("run").args(&arguments.agent).exec();
    Err(anyhow!(error).context(format!("start {}", agent.display())))
}
