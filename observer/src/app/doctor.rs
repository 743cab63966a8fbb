//! `observer doctor`: tries everything `run` needs, tells what became of it, and takes it away.

use super::library_thread::LibraryProbes;
use super::print;
use crate::capture::Libraries;
use crate::cli::{Check, DoctorReport, Exit};
use crate::kernel::{CaptureFilters, Kernel, KernelSettings, preflight};

/// A ring that holds nothing for long: the doctor looks at probes, not at traffic.
const RING_BYTES: u32 = 256 << 10;

/// Prints the report. Exit code 3 if `run` could not capture here.
pub(super) fn run(json: bool) -> Exit {
    let mut report = DoctorReport {
        kernel: preflight()
            .into_iter()
            .map(|check| Check {
                name: check.name.to_owned(),
                value: check.found,
                ok: check.ok,
                optional: check.optional,
                remedy: (!check.ok && !check.remedy.is_empty()).then_some(check.remedy),
            })
            .collect(),
        ..DoctorReport::default()
    };
    match Kernel::probe(&KernelSettings {
        ring_bytes: RING_BYTES,
        both_sides: false,
        filters: CaptureFilters::default(),
    }) {
        Ok((kernel, _parts)) => {
            let mut probes = LibraryProbes::new(kernel, Libraries::default());
            probes.scan_all();
            report.probes = probes.kernel().probes().to_vec();
            report.instructions = probes.kernel().programs();
            report.tls = probes.report();
        }
        Err(error) => report.kernel.push(Check {
            name: "kernel half".to_owned(),
            value: error.to_string(),
            ok: false,
            optional: false,
            remedy: None,
        }),
    }
    let text = if json { report.json() } else { report.text() };
    match (print(&text), report.usable()) {
        (Exit::Done, false) => Exit::Unsupported,
        (exit, _) => exit,
    }
}
