//! Where calls are named, judged, counted and shown: on the capture thread, or on one of their own.
//!
//! A thread of their own about doubles how many calls a host with processors to spare can take. But
//! a call that changes processors takes its memory along: 7 to 10 % more time for each. With two
//! processors, which the servers of the host want as well, there is nothing to be had for that.

use std::io::Write;
use std::thread::available_parallelism;

use super::back_half::BackHalf;
use super::calls_thread::{CallsThread, Judged};
use crate::call::ApiCall;
use crate::config::CallsPlace;
use crate::telemetry::Metrics;

/// Processors from which on calls have a thread of their own: one for it, one for capture, and one
/// for whom they watch.
const PROCESSORS: usize = 3;

/// See the module.
#[derive(Debug)]
pub(super) enum Judging<W> {
    /// At once, by whoever hands them over.
    Here(Box<BackHalf<W>>, Metrics),
    /// By their own thread.
    Apart(CallsThread<W>),
}

impl<W: Write + Send + 'static> Judging<W> {
    /// Starts the thread, if there is to be one.
    pub(super) fn start(
        back: BackHalf<W>,
        metrics: Metrics,
        place: CallsPlace,
    ) -> std::io::Result<Self> {
        let apart = match place {
            CallsPlace::Auto => available_parallelism().is_ok_and(|cpus| cpus.get() >= PROCESSORS),
            CallsPlace::Apart => true,
            CallsPlace::Capture => false,
        };
        if apart {
            CallsThread::start(back, metrics).map(Self::Apart)
        } else {
            Ok(Self::Here(Box::new(back), metrics))
        }
    }

    /// Takes a call; waits where too many are under way.
    pub(super) fn call(&mut self, call: ApiCall) {
        match self {
            Self::Here(back, _) => {
                // The queue of lines takes them without failing; a reader that is gone shows as
                // `broken`.
                let _ = back.call(call);
            }
            Self::Apart(thread) => thread.call(call),
        }
    }

    /// The calls of a round are complete. With `publish`, so many events that capture has lost so
    /// far, counters are published after it.
    pub(super) fn round(&mut self, publish: Option<u64>) {
        match self {
            Self::Here(back, metrics) => {
                // As above.
                let _ = back.flush();
                if let Some(lost) = publish {
                    back.capture_lost(lost);
                    back.publish(metrics);
                }
            }
            Self::Apart(thread) => thread.hand_over(publish),
        }
    }

    /// The end of a round has something to do even if no time passed.
    pub(super) fn has_gathered(&self) -> bool {
        match self {
            Self::Here(..) => true,
            Self::Apart(thread) => thread.has_gathered(),
        }
    }

    /// Times that the capture thread had to wait.
    pub(super) const fn waits(&self) -> u64 {
        match self {
            Self::Here(..) => 0,
            Self::Apart(thread) => thread.waits(),
        }
    }

    /// The thread ended before it was told to, which is a bug.
    pub(super) const fn is_gone(&self) -> bool {
        match self {
            Self::Here(..) => false,
            Self::Apart(thread) => thread.is_gone(),
        }
    }

    /// Waits until everything that was handed over is done.
    ///
    /// # Panics
    /// If the thread did.
    pub(super) fn finish(self) -> Judged<W> {
        match self {
            Self::Here(back, _) => Judged::of(*back),
            Self::Apart(thread) => thread.finish(),
        }
    }
}
