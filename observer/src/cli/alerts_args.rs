//! Arguments of `alerts`, as they are typed.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::parse_duration;

/// Arguments of `alerts`.
#[derive(Clone, Debug, clap::Args)]
pub struct AlertsArgs {
    /// JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Folder of the agent's state [default: /var/lib/observer]
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,
    /// What to do; nothing: list the alerts.
    #[command(subcommand)]
    pub command: Option<AlertsCommandArgs>,
}

/// What can be done with alerts, as it is typed.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum AlertsCommandArgs {
    /// Do not tell of some alerts for a time
    ///
    /// Every part that is given must fit; a star at the end fits any rest. Silenced alerts stay in
    /// the list, what was found stays in the audit log, and the silence is written there too.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:
  observer alerts silence --rule path_enumeration --client 10.0.0.0/8 --for 8h --comment 'our own scan'
  observer alerts silence --identity backup-job --for 1d
  observer alerts silence --endpoint 'shop /v1/*' --for 30m
  observer alerts silence list
  observer alerts silence remove 3"
    )]
    Silence(SilenceArgs),
}

/// Arguments of `alerts silence`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct SilenceArgs {
    /// What to do; nothing: add a silence.
    #[command(subcommand)]
    pub command: Option<SilenceCommandArgs>,
    /// What is not to be told, and for how long.
    #[command(flatten)]
    pub new: NewSilenceArgs,
}

/// A silence, as it is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct NewSilenceArgs {
    /// Name of a rule
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Account or fingerprint that the alert is about
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,
    /// Address or network of the client
    #[arg(long, value_name = "ADDRESS")]
    pub client: Option<String>,
    /// Service, route, or both with a blank between them
    #[arg(long, value_name = "ENDPOINT")]
    pub endpoint: Option<String>,
    /// How long, such as 30m, 2h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub lasting: Option<Duration>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub comment: String,
}

/// What can be done with silences, as it is typed.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum SilenceCommandArgs {
    /// List the silences in force
    List,
    /// End a silence before its time
    Remove {
        /// Its number
        #[arg(value_name = "NUMBER")]
        id: u64,
    },
}
