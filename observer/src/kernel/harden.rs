//! Keeps what the agent has in memory out of files.

use std::io;

use super::error::KernelError;

/// No core dump, and no other program may attach to the agent: its memory holds what others sent,
/// secrets included.
pub fn forbid_dumps() -> Result<(), KernelError> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid rlimit that outlives the call.
    check("setrlimit(RLIMIT_CORE)", unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none)
    })?;
    // SAFETY: takes integers only.
    check("prctl(PR_SET_DUMPABLE)", unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    })
}

/// Lets the calling thread run soon after it is woken, even where every processor is busy: the ring
/// fills within milliseconds then, and this thread needs a few percent of one.
pub fn run_promptly() -> Result<(), KernelError> {
    /// Between the usual 0 and the -20 of what must never wait.
    const NICENESS: libc::c_int = -15;
    // SAFETY: takes integers only; 0 is the calling thread (setpriority(2), "C library/kernel
    // differences").
    check("setpriority", unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS)
    })
}

/// Lets the calling thread run when no other wants to: for work that nobody waits for.
pub fn run_behind_others() {
    /// The last of all.
    const NICENESS: libc::c_int = 19;
    // SAFETY: takes integers only; 0 is the calling thread (setpriority(2), "C library/kernel
    // differences"). Who steps back is never refused.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

fn check(call: &'static str, result: libc::c_int) -> Result<(), KernelError> {
    if result == 0 {
        return Ok(());
    }
    Err(KernelError::System {
        call,
        source: io::Error::last_os_error(),
    })
}
