//! Work on many parts, by several threads, with its results in the order of the parts.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Threads at most: a search must not take the host from what it is there for.
const MOST_THREADS: usize = 4;
/// Parts that each thread has or has done ahead. It bounds what is held at once.
const AHEAD: usize = 2;

struct Hand<T, R> {
    tasks: SyncSender<T>,
    results: Receiver<R>,
}

/// Does `work` on every task; `take` gets the results, in the order of the tasks, until it has
/// enough.
pub(super) fn in_order<T: Send, R: Send>(
    mut tasks: impl Iterator<Item = T>,
    work: &(impl Fn(T) -> R + Sync),
    take: &mut dyn FnMut(R) -> ControlFlow<()>,
) {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let mut hands = Vec::new();
        for _ in 0..threads.min(MOST_THREADS) {
            let (tasks, given) = sync_channel::<T>(AHEAD);
            let (done, results) = sync_channel(AHEAD);
            let hand = thread::Builder::new()
                .name("audit-search".to_owned())
                .spawn_scoped(scope, move || {
                    for task in given {
                        if done.send(work(task)).is_err() {
                            return;
                        }
                    }
                });
            if hand.is_ok() {
                hands.push(Hand { tasks, results });
            }
        }
        if hands.is_empty() {
            // No thread is to be had: then without.
            let _ = tasks.try_for_each(|task| take(work(task)));
            return;
        }
        let mut waiting = VecDeque::new();
        let mut turns = (0..hands.len()).cycle();
        loop {
            while waiting.len() < hands.len() * AHEAD {
                let Some(task) = tasks.next() else { break };
                let Some(hand) = turns.next().and_then(|turn| hands.get(turn)) else {
                    break;
                };
                if hand.tasks.send(task).is_err() {
                    break;
                }
                waiting.push_back(hand);
            }
            // None comes from a thread that panicked; the scope panics then too.
            let Some(result) = waiting
                .pop_front()
                .and_then(|hand| hand.results.recv().ok())
            else {
                return;
            };
            if take(result).is_break() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::in_order;
    use std::ops::ControlFlow;

    #[test]
    fn results_come_in_order_and_no_more_than_are_taken() {
        let mut taken = Vec::new();
        let given = std::cell::Cell::new(0);
        let tasks = (0..10_000).inspect(|_| given.set(given.get() + 1));
        in_order(tasks, &|n: u32| n * 2, &mut |n| {
            taken.push(n);
            if taken.len() == 500 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(taken, (0..500).map(|n| n * 2).collect::<Vec<_>>());
        assert!(given.get() < 520, "{} were begun", given.get());
    }
}
