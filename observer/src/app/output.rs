//! Lines on their way to the standard output, written by a thread of their own so that a slow
//! terminal or pipe never stops capture.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// Bytes of lines that may wait. A reader that stops for a second at 50,000 calls a second leaves
/// about 25 MiB; beyond the bound lines are dropped and counted.
const MOST_WAITING: usize = 32 << 20;

/// What the writer and the queue know of each other.
#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    dropped: AtomicU64,
    broken: AtomicBool,
}

/// The end that takes lines. Implements [`Write`]: lines gather until they are flushed.
#[derive(Debug)]
pub(super) struct Lines {
    gathered: Vec<u8>,
    count: u64,
    queue: Option<Sender<Vec<u8>>>,
    shared: Arc<Shared>,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Output {
    thread: JoinHandle<()>,
}

/// Starts the thread that writes to the standard output.
pub(super) fn start() -> io::Result<(Lines, Output)> {
    start_to("output", io::stdout())
}

/// Starts a thread that writes to `out`.
pub(super) fn start_to(
    name: &str,
    out: impl Write + Send + 'static,
) -> io::Result<(Lines, Output)> {
    let shared = Arc::new(Shared::default());
    let (queue, lines) = channel();
    let for_thread = Arc::clone(&shared);
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || write_all(&lines, out, &for_thread))?;
    let lines = Lines {
        gathered: Vec::new(),
        count: 0,
        queue: Some(queue),
        shared,
    };
    Ok((lines, Output { thread }))
}

fn write_all(lines: &Receiver<Vec<u8>>, mut out: impl Write, shared: &Shared) {
    for batch in lines {
        let result = out.write_all(&batch).and_then(|()| out.flush());
        shared.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        if result.is_err() {
            // Nobody reads any more: what comes is dropped and counted until the agent stops.
            shared.broken.store(true, Ordering::Relaxed);
            return;
        }
    }
}

impl Lines {
    /// Lines that were dropped because nobody read them fast enough.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// The reader went away.
    pub(super) fn broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    fn send(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.gathered);
        let count = std::mem::take(&mut self.count);
        let length = batch.len();
        let waiting = self.shared.waiting.fetch_add(length, Ordering::Relaxed);
        let room = waiting + length <= MOST_WAITING && !self.broken();
        let sent = room
            && self
                .queue
                .as_ref()
                .is_some_and(|queue| queue.send(batch).is_ok());
        if !sent {
            self.shared.waiting.fetch_sub(length, Ordering::Relaxed);
            self.shared.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Write for Lines {
    /// Takes one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(line);
        self.count += 1;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send();
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.send();
        self.queue = None;
    }
}

impl Output {
    /// Waits until everything is written; the queue must have been dropped.
    pub(super) fn finish(self) {
        // A writer that panicked has nothing left to say.
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted() {
        let (queue, held) = channel();
        let shared = Arc::new(Shared::default());
        let mut lines = Lines {
            gathered: Vec::new(),
            count: 0,
            queue: Some(queue),
            shared: Arc::clone(&shared),
        };
        let line = vec![b'x'; 1 << 20];
        for _ in 0..40 {
            lines.write_all(&line).expect("memory");
            lines.flush().expect("memory");
        }
        assert_eq!(lines.dropped(), 8);
        assert_eq!(held.try_iter().count(), 32);
        drop(lines);
    }
}
