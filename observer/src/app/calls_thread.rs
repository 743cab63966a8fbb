//! Names, judges, counts and shows calls on a thread of its own, while the next are rebuilt.
//!
//! Enters: the calls of each round of the capture thread, in batches. Leaves: lines, records,
//! sums, and at the end what is to be said of all of them. Never: a call dropped here. Where this
//! thread is behind, the capture thread waits for it, and what then finds no room is lost in one
//! place, the ring, whose ledger counts it.
//!
//! The memory of calls goes back to the thread that took it: an allocator serves a thread best
//! from what that thread has freed.

use std::io::Write;
use std::mem;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::back_half::BackHalf;
use crate::call::ApiCall;
use crate::kernel::run_promptly;
use crate::telemetry::Metrics;

/// Calls of a batch at most: 10 ms of work. A usual call takes 1 KiB, the longest 6 KiB.
const MOST_CALLS: usize = 1024;
/// Batches that wait; one more is being gathered and one worked on, so at worst 24 MiB.
const MOST_BATCHES: usize = 2;

/// What is handed over at once.
#[derive(Debug)]
struct Batch {
    calls: Vec<ApiCall>,
    /// Counters are to be published; so much was not captured so far.
    publish: Option<u64>,
}

/// What the thread leaves.
#[derive(Debug)]
pub(super) struct Judged<W> {
    /// Calls by service and route, for people.
    pub(super) summary: String,
    /// Calls.
    pub(super) calls: u64,
    /// Where the lines went.
    pub(super) out: W,
}

impl<W: Write> Judged<W> {
    /// The end of it all.
    pub(super) fn of(back: BackHalf<W>) -> Self {
        Self {
            summary: back.summary(),
            calls: back.count(),
            out: back.into_out(),
        }
    }
}

/// The end on the capture thread.
#[derive(Debug)]
pub(super) struct CallsThread<W> {
    gathered: Vec<ApiCall>,
    batches: SyncSender<Batch>,
    /// Calls that are done with, and the room that they were in.
    spent: Receiver<Vec<ApiCall>>,
    thread: JoinHandle<Judged<W>>,
    waits: u64,
    gone: bool,
}

