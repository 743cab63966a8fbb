//! What can go wrong between the agent and the kernel, and what to do about it.

use std::io;
use std::path::PathBuf;

/// A failure of the kernel half.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The build had no bpf-linker.
    #[error(
        "this build has no kernel half (bpf-linker was missing when it was built): run `cargo xtask setup`, then build again"
    )]
    NoObject,
    /// Something the agent needs is not granted.
    #[error("missing privileges: {missing}; start the agent as root: `sudo {command}`")]
    Privileges {
        /// The capabilities that are missing, in words.
        missing: String,
        /// The command line that was tried.
        command: String,
    },
    /// No type information.
    #[error(
        "cannot read /sys/kernel/btf/vmlinux: {0}; the kernel must be built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Btf(#[source] aya::BtfError),
    /// The type information does not hold together.
    #[error("/sys/kernel/btf/vmlinux {0}")]
    Types(#[source] super::btf::BtfFault),
    /// The object could not be loaded.
    #[error("cannot load the kernel half: {}", chain(.0))]
    Load(#[source] Box<aya::EbpfError>),
    /// A map is not there or not of its type: the halves are not of one build.
    #[error("the kernel half has no usable map {0}: the two halves are not of one build")]
    Map(&'static str),
    /// Reading or writing a map failed.
    #[error("map {name}: {source}")]
    MapAccess {
        /// Name of the map.
        name: &'static str,
        /// Why.
        source: aya::maps::MapError,
    },
    /// cgroup2 is not there.
    #[error(
        "no cgroup2 file system is mounted and mounting one failed: {0}; mount it with `mount -t cgroup2 none /sys/fs/cgroup/unified`"
    )]
    Cgroup(#[source] io::Error),
    /// A cgroup folder could not be opened.
    #[error("cannot open the cgroup2 root {}: {source}", path.display())]
    CgroupOpen {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A probe without which nothing can be captured does not run.
    #[error("the required probe {name} does not run: {reason}")]
    Required {
        /// Name of the probe.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// A system call failed.
    #[error("{call}: {source}")]
    System {
        /// What was called.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl KernelError {
    /// A probe that is needed does not run; other probes may do.
    pub(super) const fn is_of_a_probe(&self) -> bool {
        matches!(
            self,
            Self::Required { .. } | Self::Cgroup(_) | Self::CgroupOpen { .. }
        )
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
