//! `observer audit export`: records for other systems, once or as they come.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::complain;
use super::query::{QueryError, ended, failed, keyring, now_ms, printable, push_line};
use crate::audit::{Filter, Record, Search, Stats, checkpoint_record, last_checkpoint};
use crate::cli::{Exit, ExportArgs, ExportFormat, RecordFormat};
use crate::export::{ParquetRecords, csv_head, harden_json};

/// How often new records are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A cursor is one number.
const MOST_CURSOR: u64 = 64;

pub(super) fn run(args: &ExportArgs) -> Exit {
    let ExportArgs {
        dir,
        since,
        filter,
        format,
        key,
        follow,
        cursor,
        anchors,
    } = args;
    let mut text = String::new();
    if let Some(since) = since {
        text = format!("since \"{since}\" ");
    }
    let given = filter.as_deref().unwrap_or_default();
    if !given.trim().is_empty() {
        text = format!("{text}({given})");
    }
    let filter = match Filter::parse(&text, now_ms()) {
        Ok(filter) => filter,
        Err(error) => {
            complain(&printable(&error.to_string()));
            return Exit::Usage;
        }
    };
    if *anchors && !matches!(format, ExportFormat::Ocsf | ExportFormat::Jsonl) {
        complain("--anchors needs --format ocsf: a checkpoint is a record of its own there");
        return Exit::Usage;
    }
    let from = match cursor.as_deref().map_or(Ok(0), read_cursor) {
        Ok(from) => from,
        Err(what) => {
            complain(&what);
            return Exit::Failed;
        }
    };
    let keys = match keyring(dir, key.as_deref()) {
        Ok(keys) => keys,
        Err(error) => return failed(&error),
    };
    let search = Search {
        dir,
        filter: &filter,
        index: true,
        keys: keys.as_ref(),
        from,
    };
    let line = match format {
        ExportFormat::Ocsf | ExportFormat::Jsonl => RecordFormat::Ocsf,
        ExportFormat::Ecs => RecordFormat::Ecs,
        ExportFormat::Csv => RecordFormat::Csv,
        ExportFormat::Parquet if *follow || cursor.is_some() => {
            complain("a Parquet file is written as a whole: not with --follow or --cursor");
            return Exit::Usage;
        }
        ExportFormat::Parquet if io::stdout().is_terminal() => {
            complain("Parquet is not for terminals: write it to a file with `> FILE`");
            return Exit::Usage;
        }
        ExportFormat::Parquet => return finished(dir, parquet(&search)),
    };
    let mut export = Export {
        search,
        line,
        cursor: cursor.as_deref(),
        anchors: *anchors,
        anchored: None,
    };
    let result = export.batches(*follow);
    finished(dir, result)
}

fn finished(dir: &Path, result: Result<Stats, QueryError>) -> Exit {
    match result {
        Ok(stats) => ended(dir, stats, Exit::Done),
        // A reader that has seen enough.
        Err(QueryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            complain(&error.to_string());
            Exit::Failed
        }
    }
}

struct Export<'a> {
    search: Search<'a>,
    line: RecordFormat,
    cursor: Option<&'a Path>,
    anchors: bool,
    /// The last checkpoint that was written.
    anchored: Option<String>,
}

impl Export<'_> {
    fn batches(&mut self, follow: bool) -> Result<Stats, QueryError> {
        let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout());
        if self.line == RecordFormat::Csv && self.search.from == 0 {
            out.write_all(csv_head().as_bytes())?;
        }
        let mut all = Stats::default();
        loop {
            let stats = self.batch(&mut out)?;
            all.found += stats.found;
            all.sealed += stats.sealed;
            all.damaged = all.damaged.or(stats.damaged);
            if !follow || all.damaged.is_some() {
                return Ok(all);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Writes what is there from the cursor on, and moves it.
    fn batch(&mut self, out: &mut impl Write) -> Result<Stats, QueryError> {
        // Before the records: a checkpoint that comes later covers them.
        let checkpoint = last_checkpoint(self.search.dir).ok();
        let mut next = self.search.from;
        let line = self.line;
        let stats = self.search.run(None, &mut |index, record| {
            next = index + 1;
            Ok::<(), QueryError>(push_line(line, record, out)?)
        })?;
        if self.anchors
            && let Some(checkpoint) = checkpoint
            && self.anchored.as_ref() != Some(&checkpoint)
        {
            let record = checkpoint_record(&checkpoint, now_ms());
            writeln!(out, "{}", harden_json(&record))?;
            self.anchored = Some(checkpoint);
        }
        out.flush()?;
        if let Some(cursor) = self.cursor
            && next > self.search.from
        {
            let temporary = cursor.with_extension("tmp");
            fs::write(&temporary, format!("{next}\n"))?;
            fs::rename(&temporary, cursor)?;
        }
        self.search.from = next;
        Ok(stats)
    }
}

fn read_cursor(path: &Path) -> Result<u64, String> {
    use io::Read as _;
    let shown = path.display();
    let mut text = String::new();
    match fs::File::open(path) {
        Ok(file) => file
            .take(MOST_CURSOR)
            .read_to_string(&mut text)
            .map_err(|error| format!("cannot read {shown}: {error}"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(format!("cannot read {shown}: {error}")),
    };
    text.trim()
        .parse()
        .map_err(|_| format!("{shown} holds no number: remove it to start from the first record"))
}

fn parquet(search: &Search<'_>) -> Result<Stats, QueryError> {
    let mut file = ParquetRecords::new(io::BufWriter::new(io::stdout()))?;
    let stats = search.run(None, &mut |_, record| {
        Ok::<(), QueryError>(file.push(&Record::parse(record))?)
    })?;
    file.finish()?;
    Ok(stats)
}
