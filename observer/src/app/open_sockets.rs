//! Looks at the sockets that are open, in every network namespace, and tells who has them.
//!
//! Once at the start, for the connections that are older than the probes. Where no probe can tell
//! who moves the bytes of a socket, again and again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::capture::Listing;
use crate::discover::{network_namespaces, socket_processes};
use crate::kernel::open_sockets;

/// Time between two looks: a look takes some milliseconds of processor time on a usual host.
const EVERY: Duration = Duration::from_secs(2);
/// How often the end is looked for.
const WATCH: Duration = Duration::from_millis(100);

/// Starts to look; the first look is on its way when this returns.
pub(super) fn start(again: bool, stop: Arc<AtomicBool>) -> io::Result<Receiver<Listing>> {
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new()
        .name("sockets".to_owned())
        .spawn(move || run(again, &stop, &sender))?;
    Ok(receiver)
}

fn run(again: bool, stop: &AtomicBool, sender: &SyncSender<Listing>) {
    let mut told = false;
    loop {
        let began = Instant::now();
        let (listing, failed) = look(Path::new("/proc"), again);
        if !told {
            told = true;
            if let Some(error) = failed {
                tracing::warn!(%error, "connections that are open already cannot be listed: their process shows with their next bytes");
            }
            tracing::info!(
                connections = listing.connections(),
                took_ms = began.elapsed().as_millis(),
                "connections that were open before the probes"
            );
        }
        if let Err(TrySendError::Disconnected(_)) = sender.try_send(listing) {
            return;
        }
        let due = Instant::now() + EVERY;
        while again && Instant::now() < due && !stop.load(Ordering::Acquire) {
            thread::sleep(WATCH);
        }
        if !again || stop.load(Ordering::Acquire) {
            return;
        }
    }
}

/// What is open now, and why something of it is missing. A listener is often shared by several
/// processes, so probes that tell the right one are better where they run.
fn look(proc: &Path, listeners: bool) -> (Listing, Option<io::Error>) {
    let mut listing = Listing::default();
    let mut failed = None;
    let mut sockets = Vec::new();
    for namespace in network_namespaces(proc) {
        match open_sockets(&namespace) {
            Ok(found) => sockets.extend(found),
            Err(error) => failed = Some(error),
        }
    }
    // After the sockets: whoever opened one meanwhile is found as well.
    let processes = socket_processes(proc);
    for socket in sockets {
        let Some(&pid) = processes.get(&u64::from(socket.inode)) else {
            continue;
        };
        if !socket.listening {
            listing.connection(socket.cookie, pid);
        } else if listeners {
            listing.listener(socket.local, pid);
        }
    }
    (listing, failed)
}
