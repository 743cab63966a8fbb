//! Arguments as they are typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use super::alerts_args::AlertsArgs;
use super::audit_args::AuditCommandArgs;
use super::query_args::{QueryArgs, ReportArgs, ReviewArgs};
use crate::config::{Format, MetricsAddress, parse_duration, parse_metrics};
use crate::usage::Dimension;

/// Sees the HTTP and HTTPS API calls of running programs, with no change to them.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "observer",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 missing privileges or \
                  kernel support.\n\nStart with `sudo observer run`; `observer doctor` tells what works \
                  here and what does not."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: CommandArgs,
}

/// The commands as they are typed.
#[derive(Clone, Debug, Subcommand)]
pub enum CommandArgs {
    /// Watch this host and show its API calls (needs root)
    #[command(after_help = "Examples:
  sudo observer run                                    a live table; metrics on 127.0.0.1:9464
  sudo observer run --format jsonl --duration 60s      one JSON object a call, for a minute
  sudo observer run --format none --metrics 0.0.0.0:9464   metrics only, for Prometheus
  sudo observer run --record calls.transcript          a recording for `observer replay`, without secrets
  sudo observer run --config /etc/observer.toml        settings from a file; flags win over it")]
    Run(RunArgs),
    /// Show the API calls in recordings; needs no privileges
    #[command(after_help = "Examples:
  observer replay calls.pcap.gz                        a capture file (pcap, pcapng), compressed or not
  observer replay calls.transcript                     a table and a summary
  observer replay --format jsonl a.transcript b.transcript | jq .route
  observer replay --keylog keys.txt capture.pcapng     TLS too, where one end wrote down its secrets
  observer replay /var/log/nginx/access.log            an access log: endpoints, usage, findings
  observer replay --format jsonl access.log | grep finding")]
    Replay(ReplayArgs),
    /// Tell what works on this host and what does not, and why
    #[command(after_help = "Examples:
  sudo observer doctor                                 kernel, probes, TLS libraries
  sudo observer doctor --json | jq '.probes[] | select(.outcome == \"failed\")'")]
    Doctor(DoctorArgs),
    /// Name the endpoint of each request of a list, such as an access log; needs no privileges
    #[command(
        after_help = "A line in: t_ms, method, target, status, separated by tabs; more fields are \
ignored.\nA line out, in the same order, after the last line: the endpoint's template, or - for a \
path that was never served.\n\nExamples:
  observer routes < requests.tsv
  observer routes < requests.tsv | sort | uniq -c | sort -rn     endpoints by calls"
    )]
    Routes,
    /// List services, owners, endpoints and callers that were seen
    #[command(after_help = "Examples:
  sudo observer inventory                              a table
  sudo observer inventory --json | jq '.services | keys'
  sudo observer inventory --config /etc/observer.toml  against the documents named there")]
    Inventory(InventoryArgs),
    /// Print the OpenAPI 3.1 document of a service, learned from its calls
    #[command(after_help = "Examples:
  sudo observer openapi nginx > nginx.json
  sudo observer openapi orders --state-dir /srv/observer")]
    Openapi(OpenapiArgs),
    /// Show who uses what, how much, and which limits would fit
    #[command(after_help = "Examples:
  sudo observer usage                                  the busiest callers, clients, endpoints, services
  sudo observer usage --by identity --top 50
  sudo observer usage --json | jq '.identity.recommended'

Calls are exact, or `100+7`: 100 counted and 7 more at most, from before the row was kept.
Windows of 60s, 1h and 24h slide by an eighth of their length; days and months are of UTC.")]
    Usage(UsageArgs),
    /// Check a settings file and the rules it names, and print the settings in force
    #[command(after_help = "Examples:
  observer check-config /etc/observer.toml
  observer check-config                                the defaults")]
    CheckConfig(CheckConfigArgs),
    /// Search the audit log
    #[command(
        after_help = "A filter is comparisons joined by `and`, `or`, `not` and parentheses:
  status>=400    method in (PUT, DELETE)    client in 10.0.0.0/8    path ~ \"/admin/*\"
  duration > 250ms    has identity    since 2h    until 2026-11-22T10:20
