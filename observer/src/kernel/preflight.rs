//! What the host offers, checked before anything is loaded, each with what to do if it is missing.

use std::fs;

use super::cgroup::CgroupRoot;
use super::preemption::Preemption;

/// A Linux capability the agent needs (kernel `include/uapi/linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// What the agent needs it for.
    pub purpose: &'static str,
}

/// All of them; root has them.
const NEEDED: [Capability; 5] = [
    Capability {
        number: 39,
        name: "CAP_BPF",
        purpose: "load programs and create maps",
    },
    Capability {
        number: 38,
        name: "CAP_PERFMON",
        purpose: "tracepoints and uprobes",
    },
    Capability {
        number: 12,
        name: "CAP_NET_ADMIN",
        purpose: "attach packet programs to a cgroup",
    },
    Capability {
        number: 21,
        name: "CAP_SYS_ADMIN",
        purpose: "uprobes in programs of all users",
    },
    Capability {
        number: 19,
        name: "CAP_SYS_PTRACE",
        purpose: "read which files the processes of all users map",
    },
];

/// One thing the host offers or lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// What was found.
    pub found: String,
    /// It is as the agent needs it.
    pub ok: bool,
    /// Something can be captured without it.
    pub optional: bool,
    /// What to do if not; empty if there is nothing to do.
    pub remedy: String,
}

/// The capabilities this process lacks.
pub fn missing_privileges() -> Vec<Capability> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    missing(&status)
}

fn missing(status: &str) -> Vec<Capability> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    NEEDED
        .into_iter()
        .filter(|capability| effective & (1 << capability.number) == 0)
        .collect()
}

/// The mode of kernel lockdown in force, such as `integrity`; `None` where there is none.
pub(super) fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

/// Looks at the host; changes nothing.
pub fn preflight() -> Vec<Check> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let missing = missing_privileges();
    let names: Vec<&str> = missing.iter().map(|capability| capability.name).collect();
    let btf = fs::metadata("/sys/kernel/btf/vmlinux");
    let cgroup = CgroupRoot::mounted();
    let lockdown = lockdown();
    let preemption = Preemption::of_this_kernel();
    vec![
        Check {
            name: "kernel",
            found: kernel.trim().to_owned(),
            ok: !kernel.is_empty(),
            optional: true,
            remedy: String::new(),
        },
        Check {
            name: "architecture",
            found: std::env::consts::ARCH.to_owned(),
            ok: std::env::consts::ARCH == "x86_64",
            optional: true,
            remedy: "TLS probes are placed on x86-64 machine code only; plaintext HTTP is seen on any"
                .to_owned(),
        },
        Check {
            name: "privileges",
            found: if missing.is_empty() {
                "all that is needed".to_owned()
            } else {
                format!("lacks {}", names.join(", "))
            },
            ok: missing.is_empty(),
            optional: false,
            remedy: "run as root: `sudo observer run`".to_owned(),
        },
        Check {
            name: "type information (BTF)",
            found: btf.as_ref().map_or_else(
                |error| format!("/sys/kernel/btf/vmlinux: {error}"),
                |file| format!("/sys/kernel/btf/vmlinux, {} KiB", file.len() / 1024),
            ),
            ok: btf.is_ok(),
            optional: false,
            remedy: "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every current distribution's)"
                .to_owned(),
        },
        Check {
            name: "cgroup2",
            found: cgroup.as_ref().map_or_else(
                || "not mounted; the agent mounts it for itself".to_owned(),
                |path| format!("mounted at {}", path.display()),
            ),
            ok: true,
            optional: true,
            remedy: String::new(),
        },
        Check {
            name: "kernel preemption",
            found: if preemption.of_programs {
                format!(
                    "{}: where probes at socket functions load, each has a second one, for calls that the first is not run for",
                    preemption.model
                )
            } else {
                preemption.model
            },
            ok: true,
            optional: true,
            remedy: String::new(),
        },
        Check {
            name: "kernel lockdown",
            found: lockdown.clone().unwrap_or_else(|| "none".to_owned()),
            ok: lockdown.as_deref() != Some("confidentiality"),
            optional: true,
            remedy: "confidentiality mode forbids reading memory from probes: plaintext HTTP is seen with its process, the content of TLS is not; boot with lockdown=integrity or none to see it"
                .to_owned(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_lacks_nothing_and_nobody_lacks_all() {
        assert!(missing("CapEff:\t000001ffffffffff\n").is_empty());
        assert_eq!(missing("CapEff:\t0000000000000000\n").len(), NEEDED.len());
        assert_eq!(missing("garbage").len(), NEEDED.len());
    }

    #[test]
    fn a_single_missing_capability_is_named() {
        let all_but_bpf = 0x1ff_ffff_ffff_u64 & !(1 << 39);
        let missing = missing(&format!("CapEff:\t{all_but_bpf:016x}\n"));
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].name, "CAP_BPF");
    }
}
