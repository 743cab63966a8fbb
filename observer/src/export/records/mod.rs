//! Records of the audit log in the forms that people and other systems read.
//!
//! In: records. Out: a table, comma-separated values, the Elastic Common Schema, or Parquet. Never: a
//! control character on a terminal, or a cell that a spreadsheet would run.

mod csv;
mod ecs;
mod grid;
mod parquet;

pub use csv::{csv_head, csv_row};
pub use ecs::ecs;
pub use grid::{Grid, RECORD_COLUMNS, record_row};
pub use parquet::{ParquetError, ParquetRecords};

use crate::audit::{Field, Record, Value};

/// The fields that have columns of their own; index and message have them in every form.
fn fields() -> impl Iterator<Item = Field> {
    let others = |field: &Field| !matches!(field, Field::Sequence | Field::Message);
    Field::ALL.into_iter().filter(others)
}

/// The value of a field as text; empty where it is not known.
pub(super) fn shown(record: &Record<'_>, field: Field) -> String {
    match record.value(field) {
        Value::Absent => String::new(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.to_owned(),
    }
}

/// The time of a record, RFC 3339 with milliseconds.
pub(super) fn time(record: &Record<'_>) -> String {
    let mut out = String::new();
    super::timestamp::push_rfc3339(&mut out, record.time_ms().saturating_mul(1_000_000));
    // Nine digits, of which the log keeps three.
    let end = out.len().saturating_sub("000000Z".len());
    out.truncate(end);
    out.push('Z');
    out
}
