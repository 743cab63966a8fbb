//! How often the kernel passed over a program because one of the same was under way on that
//! processor: `recursion_misses` of its `fdinfo` (5.12 and newer).

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::programs::Program;

/// Since the program was loaded; 0 if the kernel does not tell.
pub(super) fn missed_runs(program: &Program) -> u64 {
    let Ok(fd) = program.fd() else {
        return 0;
    };
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    told(&fs::read_to_string(path).unwrap_or_default())
}

fn told(fdinfo: &str) -> u64 {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn the_number_is_found_among_the_lines() {
        assert_eq!(
            told("pos:\t0\nprog_id:\t27\nrecursion_misses:\t4\nverified_insns:\t9\n"),
            4
        );
        assert_eq!(told("pos:\t0\nprog_id:\t27\n"), 0);
    }
}
