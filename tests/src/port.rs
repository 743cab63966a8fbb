//! Loopback ports for servers, from below the range that clients take theirs from.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// First port tried, and how many are tried. Linux gives clients ports from 32768 on, so none of
/// the thousands of connections of a test can take the port of its server.
const FIRST: u16 = 18_000;
const COUNT: u16 = 14_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port nobody listens on, on IPv4 and IPv6 loopback.
///
/// # Panics
/// If every port of the range is taken.
pub fn free() -> u16 {
    // Test programs that run at the same time start at different places.
    let start = (std::process::id() % 127) as u16 * 109;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let v4 = TcpListener::bind(("127.0.0.1", port));
        let v6 = TcpListener::bind(("::1", port));
        if v4.is_ok() && (v6.is_ok() || !crate::prerequisites::has_ipv6()) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
