//! Arguments of the commands that search the audit log, as they are typed.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::parse_duration;

/// Where the log is unless it is said.
const DEFAULT_LOG: &str = "/var/lib/observer/audit";

/// Form of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RecordFormat {
    /// Columns for people
    Table,
    /// OCSF, one JSON object a line, as it is in the log
    Ocsf,
    /// The same
    Jsonl,
    /// Elastic Common Schema, one JSON object a line
    Ecs,
    /// Comma-separated values with a head line
    Csv,
}

/// Arguments of `query`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct QueryArgs {
    /// What to look for; everything if left out
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Folder of the log
    #[arg(long, value_name = "DIR", default_value = DEFAULT_LOG)]
    pub log: PathBuf,
    /// How records are shown
    #[arg(long, value_enum, default_value = "table")]
    pub format: RecordFormat,
    /// Show the newest so many [default: 1000 in a table, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub limit: Option<u64>,
    /// Print how many there are
    #[arg(long, conflicts_with_all = ["limit", "by"])]
    pub count: bool,
    /// Count by the values of a field, most first
    #[arg(long, value_name = "FIELD", conflicts_with = "limit")]
    pub by: Option<String>,
    /// Read every record instead of using the index
    #[arg(long)]
    pub scan: bool,
    /// File with the private key of a reader, for records that are sealed (`observer audit keygen`)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// Form of exported records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// OCSF, one JSON object a line, as it is in the log
    Ocsf,
    /// The same
    Jsonl,
    /// Elastic Common Schema, one JSON object a line
    Ecs,
    /// Comma-separated values with a head line
    Csv,
    /// Apache Parquet, a column for each field
    Parquet,
}

/// Arguments of `audit export`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ExportArgs {
    /// Folder of the log
    #[arg(value_name = "DIR", default_value = DEFAULT_LOG)]
    pub dir: PathBuf,
    /// From this time on: 2h, 7d, 2026-11-22 or 2026-11-22T10:20:30Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Records that fit this filter only (see `observer query --help`)
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Form of the records
    #[arg(long, value_enum, default_value = "ocsf")]
    pub format: ExportFormat,
    /// File with the private key of a reader, for records that are sealed (`observer audit keygen`)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Go on with what comes, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
    /// File that remembers the next record: after a break it goes on there
    #[arg(long, value_name = "FILE")]
    pub cursor: Option<PathBuf>,
    /// After each batch, the last checkpoint as a record: whoever keeps it holds an anchor
    #[arg(long)]
    pub anchors: bool,
}

/// Arguments of `report`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ReportArgs {
    /// Folder of the log
    #[arg(long, value_name = "DIR", default_value = DEFAULT_LOG)]
    pub log: PathBuf,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    pub since: Duration,
    /// Write one HTML page, readable without network, instead of text
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Public key of the log's first epoch, as `vkey` had it when the log was made
    #[arg(long, value_name = "KEY")]
    pub vkey: Option<String>,
    /// File with the private key of a reader, for records that are sealed (`observer audit keygen`)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// Arguments of `review`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct ReviewArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReviewCommandArgs,
}

/// The commands of a reviewer as they are typed.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum ReviewCommandArgs {
    /// Write into the log that it was reviewed, by whom, and with which remarks
    #[command(after_help = "Examples:
  observer review sign --reviewer 'A. Person' --remarks 'two new endpoints, both expected'")]
    Sign {
        /// Who reviewed it
        #[arg(long, value_name = "NAME")]
        reviewer: String,
        /// What there is to say
        #[arg(long, value_name = "TEXT", default_value = "nothing to remark")]
        remarks: String,
        /// Folder of the log
        #[arg(long, value_name = "DIR", default_value = DEFAULT_LOG)]
        log: PathBuf,
    },
}
