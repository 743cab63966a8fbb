//! `observer query`: records of the log on the standard output.

use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{complain, print};
use crate::audit::{AuditError, Field, Filter, Keyring, ReaderSecret, Record, Search, Stats};
use crate::cli::{Exit, QueryArgs, RecordFormat};
use crate::export::{
    Grid, ParquetError, RECORD_COLUMNS, csv_head, csv_row, ecs, harden_json, record_row,
    terminal_text,
};

/// Rows of a table: more scroll away unread.
const TABLE_ROWS: u64 = 1000;

/// Why a search ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    #[error(transparent)]
    Log(#[from] AuditError),
    #[error("cannot write to the standard output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] ParquetError),
}

/// Unix time, milliseconds.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Width of the terminal; `None` if the output is none.
pub(super) fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

pub(super) fn query(args: &QueryArgs) -> Exit {
    let QueryArgs {
        filter,
        log,
        format,
        limit,
        count,
        by,
        scan,
        key,
    } = args;
    let filter = match Filter::parse(&filter.join(" "), now_ms()) {
        Ok(filter) => filter,
        Err(error) => {
            complain(&printable(&error.to_string()));
            return Exit::Usage;
        }
    };
    let keys = match keyring(log, key.as_deref()) {
        Ok(keys) => keys,
        Err(error) => return failed(&error),
    };
    let search = Search {
        dir: log,
        filter: &filter,
        index: !scan,
        keys: keys.as_ref(),
        from: 0,
    };
    if *count || by.is_some() {
        let by = match by.as_deref().map(|name| Field::named(name).ok_or(name)) {
            Some(Err(name)) => {
                let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
                let name = terminal_text(name);
                complain(&format!(
                    "--by {name}: no such field; there are {}",
                    names.join(", ")
                ));
                return Exit::Usage;
            }
            Some(Ok(field)) => Some(field),
            None => None,
        };
        return counted(&search, by);
    }
    let table = *format == RecordFormat::Table;
    let newest = limit.or(table.then_some(TABLE_ROWS));
    show(&search, *format, newest)
}

/// The keys that a reader of sealed records has.
pub(super) fn keyring(dir: &Path, key: Option<&Path>) -> Result<Option<Keyring>, AuditError> {
    key.map(|path| Keyring::open(dir, &ReaderSecret::read(path)?))
        .transpose()
}

pub(super) fn failed(error: &AuditError) -> Exit {
    complain(&error.to_string());
    Exit::Failed
}

/// Lines without control characters, line by line.
pub(super) fn printable(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(terminal_text).collect();
    lines.join("\n")
}

fn counted(search: &Search<'_>, by: Option<Field>) -> Exit {
    let (groups, stats) = match search.count(by) {
        Ok(counted) => counted,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    let text = match by {
        None => format!("{}\n", stats.found),
        Some(by) => {
            let mut groups: Vec<_> = groups.into_iter().collect();
            groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let head = by.name().to_uppercase();
            let mut grid = Grid::new(&["COUNT", &head]);
            for (name, count) in groups {
                grid.push(vec![
                    count.to_string(),
                    name.unwrap_or_else(|| "-".to_owned()),
                ]);
            }
            grid.render(width())
        }
    };
    ended(search.dir, stats, print(&text))
}

fn show(search: &Search<'_>, format: RecordFormat, newest: Option<u64>) -> Exit {
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let newest = newest.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
    let result = write(search, format, newest, &mut out)
        .and_then(|stats| out.flush().map(|()| stats).map_err(QueryError::from));
    match result {
        Ok(stats) => {
            let limited = newest.is_some_and(|rows| stats.found == rows as u64);
            if limited && format == RecordFormat::Table {
                let rows = stats.found;
                complain(&format!(
                    "the newest {rows} are shown; --limit N shows more, --count tells how many there are"
                ));
            }
            ended(search.dir, stats, Exit::Done)
        }
        // A reader that has seen enough.
        Err(QueryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            complain(&error.to_string());
            Exit::Failed
        }
    }
}

fn write(
    search: &Search<'_>,
    format: RecordFormat,
    newest: Option<usize>,
    out: &mut impl Write,
) -> Result<Stats, QueryError> {
    let mut grid = Grid::new(&RECORD_COLUMNS);
    if format == RecordFormat::Csv {
        out.write_all(csv_head().as_bytes())?;
    }
    let stats = search.run(newest, &mut |_, bytes| match format {
        RecordFormat::Table => {
            grid.push(record_row(&Record::parse(bytes)));
            Ok(())
        }
        line => Ok::<(), QueryError>(push_line(line, bytes, out)?),
    })?;
    if format == RecordFormat::Table {
        out.write_all(grid.render(width()).as_bytes())?;
    }
    Ok(stats)
}

/// Writes a record in a form that has a line for each.
pub(super) fn push_line(
    format: RecordFormat,
    record: &[u8],
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        RecordFormat::Ocsf | RecordFormat::Jsonl => {
            writeln!(out, "{}", harden_json(&String::from_utf8_lossy(record)))
        }
        RecordFormat::Ecs => {
            let json = ecs(&Record::parse(record)).to_string();
            writeln!(out, "{}", harden_json(&json))
        }
        RecordFormat::Csv => out.write_all(csv_row(&Record::parse(record)).as_bytes()),
        // Its columns are known at the end only.
        RecordFormat::Table => Ok(()),
    }
}

/// An answer that misses something is no good answer.
pub(super) fn ended(dir: &Path, stats: Stats, exit: Exit) -> Exit {
    if stats.sealed > 0 {
        complain(&format!(
            "{} of the records are sealed, and only time, class and status are known of them: give the key of a reader with --key",
            stats.sealed
        ));
    }
    let Some(index) = stats.damaged else {
        return exit;
    };
    complain(&format!(
        "records from {index} on could not be read in one segment: see `observer audit verify {}`",
        dir.display()
    ));
    Exit::Failed
}
