//! Comma-separated values (RFC 4180): a head line, and all fields of every record.

use std::borrow::Cow;

use super::{fields, shown, time};
use crate::audit::{Field, Record};

/// The first line.
pub fn csv_head() -> String {
    let names: Vec<&str> = fields().map(Field::name).collect();
    format!("time,sequence,{},message\r\n", names.join(","))
}

/// The line of a record.
pub fn csv_row(record: &Record<'_>) -> String {
    let mut out = time(record);
    out.push(',');
    if let Some(index) = record.index() {
        out.push_str(&index.to_string());
    }
    for field in fields() {
        out.push(',');
        out.push_str(&cell(&shown(record, field)));
    }
    out.push(',');
    out.push_str(&cell(record.message().unwrap_or_default()));
    out.push_str("\r\n");
    out
}

/// Quoted where it must be. A cell that a spreadsheet would take for a formula gets a `'` before
/// it: what is in it comes from the network.
fn cell(text: &str) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let special = text.contains([',', '"', '\n', '\r']);
    if !formula && !special {
        return Cow::Borrowed(text);
    }
    let mark = if formula { "'" } else { "" };
    Cow::Owned(format!("\"{mark}{}\"", text.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests {
    use super::{cell, csv_head, csv_row};
    use crate::audit::{Ocsf, Record};
    use crate::catalog::sample;

    #[test]
    fn cells_are_quoted_and_no_formula_is_left() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,b\"c"), "\"a,b\"\"c\"");
        assert_eq!(cell("=cmd|'/c'!A1"), "\"'=cmd|'/c'!A1\"");
    }

    #[test]
    fn every_row_has_the_columns_of_the_head() {
        let mut ocsf = Ocsf::default();
        let call = sample::call("GET", "/a", Some(404));
        let row = csv_row(&Record::parse(ocsf.call(&call, 9).1.as_bytes()));
        assert_eq!(row.matches(',').count(), csv_head().matches(',').count());
        assert!(
            row.starts_with("2026-11-22T10:20:30.123Z,9,call,404,"),
            "{row}"
        );
    }
}
