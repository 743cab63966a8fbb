//! Waits for descriptors.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// Waits until one of `fds` is readable, at most `timeout`; without any, sleeps. Being woken early
/// is no error: whoever waits looks at what is there.
pub fn wait_readable<'a>(fds: impl Iterator<Item = BorrowedFd<'a>>, timeout: Duration) {
    let mut polls: Vec<libc::pollfd> = fds
        .map(|fd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let count = polls.len() as libc::nfds_t;
    let timeout = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `polls` holds `count` entries and outlives the call.
    unsafe { libc::poll(polls.as_mut_ptr(), count, timeout) };
}
