//! Asks the agent that runs on this host, if any, for its books: what `doctor` shows of them.
//!
//! In: the address of its metrics. Out: the capture ledger, by source and by process. It asks on
//! loopback or where the user says, once, and waits a second at most.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::cli::{AgentBooks, BooksLine, SignatureLine};

/// Longer than an agent under load takes; nobody waits for one that hangs.
const PATIENCE: Duration = Duration::from_secs(1);
/// A page of metrics at the caps of all series.
const MOST_BYTES: u64 = 64 << 20;

/// The books of the agent whose metrics are there; `None` if none answers.
pub(super) fn books(address: SocketAddr) -> Option<AgentBooks> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // 1.0: the answer ends with the connection and is never chunked.
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut page).ok()?;
    page.contains("\nobserver_build_info")
        .then(|| read(address, &page))
}

fn read(address: SocketAddr, page: &str) -> AgentBooks {
    let mut ledger = BTreeMap::<(String, String), (u64, u64)>::new();
    let mut processes = BTreeMap::<(String, String), (u64, u64)>::new();
    let mut signatures = Vec::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let Ok(value) = value.parse::<u64>() else {
            continue;
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        if name == "observer_tls_signature_connections"
            && let Some(library) = label(labels, "library")
        {
            signatures.push(SignatureLine {
                library,
                connections: value,
                proved: label(labels, "proved").as_deref() == Some("yes"),
            });
            continue;
        }
        let (table, key, bytes) = if let Some(rest) = name.strip_prefix("observer_capture_")
            && let Some(source) = label(labels, "source")
        {
            let Some(rest) = rest.strip_suffix("_total") else {
                continue;
            };
            let (fate, bytes) = rest
                .strip_suffix("_bytes")
                .map_or((rest, false), |fate| (fate, true));
            let fate = match label(labels, "reason") {
                Some(reason) => format!("{fate}: {reason}"),
                None => fate.to_owned(),
            };
            (&mut ledger, (source, fate), bytes)
        } else if let (
            "observer_process_segments_total" | "observer_process_bytes_total",
            process,
        ) = (name, label(labels, "process"))
        {
            let (Some(process), Some(fate)) = (process, label(labels, "fate")) else {
                continue;
            };
            let bytes = name == "observer_process_bytes_total";
            (&mut processes, (process, fate), bytes)
        } else if let (
            "observer_process_tls_connections_total" | "observer_process_tls_bytes_total",
            Some(process),
            Some(plaintext),
        ) = (name, label(labels, "process"), label(labels, "plaintext"))
        {
            let bytes = name == "observer_process_tls_bytes_total";
            (
                &mut processes,
                (process, format!("TLS connections {plaintext}")),
                bytes,
            )
        } else {
            continue;
        };
        let entry = table.entry(key).or_default();
        if bytes {
            entry.1 = value;
        } else {
            entry.0 = value;
        }
    }
    let lines = |table: BTreeMap<(String, String), (u64, u64)>| {
        let told = table.into_iter().filter(|(_, count)| *count != (0, 0)).map(
            |((of, fate), (calls, bytes))| BooksLine {
                of,
                fate,
                calls,
                bytes,
            },
        );
        told.collect::<Vec<_>>()
    };
    AgentBooks {
        address: address.to_string(),
        ledger: lines(ledger),
        processes: lines(processes),
        signatures,
    }
}

/// Value of a label; those that are read here hold no escapes, or are shown as they stand.
fn label(labels: &str, key: &str) -> Option<String> {
    let (_, rest) = labels.split_once(&format!("{key}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_page_becomes_the_ledger_by_source_and_by_process() {
        let page = "\
observer_build_info{version=\"1\"} 1
observer_capture_seen_total{source=\"packets\"} 10
observer_capture_seen_bytes_total{source=\"packets\"} 900
observer_capture_lost_total{source=\"packets\",reason=\"ring_full\"} 2
observer_capture_lost_total{source=\"packets\",reason=\"unreadable\"} 0
observer_capture_not_http_connections_total{protocol=\"ssh\"} 3
observer_process_segments_total{process=\"nginx\",fate=\"delivered\"} 8
observer_process_bytes_total{process=\"nginx\",fate=\"delivered\"} 700
observer_process_tls_connections_total{process=\"nginx\",plaintext=\"read\"} 4
observer_process_tls_bytes_total{process=\"nginx\",plaintext=\"read\"} 90
observer_process_tls_connections_total{process=\"nginx\",plaintext=\"unread\"} 0
observer_tls_signature_connections{library=\"boringssl\",proved=\"yes\"} 2
";
        let books = read(([127, 0, 0, 1], 9464).into(), page);
        let rows = |lines: &[crate::cli::BooksLine]| -> Vec<_> {
            lines
                .iter()
                .map(|line| (line.of.clone(), line.fate.clone(), line.calls, line.bytes))
                .collect()
        };
        let row =
            |of: &str, fate: &str, calls, bytes| (of.to_owned(), fate.to_owned(), calls, bytes);
        assert_eq!(
            rows(&books.ledger),
            [
                row("packets", "lost: ring_full", 2, 0),
                row("packets", "seen", 10, 900)
            ]
        );
        assert_eq!(
            rows(&books.processes),
            [
                row("nginx", "TLS connections read", 4, 90),
                row("nginx", "delivered", 8, 700)
            ]
        );
        let [line] = books.signatures.as_slice() else {
            panic!("{:?}", books.signatures);
        };
        assert_eq!(
            (line.library.as_str(), line.connections, line.proved),
            ("boringssl", 2, true)
        );
    }
}
