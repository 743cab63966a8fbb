//! Shows calls and findings: as JSON lines for programs, as a table for people.
//!
//! In: named calls and findings. Out: lines on a writer. Never: a control character, a terminal
//! escape or text that changes its direction, whatever an attacker puts in a path or a host name.

mod escape;
mod jsonl;
mod layout;
mod records;
mod review;
mod table;
mod timestamp;
mod usage_report;

pub(crate) use escape::{harden_json, terminal_text};
pub use jsonl::Jsonl;
pub use records::{
    Grid, ParquetError, ParquetRecords, RECORD_COLUMNS, csv_head, csv_row, ecs, record_row,
};
pub use review::{review_page, review_text};
pub use table::{Style, Table};
pub(crate) use timestamp::{push_rfc3339, rfc3339};
pub use usage_report::UsageReport;
