//! TLS whose secrets are known.

use std::fmt::Write as _;

use observer::decrypt::KeyLog;
use observer::stream::Direction;

use super::whole::run_with;
use super::{Reader, pipeline};

/// Kinds of secrets.
const LABELS: [&str; 6] = [
    "CLIENT_RANDOM",
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Secrets, then what both sides send: at once and in small pieces it must give the same. The
/// secrets are of the connection that has the client's first bytes.
pub fn tls(data: &[u8]) {
    let mut reader = Reader(data);
    let (Some(size), Some(count)) = (reader.byte(), reader.byte()) else {
        return;
    };
    let mut secrets = Vec::new();
    for _ in 0..count % 8 {
        let label = LABELS[usize::from(reader.byte().unwrap_or_default()) % LABELS.len()];
        secrets.push((label, reader.text().unwrap_or_default()));
    }
    let mut parts = Vec::new();
    while let Some(side) = reader.byte() {
        let direction = super::direction(side);
        parts.push((direction, reader.text().unwrap_or_default()));
    }
    let client: Vec<u8> = parts
        .iter()
        .filter(|(direction, _)| *direction == Direction::Inbound)
        .flat_map(|(_, part)| part.iter().copied())
        .take(43)
        .collect();
    let random = hex(client.get(11..).unwrap_or_default());
    let mut text = String::new();
    for (label, secret) in secrets {
        let _ = writeln!(text, "{label} {random} {}", hex(secret));
    }
    let told = |size| {
        let mut pipeline = pipeline();
        pipeline.set_key_log(KeyLog::parse(text.as_bytes()).into());
        run_with(pipeline, &parts, size)
    };
    let (whole, counts) = told(usize::MAX);
    let (cut, cut_counts) = told(usize::from(size) + 1);
    // Where a message is searched for, it is looked for at the start of a piece alone.
    let searched = [counts, cut_counts]
        .iter()
        .any(|counts| counts.protocol.searched_bytes > 0 || counts.protocol.invalid_heads > 0);
    if !searched {
        assert_eq!(cut, whole);
    }
}
