//! Loads the programs of the probe table. Loading is tried, never decided by a version number.

use aya::programs::{CgroupAttachMode, Program, ProgramError};
use aya::{Btf, Ebpf};

use super::error::chain;
use super::preemption::Preemption;
use super::preflight::lockdown;
use super::probe_table::{Hook, Probe};
use super::status::{ProbeOutcome, ProbeStatus};

/// Loads one program, and attaches it unless it waits for a library. `before` is what became of
/// the rows above it.
pub(super) fn start(
    probe: &Probe,
    before: &[ProbeStatus],
    ebpf: &mut Ebpf,
    btf: &Btf,
    cgroup: &std::fs::File,
) -> ProbeStatus {
    let Probe {
        name,
        hook_name,
        purpose,
        hook,
        required,
        instead_of,
    } = *probe;
    let first = instead_of.and_then(|first| before.iter().find(|status| status.name == first));
    let outcome = match first {
        Some(first)
            if !matches!(
                first.outcome,
                ProbeOutcome::Failed(_) | ProbeOutcome::NotTried(_)
            ) =>
        {
            ProbeOutcome::Replaced(match &first.outcome {
                ProbeOutcome::Replaced(why) => why.clone(),
                _ => format!("{} runs", first.name),
            })
        }
        _ => match try_start(name, hook, ebpf, btf, cgroup) {
            Ok(outcome) => outcome,
            Err(reason) => ProbeOutcome::Failed(plain(hook, &reason).unwrap_or(reason)),
        },
    };
    ProbeStatus {
        name,
        hook: hook_name,
        purpose,
        required,
        outcome,
    }
}

/// A row that is not wanted.
pub(super) fn not_tried(probe: &Probe, reason: &str) -> ProbeStatus {
    let Probe {
        name,
        hook_name,
        purpose,
        required: _,
        hook: _,
        instead_of: _,
    } = *probe;
    ProbeStatus {
        name,
        hook: hook_name,
        purpose,
        required: false,
        outcome: ProbeOutcome::NotTried(reason.to_owned()),
    }
}

/// A probe that failed and has another that does its work is no loss.
pub(super) fn settle<'a>(
    rows: impl DoubleEndedIterator<Item = &'a Probe>,
    probes: &mut [ProbeStatus],
) {
    // From the end: the last of a row of replacements may stand for all before it.
    for probe in rows.rev() {
        let Some(first) = probe.instead_of else {
            continue;
        };
        let outcome = probes.iter().find(|status| status.name == probe.name);
        let by = match outcome.map(|status| &status.outcome) {
            Some(ProbeOutcome::Attached | ProbeOutcome::Loaded) => {
                format!("{} runs instead", probe.name)
            }
            Some(ProbeOutcome::Replaced(why)) => {
                let by = why.split(": ").next().unwrap_or_default();
                by.to_owned()
            }
            _ => continue,
        };
        if let Some(first) = probes.iter_mut().find(|status| status.name == first)
            && let ProbeOutcome::Failed(reason) = &first.outcome
        {
            first.outcome = ProbeOutcome::Replaced(format!("{by}: {reason}"));
        }
    }
}

fn try_start(
    name: &str,
    hook: Hook,
    ebpf: &mut Ebpf,
    btf: &Btf,
    cgroup: &std::fs::File,
) -> Result<ProbeOutcome, String> {
    let text = |error: &dyn std::error::Error| explain(&chain(error));
    if let Hook::KprobePair {
        function,
        arguments,
    } = hook
    {
        // First, because it is small: where the kernel has no kprobes, no more is tried.
        try_start(arguments, Hook::KprobeEntry(function), ebpf, btf, cgroup)?;
    }
    let program = ebpf
        .program_mut(name)
        .ok_or("not in the kernel half: the two halves are not of one build")?;
    match (program, hook) {
        (Program::CgroupSkb(program), Hook::Cgroup(direction)) => {
            program.load().map_err(|error| text(&error))?;
            // `Single` names no flag; a link is always added to those that are there.
            program
                .attach(cgroup, direction, CgroupAttachMode::Single)
                .map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Attached)
        }
        (Program::BtfTracePoint(program), Hook::Tracepoint(tracepoint)) => {
            program
                .load(tracepoint, btf)
                .map_err(|error| text(&error))?;
            program.attach().map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Attached)
        }
        (Program::FExit(program), Hook::FunctionExit(function)) => {
            program.load(function, btf).map_err(|error| text(&error))?;
            program.attach().map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Attached)
        }
        (Program::FExit(program), Hook::FunctionExitTwice { function, again }) => {
            program.load(function, btf).map_err(|error| text(&error))?;
            attach_twice(ebpf, btf, function, name, again).map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Attached)
        }
        (Program::FEntry(program), Hook::FunctionEntry(function)) => {
            program.load(function, btf).map_err(|error| text(&error))?;
            program.attach().map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Attached)
        }
        (
            Program::KProbe(program),
            Hook::KprobeEntry(function) | Hook::KprobePair { function, .. },
        ) => {
            program.load().map_err(|error| text(&error))?;
            program.attach(function, 0).map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Attached)
        }
        (Program::UProbe(program), Hook::Library) => {
            program.load().map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Loaded)
        }
        _ => Err("of another type than the probe table says".to_owned()),
    }
}

