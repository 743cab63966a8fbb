//! What this host allows: root, sudo, BTF; and how xtask ends when it does not.
//!
//! In: `/proc`, `/sys` and the `PATH`. Out: answers, and exit codes. It never
//! changes the host.

use std::fmt;
use std::fs;
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Error, anyhow};

use crate::tools::on_path;

/// Missing privileges or kernel support, as the agent's own exit codes have it.
pub const EXIT_UNSUPPORTED: u8 = 3;

/// The kernel's own types: the probes that name a process need them.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// An error that ends xtask with a code of its own.
#[derive(Debug)]
struct Ending {
    code: u8,
    message: String,
}

impl fmt::Display for Ending {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.message)
    }
}

impl std::error::Error for Ending {}

/// An error that ends xtask with `code`.
pub fn ending(code: u8, message: impl Into<String>) -> Error {
    anyhow!(Ending {
        code,
        message: message.into(),
    })
}

/// The exit code for an error: its own if it has one, else 1.
pub fn exit_code(error: &Error) -> ExitCode {
    let code = error
        .downcast_ref::<Ending>()
        .map_or(1, |ending| ending.code);
    ExitCode::from(code)
}

/// Whether this process runs as root. `/proc/self` belongs to the effective user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Whether the kernel describes its own types.
pub fn has_btf() -> bool {
    Path::new(KERNEL_BTF).exists()
}

/// How a command may be run as root from here.
pub enum Root {
    /// This process is root already.
    Already,
    /// Through sudo, which asks for a password on the terminal if it needs one.
    Sudo,
    /// Not at all, and why.
    No(&'static str),
}

/// Finds out how to become root, without asking for a password.
pub fn root() -> Root {
    if is_root() {
        return Root::Already;
    }
    if on_path("sudo").is_none() {
        return Root::No("not root, and there is no sudo");
    }
    let without_password = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if without_password || std::io::stdin().is_terminal() {
        return Root::Sudo;
    }
    Root::No("not root, and sudo asks for a password with no terminal to ask on")
}
