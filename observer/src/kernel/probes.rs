//! The probe table: every program of the kernel half, what it hooks and whether the agent can do
//! without it. Loading is tried, never decided by a version number.
//!
//! Where a probe needs what older kernels lack, the rows after it do its work another way, each
//! tried only if the one before failed.

use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program};
use aya::{Btf, Ebpf};

use super::error::chain;
use super::preflight::lockdown;
use super::status::{ProbeOutcome, ProbeStatus};

/// How a program is attached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// `cgroup_skb` on the root of cgroup2.
    Cgroup(CgroupSkbAttachType),
    /// A BTF-typed tracepoint of this name.
    Tracepoint(&'static str),
    /// The beginning of a kernel function of this name.
    FunctionEntry(&'static str),
    /// The end of a kernel function of this name.
    FunctionExit(&'static str),
    /// Attached later, to each TLS library found.
    Library,
}

/// One row of the probe table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) hook_name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) hook: Hook,
    pub(super) required: bool,
    /// It does the work of this one, and is tried only if that one fails.
    pub(super) instead_of: Option<&'static str>,
}

/// In load order: what others rely on comes first, and a probe before what may replace it.
pub(super) const PROBES: [Probe; 30] = [
    Probe {
        name: "socket_state",
        hook_name: "tp_btf/inet_sock_set_state",
        purpose: "end of connections",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        required: false,
        instead_of: None,
    },
    Probe {
        name: "socket_state_by_cookie",
        hook_name: "tp_btf/inet_sock_set_state",
        purpose: "end of connections",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        required: false,
        instead_of: Some("socket_state"),
    },
    Probe {
        name: "socket_sent",
        hook_name: "tp_btf/sock_send_length",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::Tracepoint("sock_send_length"),
        required: false,
        instead_of: None,
    },
    Probe {
        name: "inet_sent",
        hook_name: "fexit/inet_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_sendmsg"),
        required: false,
        instead_of: Some("socket_sent"),
    },
    Probe {
        name: "inet_sent_by_cookie",
        hook_name: "fexit/inet_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_sendmsg"),
        required: false,
        instead_of: Some("inet_sent"),
    },
    Probe {
        name: "inet6_sent",
        hook_name: "fexit/inet6_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_sendmsg"),
        required: false,
        instead_of: Some("socket_sent"),
    },
    Probe {
        name: "inet6_sent_by_cookie",
        hook_name: "fexit/inet6_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_sendmsg"),
        required: false,
        instead_of: Some("inet6_sent"),
    },
    Probe {
        name: "socket_received",
        hook_name: "tp_btf/sock_recv_length",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::Tracepoint("sock_recv_length"),
        required: false,
        instead_of: None,
    },
    Probe {
        name: "inet_received",
        hook_name: "fexit/inet_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_recvmsg"),
        required: false,
        instead_of: Some("socket_received"),
    },
    Probe {
        name: "inet_received_by_cookie",
        hook_name: "fexit/inet_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_recvmsg"),
        required: false,
        instead_of: Some("inet_received"),
    },
    Probe {
        name: "inet6_received",
        hook_name: "fexit/inet6_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_recvmsg"),
        required: false,
        instead_of: Some("socket_received"),
    },
    Probe {
        name: "inet6_received_by_cookie",
        hook_name: "fexit/inet6_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_recvmsg"),
        required: false,
        instead_of: Some("inet6_received"),
    },
    Probe {
        name: "packets_in",
        hook_name: "cgroup_skb/ingress",
        purpose: "payload that comes in",
        hook: Hook::Cgroup(CgroupSkbAttachType::Ingress),
        required: true,
        instead_of: None,
    },
    Probe {
        name: "packets_out",
        hook_name: "cgroup_skb/egress",
        purpose: "payload that goes out",
        hook: Hook::Cgroup(CgroupSkbAttachType::Egress),
        required: true,
        instead_of: None,
    },
    Probe {
        name: "tls_enter",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads and writes",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_enter_in_result",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_in_4th",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_in_5th",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_out_result",
        hook_name: "uprobe",
        purpose: "arguments of TLS writes",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_out_4th",
        hook_name: "uprobe",
        purpose: "arguments of TLS writes",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_out_5th",
        hook_name: "uprobe",
        purpose: "arguments of TLS writes",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_return",
        hook_name: "uprobe",
        purpose: "plaintext, at a branch that holds the result",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_call_return",
        hook_name: "uretprobe",
        purpose: "plaintext, where there is no such branch",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_free",
        hook_name: "uprobe",
        purpose: "end of TLS objects",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_go_enter",
        hook_name: "uprobe",
        purpose: "arguments of reads and plaintext of writes of Go's own TLS",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_go_return",
        hook_name: "uprobe",
        purpose: "plaintext of reads of Go's own TLS",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_go_close",
        hook_name: "uprobe",
        purpose: "end of connections of Go's own TLS",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_record_encrypt",
        hook_name: "uprobe",
        purpose: "plaintext that rustls encrypts",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_record_decrypt",
        hook_name: "uprobe",
        purpose: "records that rustls decrypts",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_record_decrypted",
        hook_name: "uretprobe",
        purpose: "plaintext that rustls has decrypted",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
];

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
        Some(first) if !matches!(first.outcome, ProbeOutcome::Failed(_)) => {
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
pub(super) fn settle(probes: &mut [ProbeStatus]) {
    // From the end: the last of a row of replacements may stand for all before it.
    for probe in PROBES.iter().rev() {
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
        (Program::FEntry(program), Hook::FunctionEntry(function)) => {
            program.load(function, btf).map_err(|error| text(&error))?;
            program.attach().map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Attached)
        }
        (Program::UProbe(program), Hook::Library) => {
            program.load().map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Loaded)
        }
        _ => Err("of another type than the probe table says".to_owned()),
    }
}

/// What an error of the kernel means, where its own words do not say.
fn plain(hook: Hook, error: &str) -> Option<String> {
    let function = matches!(hook, Hook::FunctionEntry(_) | Hook::FunctionExit(_));
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
    if function && error.starts_with("unknown BTF type") {
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
        settle(&mut probes);
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