/// Attaches `name`, and where the kernel preempts its own code `again` with it.
fn attach_twice(
    ebpf: &mut Ebpf,
    btf: &Btf,
    function: &str,
    name: &str,
    again: &str,
) -> Result<(), ProgramError> {
    if Preemption::of_this_kernel().of_programs
        && let Some(Program::FExit(program)) = ebpf.program_mut(again)
    {
        // Before the first, because what is attached last runs first (`__bpf_trampoline_link_prog`
        // of kernel `kernel/bpf/trampoline.c`); `check_order` makes sure of it.
        program.load(function, btf)?;
        program.attach()?;
    }
    let Some(Program::FExit(program)) = ebpf.program_mut(name) else {
        return Ok(());
    };
    let attached = program.attach().map(|_| ());
    if attached.is_err()
        && let Some(Program::FExit(program)) = ebpf.program_mut(again)
    {
        // Alone it would take what a replacement takes too. One that is not loaded is no fault.
        let _ = program.unload();
    }
    attached
}

/// What an error of the kernel means, where its own words do not say.
fn plain(hook: Hook, error: &str) -> Option<String> {
    let function = matches!(
        hook,
        Hook::FunctionEntry(_) | Hook::FunctionExit(_) | Hook::FunctionExitTwice { .. }
    );
    if lockdown().as_deref() == Some("confidentiality") && error.contains("bpf_probe_read") {
        return Some(
            "kernel lockdown (confidentiality) forbids probes to read the memory of programs"
                .to_owned(),
        );
    }
    if function && error.contains("Operation not permitted") {
        return Some(
            "this kernel lets no program run at its functions: it is built without function tracing (CONFIG_FUNCTION_TRACER)"
                .to_owned(),
        );
    }
    let kprobe = matches!(hook, Hook::KprobeEntry(_) | Hook::KprobePair { .. });
    if kprobe && error.contains("/kprobe/type") {
        return Some("this kernel is built without kprobes (CONFIG_KPROBES)".to_owned());
    }
    let absent = error.starts_with("unknown BTF type")
        || kprobe && error.contains("No such file or directory");
    if (function || kprobe) && absent {
        return Some("this kernel has no such function".to_owned());
    }
    None
}

/// Verifier logs run to thousands of lines; the cause is in the last ones.
fn explain(error: &str) -> String {
    const LAST_LINES: usize = 4;
    let lines: Vec<&str> = error
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("processed "))
        .collect();
    if lines.len() <= LAST_LINES + 1 {
        return lines.join(" | ");
    }
    let first = lines.first().copied().unwrap_or_default();
    let last = lines.get(lines.len() - LAST_LINES..).unwrap_or_default();
    let first: String = first.chars().take(200).collect();
    format!("{first} … {}", last.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::super::probe_table::PROBES;
    use super::*;

    fn status(name: &'static str, outcome: ProbeOutcome) -> ProbeStatus {
        ProbeStatus {
            name,
            hook: "",
            purpose: "",
            required: false,
            outcome,
        }
    }

    #[test]
    fn a_probe_comes_after_the_one_it_may_replace() {
        for (at, probe) in PROBES.iter().enumerate() {
            if let Some(first) = probe.instead_of {
                let before = PROBES.get(..at).unwrap();
                assert!(before.iter().any(|row| row.name == first), "{}", probe.name);
            }
        }
    }

    #[test]
    fn a_failure_with_a_replacement_is_no_loss_and_keeps_its_reason() {
        let failed = |reason: &str| ProbeOutcome::Failed(reason.to_owned());
        let mut probes = [
            status("socket_sent", failed("no tracepoint")),
            status("inet_sent", failed("no storage")),
            status("inet_sent_by_cookie", ProbeOutcome::Attached),
            status("socket_received", failed("no tracepoint")),
            status("inet_received", failed("no function")),
        ];
        settle(PROBES.iter(), &mut probes);
        let outcomes = probes.map(|probe| probe.outcome);
        let replaced = |why: &str| ProbeOutcome::Replaced(why.to_owned());
        assert_eq!(
            outcomes,
            [
                replaced("inet_sent_by_cookie runs instead: no tracepoint"),
                replaced("inet_sent_by_cookie runs instead: no storage"),
                ProbeOutcome::Attached,
                failed("no tracepoint"),
                failed("no function"),
            ]
        );
    }

    #[test]
    fn a_verifier_log_is_cut_to_its_end() {
        let log: String = (0..100).map(|line| format!("line {line}\n")).collect();
        assert_eq!(
            explain(&log),
            "line 0 … line 96 | line 97 | line 98 | line 99"
        );
        assert_eq!(explain("one\ntwo\n"), "one | two");
    }
}