Fields: type (call, login, finding, agent) status grpc_status method host path query route service
operation protocol scheme role client server process pid exe container unit identity identity_kind
auth auth_scheme error tls flag rule event severity duration request_bytes response_bytes
peer fingerprint conn index message, and text: any of those that hold text or an address

Examples:
  observer query 'status>=400 and route=\"/login\" and client in 10.0.0.0/8 since 2h'
  observer query 'auth=failed since 1d' --by client
  observer query 'text=alice since 7d'
  observer query 'type=finding since 7d' --format jsonl | jq .message"
    )]
    Query(QueryArgs),
    /// Show what a reviewer of the audit log should look at
    #[command(after_help = "Examples:
  observer report                                      the last 24 hours, as text
  observer report --since 7d --html week.html          one page with plots")]
    Report(ReportArgs),
    /// Sign a review into the audit log
    #[command(after_help = "Examples:
  observer review sign --reviewer 'A. Person' --remarks 'nothing odd'")]
    Review(ReviewArgs),
    /// List the alerts that are open, and silence them
    #[command(after_help = "Examples:
  observer alerts                                      of the agent that runs as a service
  observer alerts silence --rule scanner --for 2h      do not tell of scanners for two hours
  observer alerts silence list                         the silences in force
  observer alerts silence remove 3                     tell again
  observer alerts --state-dir /tmp/state --json | jq .message    of one with another state folder")]
    Alerts(AlertsArgs),
    /// Verify the audit log, and prove what is in it
    #[command(after_help = "Examples:
  observer audit verify /var/lib/observer/audit --vkey host.example/audit+1a2b3c4d+AX…
  observer audit prove 4711 /var/lib/observer/audit > call.tlog-proof")]
    Audit(AuditArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  observer completions bash > /etc/bash_completion.d/observer
  observer completions zsh > ~/.zfunc/_observer")]
    Completions(CompletionsArgs),
}

/// Arguments of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How calls are shown [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Where metrics and health are served, or `off` [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", value_parser = parse_metrics)]
    pub metrics: Option<MetricsAddress>,
    /// Folder for what must outlive a run [default: /var/lib/observer]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Stop after this time, such as 20s or 5m; a bare number is seconds
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Show connections with both ends on this host twice, as server and as client
    #[arg(long)]
    pub both_sides: bool,
    /// Write the audit log, in the folder `audit` under the state folder
    #[arg(long)]
    pub audit: bool,
    /// Write a transcript of this run, for `observer replay`, into a new file that only its owner
    /// can read: without bodies, credentials and values of queries
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Record all bytes as they are, secrets too
    #[arg(long, requires = "record")]
    pub record_secrets: bool,
}

/// Arguments of `audit`.
#[derive(Clone, Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommandArgs,
}

/// Arguments of `replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Recordings, in this order
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Secrets of TLS connections, as SSLKEYLOGFILE has browsers and curl write them
    #[arg(long, value_name = "FILE")]
    pub keylog: Option<PathBuf>,
    /// How calls are shown [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// Arguments of `inventory`.
#[derive(Clone, Debug, clap::Args)]
pub struct InventoryArgs {
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the agent's state [default: /var/lib/observer]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Arguments of `openapi`.
#[derive(Clone, Debug, clap::Args)]
pub struct OpenapiArgs {
    /// Name of the service, as the inventory has it
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the agent's state [default: /var/lib/observer]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Settings file (TOML), whose capture.sockets is tried
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the metrics of the agent are that may run here: its books are shown
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub metrics: SocketAddr,
}

/// Arguments of `usage`.
#[derive(Clone, Debug, clap::Args)]
pub struct UsageArgs {
    /// As one JSON object
    #[arg(long)]
    pub json: bool,
    /// Rows of each kind
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub top: u32,
    /// One kind only
    #[arg(long, value_name = "KIND", value_parser = parse_dimension)]
    pub by: Option<Dimension>,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the agent's state [default: /var/lib/observer]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

fn parse_dimension(word: &str) -> Result<Dimension, String> {
    Dimension::named(word).ok_or_else(|| "use identity, client, endpoint or service".to_owned())
}

/// Arguments of `check-config`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckConfigArgs {
    /// Settings file (TOML)
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}
