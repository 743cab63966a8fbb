//! What became of the payload of each process: the ledger by name, told at the end of connections.

use std::sync::Arc;

use hashbrown::HashMap;
use observer_common::counter::{ConnBooks, Tally};

use super::tls_binding::TlsEnd;
use crate::kernel::Count;

/// Names that have a line of their own; they become metric labels.
const MOST_PROCESSES: usize = 200;
/// The line that takes the others.
const OTHER: &str = "{other}";
/// The line of sockets of which no process is known.
const UNKNOWN: &str = "unknown";

/// What became of the payload of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Connections that ended.
    pub connections: u64,
    /// Connections that ended with something lost.
    pub connections_with_loss: u64,
    /// Reached the user half.
    pub delivered: Count,
    /// Bodies that nobody needs.
    pub skipped: Count,
    /// Left out on purpose: TLS records, for one, whose plaintext is taken from the library.
    pub filtered: Count,
    /// Wanted but not delivered.
    pub lost: Count,
    /// Connections with TLS whose plaintext was read, and that plaintext.
    pub tls_read: Count,
    /// Connections with TLS of which no plaintext was seen, and the bytes of their records.
    pub tls_unread: Count,
}

/// The books of all processes, by name.
#[derive(Debug, Default)]
pub(super) struct ProcessBooks {
    lines: HashMap<Arc<str>, Fates>,
}

impl ProcessBooks {
    /// A connection of this process ended; `tls` if it carried TLS.
    pub(super) fn close(&mut self, process: Option<&str>, books: &ConnBooks, tls: Option<&TlsEnd>) {
        let ConnBooks {
            delivered,
            skipped,
            filtered,
            lost,
        } = *books;
        let line = self.line(process.unwrap_or(UNKNOWN));
        line.connections += 1;
        line.connections_with_loss += u64::from(lost != Tally::default());
        let (mut read, mut unread) = (Tally::default(), Tally::default());
        match tls {
            Some(end) if end.process.is_some() => {
                read = Tally {
                    calls: 1,
                    bytes: end.plaintext,
                };
            }
            Some(_) => {
                unread = Tally {
                    calls: 1,
                    bytes: filtered.bytes,
                };
            }
            None => {}
        }
        for (sum, tally) in [
            (&mut line.tls_read, read),
            (&mut line.tls_unread, unread),
            (&mut line.delivered, delivered),
            (&mut line.skipped, skipped),
            (&mut line.filtered, filtered),
            (&mut line.lost, lost),
        ] {
            sum.calls = sum.calls.saturating_add(tally.calls);
            sum.bytes = sum.bytes.saturating_add(tally.bytes);
        }
    }

    fn line(&mut self, name: &str) -> &mut Fates {
        let name = if self.lines.len() < MOST_PROCESSES || self.lines.contains_key(name) {
            name
        } else {
            OTHER
        };
        self.lines.entry(Arc::from(name)).or_default()
    }

    /// Name and books of every process.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Arc<str>, &Fates)> {
        self.lines.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(delivered: u64, lost: u64) -> ConnBooks {
        let tally = |bytes| Tally {
            calls: u64::from(bytes > 0),
            bytes,
        };
        ConnBooks {
            delivered: tally(delivered),
            lost: tally(lost),
            ..ConnBooks::default()
        }
    }

    #[test]
    fn connections_of_one_process_are_summed() {
        let mut processes = ProcessBooks::default();
        processes.close(Some("nginx"), &books(100, 0), None);
        processes.close(Some("nginx"), &books(50, 7), None);
        processes.close(None, &books(1, 0), None);
        let lines: HashMap<_, _> = processes.lines().collect();
        let nginx = lines[&Arc::<str>::from("nginx")];
        assert_eq!((nginx.connections, nginx.connections_with_loss), (2, 1));
        assert_eq!((nginx.delivered.bytes, nginx.lost.bytes), (150, 7));
        assert_eq!(lines[&Arc::<str>::from(UNKNOWN)].delivered.calls, 1);
    }

    #[test]
    fn connections_with_tls_are_told_by_whether_they_were_read() {
        let mut processes = ProcessBooks::default();
        let records = ConnBooks {
            filtered: Tally {
                calls: 9,
                bytes: 900,
            },
            ..ConnBooks::default()
        };
        let read = TlsEnd {
            process: Some(Arc::default()),
            plaintext: 700,
        };
        let unread = TlsEnd {
            process: None,
            plaintext: 0,
        };
        processes.close(Some("app"), &records, Some(&read));
        processes.close(Some("app"), &records, Some(&unread));
        let (_, app) = processes.lines().next().expect("a line");
        let count = |calls, bytes| Count { calls, bytes };
        assert_eq!(
            (app.tls_read, app.tls_unread),
            (count(1, 700), count(1, 900))
        );
    }

    #[test]
    fn names_are_bounded_and_nothing_is_left_out() {
        let mut processes = ProcessBooks::default();
        for n in 0..2 * MOST_PROCESSES {
            processes.close(Some(&format!("process-{n}")), &books(10, 0), None);
        }
        assert_eq!(processes.lines().count(), MOST_PROCESSES + 1);
        let sum: u64 = processes
            .lines()
            .map(|(_, line)| line.delivered.bytes)
            .sum();
        assert_eq!(sum, 20 * MOST_PROCESSES as u64);
    }
}