impl<W: Write + Send + 'static> CallsThread<W> {
    /// Starts it.
    pub(super) fn start(back: BackHalf<W>, metrics: Metrics) -> std::io::Result<Self> {
        let (batches, received) = sync_channel(MOST_BATCHES);
        let (give_back, spent) = channel();
        let thread = thread::Builder::new()
            .name("calls".to_owned())
            .spawn(move || run(back, &metrics, &received, &give_back))?;
        Ok(Self {
            gathered: Vec::with_capacity(MOST_CALLS),
            batches,
            spent,
            thread,
            waits: 0,
            gone: false,
        })
    }

    /// Takes a call. Waits where too many are under way.
    pub(super) fn call(&mut self, call: ApiCall) {
        self.gathered.push(call);
        if self.gathered.len() >= MOST_CALLS {
            self.hand_over(None);
        }
    }

    /// Hands over what was gathered, even if that is nothing; with `publish`, so many events that
    /// capture has lost so far, counters are published after it.
    pub(super) fn hand_over(&mut self, publish: Option<u64>) {
        let room = self.spent.try_iter().map(|mut spent| {
            spent.clear();
            spent
        });
        // More than one if several came back; their memory goes too.
        let room = room.last();
        let room = room.unwrap_or_else(|| Vec::with_capacity(MOST_CALLS));
        let batch = Batch {
            calls: mem::replace(&mut self.gathered, room),
            publish,
        };
        let sent = match self.batches.try_send(batch) {
            Err(TrySendError::Full(batch)) => {
                self.waits += 1;
                self.batches.send(batch).is_ok()
            }
            sent => sent.is_ok(),
        };
        self.gone |= !sent;
    }

    /// Something was gathered that is not handed over.
    pub(super) fn has_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Times that the capture thread had to wait.
    pub(super) const fn waits(&self) -> u64 {
        self.waits
    }

    /// The thread ended before it was told to, which is a bug.
    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Waits until everything that was handed over is done.
    ///
    /// # Panics
    /// If the thread did.
    pub(super) fn finish(self) -> Judged<W> {
        let Self {
            batches, thread, ..
        } = self;
        drop(batches);
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

fn run<W: Write>(
    mut back: BackHalf<W>,
    metrics: &Metrics,
    batches: &Receiver<Batch>,
    give_back: &Sender<Vec<ApiCall>>,
) -> Judged<W> {
    if let Err(error) = run_promptly() {
        tracing::info!(%error, "the thread of calls has the usual priority: a busy host may lose events");
    }
    for Batch { mut calls, publish } in batches {
        // The queue of lines takes them without failing; a reader that is gone shows as `broken`.
        let _ = back.calls(&mut calls);
        // Nobody is there to take them only when the capture thread is at its end.
        let _ = give_back.send(calls);
        // As above.
        let _ = back.flush();
        if let Some(lost) = publish {
            back.capture_lost(lost);
            back.publish(metrics);
        }
    }
    Judged::of(back)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{CallsThread, MOST_BATCHES, MOST_CALLS};
    use crate::app::back_half::BackHalf;
    use crate::call::ApiCall;
    use crate::catalog::sample;
    use crate::config::{Format, Settings};
    use crate::export::Style;
    use crate::telemetry::Metrics;

    /// Lines that anybody can look at, written when `gate` lets them.
    struct Out {
        lines: Arc<Mutex<Vec<u8>>>,
        gate: Option<Receiver<()>>,
        /// Breaks instead.
        panics: bool,
    }

    impl Write for Out {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            assert!(!self.panics, "the writer broke");
            self.lines.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            if let Some(gate) = &self.gate {
                // An error: it stays open.
                let _ = gate.recv();
            }
            Ok(())
        }
    }

    const STYLE: Style = Style {
        colour: false,
        width: None,
    };

    fn start(out: Out) -> CallsThread<Out> {
        let settings = Settings {
            format: Format::Jsonl,
            ..Settings::default()
        };
        let metrics = Metrics::new();
        let back = BackHalf::new(&settings, &metrics, out, STYLE);
        CallsThread::start(back, metrics).unwrap()
    }

    fn gated() -> (Out, Arc<Mutex<Vec<u8>>>, Sender<()>) {
        let lines = Arc::default();
        let (open, gate) = channel();
        let out = Out {
            lines: Arc::clone(&lines),
            gate: Some(gate),
            panics: false,
        };
        (out, lines, open)
    }

    fn call(n: usize) -> ApiCall {
        sample::call("GET", &format!("/orders/{n}"), Some(200))
    }

    /// The numbers in the paths, in the order of the lines.
    fn numbers(lines: &Mutex<Vec<u8>>) -> Vec<usize> {
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        let number = |line: &str| {
            let (_, rest) = line.split_once("\"path\":\"/orders/").expect("a path");
            rest.split_once('"').expect("its end").0.parse().unwrap()
        };
        // Between them are findings: who asks for so much is told of.
        let calls = lines
            .lines()
            .filter(|line| line.contains("\"type\":\"call\""));
        calls.map(number).collect()
    }

    #[test]
    fn every_call_is_shown_in_order_and_counted() {
        let (out, lines, open) = gated();
        drop(open);
        let mut calls = start(out);
        let all = 3 * MOST_CALLS + 7;
        for n in 0..all {
            calls.call(call(n));
            if n % 500 == 0 {
                calls.hand_over((n % 1000 == 0).then_some(0));
            }
        }
        assert!(calls.has_gathered());
        calls.hand_over(Some(0));
        assert!(!calls.has_gathered() && !calls.is_gone());
        let judged = calls.finish();
        assert_eq!(judged.calls, all as u64);
        assert!(
            judged.summary.contains(&format!("{all}")),
            "{}",
            judged.summary
        );
        assert_eq!(numbers(&lines), Vec::from_iter(0..all));
    }

    #[test]
    fn who_captures_waits_when_calls_are_behind_and_loses_none() {
        let (out, lines, open) = gated();
        let mut calls = start(out);
        let (told, done) = channel();
        let all = (MOST_BATCHES + 3) * MOST_CALLS;
        let capture = std::thread::spawn(move || {
            for n in 0..all {
                calls.call(call(n));
                told.send(n).unwrap();
            }
            calls.hand_over(None);
            calls
        });
        // One batch is held at the gate, the queue is full, and the next waits to get in.
        let stuck = (MOST_BATCHES + 2) * MOST_CALLS - 1;
        let mut last = 0;
        while last + 1 < stuck {
            last = done.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        assert!(done.recv_timeout(Duration::from_millis(300)).is_err());
        drop(open);
        let calls = capture.join().unwrap();
        assert!(calls.waits() > 0);
        assert_eq!(calls.finish().calls, all as u64);
        assert_eq!(numbers(&lines), Vec::from_iter(0..all));
    }

    #[test]
    fn a_thread_that_broke_is_noticed_and_is_no_quiet_end() {
        let mut calls = start(Out {
            lines: Arc::default(),
            gate: None,
            panics: true,
        });
        calls.call(call(0));
        let mut rounds = 0;
        while !calls.is_gone() {
            calls.hand_over(None);
            std::thread::sleep(Duration::from_millis(1));
            rounds += 1;
            assert!(rounds < 60_000, "nobody noticed");
        }
        assert!(catch_unwind(AssertUnwindSafe(|| calls.finish())).is_err());
    }
}
