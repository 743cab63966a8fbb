//! `observer doctor`: tries everything `run` needs, tells what became of it, and takes it away.

use std::net::SocketAddr;

use super::library_thread::LibraryProbes;
use super::print;
use super::running_agent;
use crate::capture::Libraries;
use crate::cli::{Check, DoctorReport, Exit};
use crate::kernel::{
    Blocker, CaptureFilters, Kernel, KernelSettings, SocketCapture, layout, preflight,
};

/// A ring that holds nothing for long: the doctor looks at probes, not at traffic.
const RING_BYTES: u32 = 256 << 10;

/// Prints the report. Exit code 3 if `run` could not capture here. `blocks`: clients are to be
/// turned away.
pub(super) fn run(json: bool, sockets: SocketCapture, blocks: bool, metrics: SocketAddr) -> Exit {
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
        agent: running_agent::books(metrics),
        ..DoctorReport::default()
    };
    match Kernel::probe(&KernelSettings {
        ring_bytes: RING_BYTES,
        rings: None,
        both_sides: false,
        sockets,
        body_peek: 0,
        filters: CaptureFilters::default(),
    }) {
        Ok((kernel, _parts)) => {
            report.kernel.extend(coverage(&kernel));
            let mut probes = LibraryProbes::new(kernel, Libraries::default());
            probes.scan_all();
            report.probes = probes.kernel().probes().to_vec();
            report.instructions = probes.kernel().programs();
            report.layout = layout();
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
    if blocks {
        let (status, instructions) = Blocker::probe();
        let count = instructions.map(|count| (status.name.to_owned(), count));
        report.instructions.extend(count);
        report.probes.push(status);
    }
    let text = if json { report.json() } else { report.text() };
    match (print(&text), report.usable()) {
        (Exit::Done, false) => Exit::Unsupported,
        (exit, _) => exit,
    }
}

/// What is seen of each kind of socket, by what.
fn coverage(kernel: &Kernel) -> Vec<Check> {
    let check = |name: &str, value: String, ok: bool, remedy: &str| Check {
        name: name.to_owned(),
        value,
        ok,
        optional: true,
        remedy: (!ok).then(|| remedy.to_owned()),
    };
    let functions = "socket functions";
    let remedy = "only socket functions see them, and those do not load here: see below why; on a kernel with trampolines on functions (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) or kprobes (CONFIG_KPROBES) they do";
    let tcp = kernel.tcp_source();
    let unix = kernel.sees_unix_sockets();
    let mut checks = vec![
        check(
            "TCP",
            tcp.map_or_else(|| "not seen".to_owned(), |from| format!("seen by {from}")),
            tcp.is_some(),
            "neither packets nor socket functions load here: see below why",
        ),
        check(
            "Unix sockets",
            if unix {
                format!("seen by {functions}")
            } else {
                "not seen".to_owned()
            },
            unix,
            remedy,
        ),
    ];
    let (value, ok) = match kernel.sees_kernel_tls() {
        None => ("not in use".to_owned(), true),
        Some(true) => (format!("plaintext seen by {functions}"), true),
        Some(false) => ("plaintext not seen".to_owned(), false),
    };
    checks.push(check("TLS done by the kernel", value, ok, remedy));
    checks
}
