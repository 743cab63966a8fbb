//! The command line.
//!
//! In: arguments. Out: a [`Command`] with valid settings, or an error with its exit code. Also the
//! rendering of `doctor`. Never: work of its own; `app` does that.

mod alerts_args;
mod args;
mod audit_args;
mod command;
mod doctor;
mod exit;
mod query_args;

pub use alerts_args::{AlertsCommandArgs, NewSilenceArgs, SilenceArgs, SilenceCommandArgs};
pub use args::Args;
pub use audit_args::{AuditCommandArgs, WitnessArgs};
pub use clap_complete::Shell;
pub use command::{
    CliError, Command, InventoryCommand, UsageCommand, completions, parse, parse_from,
};
pub use doctor::{AgentBooks, BooksLine, Check, DoctorReport, SignatureLine};
pub use exit::Exit;
pub use query_args::{
    ExportArgs, ExportFormat, QueryArgs, RecordFormat, ReportArgs, ReviewArgs, ReviewCommandArgs,
};
