//! The second programs at socket functions, which take the calls that the first are not run for.
//!
//! In: which of the two ran last for a few calls of the agent itself. Out: the second ones stay if
//! they run after the first, and go if not, because then both would take every call.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use aya::maps::Array;
use aya::programs::Program;

use super::error::KernelError;
use super::function_probes::{FUNCTION_PROBES, again_of};
use super::loader::Kernel;

const LAST_LOOK: &str = "LAST_LOOK";

/// Calls looked at. One may miss a program, which is what second programs are for.
const CALLS: u32 = 9;

impl Kernel {
    /// Takes the second programs off if they do not run after the first.
    pub(super) fn check_order(&mut self) {
        // All functions have their programs in the same order; Unix sockets are always among them.
        let sends = again_of("unix_bytes_sent");
        if !sends.is_some_and(|again| self.is_loaded(again)) {
            return;
        }
        let reason = match self.second_runs_last() {
            Ok(true) => return,
            Ok(false) => "this kernel runs them before the first".to_owned(),
            Err(error) => error.to_string(),
        };
        for (_, probe) in &FUNCTION_PROBES {
            if let Some(again) = again_of(probe.name) {
                self.unload_exit(again);
            }
        }
        tracing::warn!(
            reason,
            "second programs at socket functions are taken off: what the first are not run for is not seen"
        );
    }

    /// Whether a second program looks at a call after the first.
    fn second_runs_last(&self) -> Result<bool, KernelError> {
        let failed = |source| KernelError::MapAccess {
            name: LAST_LOOK,
            source,
        };
        let map = self
            .ebpf
            .map(LAST_LOOK)
            .ok_or(KernelError::Map(LAST_LOOK))?;
        let last: Array<_, u32> = Array::try_from(map).map_err(failed)?;
        let system = |call| move |source| KernelError::System { call, source };
        // Never read: what is sent waits for an end that is closed.
        let (mut from, _to) = UnixStream::pair().map_err(system("socketpair"))?;
        let mut second = 0;
        for _ in 0..CALLS {
            from.write_all(&[0]).map_err(system("write"))?;
            second += last.get(&0, 0).map_err(failed)?;
        }
        Ok(second > CALLS / 2)
    }

    fn is_loaded(&self, name: &str) -> bool {
        let program = self.ebpf.program(name);
        program.is_some_and(|program| program.fd().is_ok())
    }

    /// Takes off a program at the end of a function, if it is there.
    pub(super) fn unload_exit(&mut self, name: &str) {
        if self.is_loaded(name)
            && let Some(Program::FExit(program)) = self.ebpf.program_mut(name)
            && let Err(error) = program.unload()
        {
            tracing::error!(probe = name, %error, "a second program cannot be taken off");
        }
    }
}
