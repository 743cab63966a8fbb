//! `observer replay`: recordings through the same pipeline, without privileges.

use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::back_half::BackHalf;
use super::complain;
use crate::cli::Exit;
use crate::config::{Format, Settings};
use crate::decrypt::{DecryptCounts, KeyLog};
use crate::export::Style;
use crate::pipeline::{Output, Pipeline, PipelineSettings};
use crate::replay::{AccessLog, is_access_log, replay_file};
use crate::telemetry::Metrics;

/// Shows the calls in `files`, in this order; `keylog` has secrets of their TLS connections.
pub(super) fn replay(files: &[PathBuf], keylog: Option<&Path>, settings: &Settings) -> Exit {
    let keys = match keylog.map(secrets).transpose() {
        Ok(keys) => keys,
        Err(said) => {
            complain(&said);
            return Exit::Failed;
        }
    };
    let out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut back = BackHalf::new(settings, &Metrics::new(), out, Style::of_stdout());
    match super::rules::load(settings) {
        Ok(rules) => back.set_rules(rules, None),
        Err(error) => {
            complain(&error.to_string());
            return Exit::Usage;
        }
    }
    let mut exit = Exit::Done;
    for file in files {
        // What cannot be opened is said by the replay.
        if is_access_log(file).unwrap_or(false) {
            match listed(file, &mut back) {
                Ok(()) => continue,
                Err(Stop::Written(error)) => return unwritten(&error),
                Err(Stop::Read(error)) => {
                    complain(&format!("{}: cannot read: {error}", file.display()));
                    exit = Exit::Failed;
                    break;
                }
            }
        }
        // A file is a world of its own: connections of one do not go on in the next.
        let mut pipeline = Pipeline::new(PipelineSettings {
            both_sides: settings.capture.both_sides,
            body_peek: settings.capture.body_peek,
            ..PipelineSettings::default()
        });
        pipeline.show_query_values(Arc::clone(&settings.unsafe_capture.query_values));
        pipeline.trust(Arc::new(settings.proxies.clone()));
        if let Some(keys) = &keys {
            pipeline.set_key_log(Arc::clone(keys));
        }
        let mut written = Ok(());
        let replayed = replay_file(file, &mut pipeline, &mut |output| {
            if let Output::Call(call) = output
                && written.is_ok()
            {
                written = back.call(call);
            }
        });
        if let Err(error) = replayed {
            complain(&error.to_string());
            exit = Exit::Failed;
            break;
        }
        if let Err(error) = written {
            return unwritten(&error);
        }
        if let Some(counts) = pipeline.decrypt_counts() {
            complain(&opened(file, &counts));
        }
    }
    finish(back, settings, exit)
}

/// The secrets in a file, or what is wrong with it.
fn secrets(path: &Path) -> Result<Arc<KeyLog>, String> {
    let keys = File::open(path)
        .and_then(KeyLog::read)
        .map_err(|error| format!("{}: cannot read: {error}", path.display()))?;
    if keys.is_empty() {
        return Err(format!(
            "{}: holds no secrets; wanted is what a program writes where SSLKEYLOGFILE is set, \
             such as lines with CLIENT_TRAFFIC_SECRET_0 or CLIENT_RANDOM",
            path.display()
        ));
    }
    Ok(Arc::new(keys))
}

/// What became of the TLS connections of a file.
fn opened(file: &Path, counts: &DecryptCounts) -> String {
    let DecryptCounts {
        opened,
        without_secrets,
        unsupported,
        records: _,
        records_failed,
        directions_lost,
        over_budget,
    } = counts;
    let mut said = format!("{}: {opened} TLS connections opened", file.display());
    for (count, what) in [
        (without_secrets, "whose secrets are not in the file"),
        (
            unsupported,
            "of a version or a cipher suite that is not read",
        ),
        (over_budget, "given up for memory"),
        (
            directions_lost,
            "directions given up where bytes are missing",
        ),
        (records_failed, "records that do not prove to be whole"),
    ] {
        if *count > 0 {
            said.push_str(&format!("; {count} {what}"));
        }
    }
    said
}

/// Why an access log was not shown to its end.
enum Stop {
    Read(io::Error),
    Written(io::Error),
}

/// Shows the calls of an access log.
fn listed<W: io::Write>(file: &Path, back: &mut BackHalf<W>) -> Result<(), Stop> {
    let mut log = AccessLog::open(file).map_err(Stop::Read)?;
    while let Some(call) = log.next_call().map_err(Stop::Read)? {
        back.call(call).map_err(Stop::Written)?;
    }
    if log.unread() > 0 {
        complain(&format!(
            "{}: {} of {} lines hold no request and were passed over",
            file.display(),
            log.unread(),
            log.lines()
        ));
    }
    Ok(())
}

fn finish(
    mut back: BackHalf<BufWriter<StdoutLock<'static>>>,
    settings: &Settings,
    exit: Exit,
) -> Exit {
    let summary = back.summary();
    let written = back.flush().and_then(|()| {
        let mut out = back.into_out();
        out.flush()
    });
    if let Err(error) = written {
        return unwritten(&error);
    }
    if settings.format == Format::Table {
        drop(io::stderr().write_all(summary.as_bytes()));
    }
    exit
}

/// A reader that went away is no failure.
fn unwritten(error: &io::Error) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Exit::Done;
    }
    complain(&format!("cannot write to the standard output: {error}"));
    Exit::Failed
}
