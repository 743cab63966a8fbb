//! `observer replay`: recordings through the same pipeline, without privileges.

use std::io::{self, BufWriter, StdoutLock, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::back_half::BackHalf;
use super::complain;
use crate::cli::Exit;
use crate::config::{Format, Settings};
use crate::export::Style;
use crate::pipeline::{Output, Pipeline, PipelineSettings};
use crate::replay::{AccessLog, is_access_log, replay_file};
use crate::telemetry::Metrics;

/// Shows the calls in `files`, in this order.
pub(super) fn replay(files: &[PathBuf], settings: &Settings) -> Exit {
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
    }
    finish(back, settings, exit)
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
