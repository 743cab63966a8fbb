//! The probe table: every program of the kernel half, what it hooks and whether the agent can do
//! without it. Loading is tried, never decided by a version number.
//!
//! Socket-function probes (fentry, kprobe) are the other rung of the ladder and will be rows of
//! this table; the packets rung below needs neither.

use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program};
use aya::{Btf, Ebpf};

use super::error::chain;
use super::status::{ProbeOutcome, ProbeStatus};

/// How a program is attached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// `cgroup_skb` on the root of cgroup2.
    Cgroup(CgroupSkbAttachType),
    /// A BTF-typed tracepoint of this name.
    Tracepoint(&'static str),
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
}

/// In load order: what others rely on comes first.
pub(super) const PROBES: [Probe; 9] = [
    Probe {
        name: "socket_state",
        hook_name: "tp_btf/inet_sock_set_state",
        purpose: "end of connections",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        required: false,
    },
    Probe {
        name: "socket_sent",
        hook_name: "tp_btf/sock_send_length",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::Tracepoint("sock_send_length"),
        required: false,
    },
    Probe {
        name: "socket_received",
        hook_name: "tp_btf/sock_recv_length",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::Tracepoint("sock_recv_length"),
        required: false,
    },
    Probe {
        name: "packets_in",
        hook_name: "cgroup_skb/ingress",
        purpose: "payload that comes in",
        hook: Hook::Cgroup(CgroupSkbAttachType::Ingress),
        required: true,
    },
    Probe {
        name: "packets_out",
        hook_name: "cgroup_skb/egress",
        purpose: "payload that goes out",
        hook: Hook::Cgroup(CgroupSkbAttachType::Egress),
        required: true,
    },
    Probe {
        name: "tls_enter",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads and writes",
        hook: Hook::Library,
        required: false,
    },
    Probe {
        name: "tls_return",
        hook_name: "uprobe",
        purpose: "plaintext, at a branch that holds the result",
        hook: Hook::Library,
        required: false,
    },
    Probe {
        name: "tls_call_return",
        hook_name: "uretprobe",
        purpose: "plaintext, where there is no such branch",
        hook: Hook::Library,
        required: false,
    },
    Probe {
        name: "tls_free",
        hook_name: "uprobe",
        purpose: "end of TLS objects",
        hook: Hook::Library,
        required: false,
    },
];

/// Loads one program, and attaches it unless it waits for a library.
pub(super) fn start(
    probe: &Probe,
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
    } = *probe;
    let outcome = match try_start(name, hook, ebpf, btf, cgroup) {
        Ok(outcome) => outcome,
        Err(reason) => ProbeOutcome::Failed(reason),
    };
    ProbeStatus {
        name,
        hook: hook_name,
        purpose,
        required,
        outcome,
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
        (Program::UProbe(program), Hook::Library) => {
            program.load().map_err(|error| text(&error))?;
            Ok(ProbeOutcome::Loaded)
        }
        _ => Err("of another type than the probe table says".to_owned()),
    }
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
