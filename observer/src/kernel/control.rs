//! Tells the kernel half which bytes the parser does not need.

use aya::maps::{HashMap, Map, MapData};
use hashbrown::HashSet;
use observer_common::conn::{Control, VERDICT_OTHER};
use observer_common::tls::TlsControl;

use super::error::KernelError;
use crate::stream::Direction;

/// Sockets and TLS objects remembered as having an entry in the kernel's maps; those hold as many
/// and make room for new ones themselves.
const MOST: usize = 16_384;

/// Writes the maps `CONTROL` and `TLS_CONTROL`. A write that fails costs nothing but work: the
/// bytes are delivered and thrown away by the parser, so failures are counted and never stop
/// capture.
#[derive(Debug)]
pub struct Controls {
    sockets: HashMap<MapData, u64, Control>,
    streams: HashMap<MapData, u64, TlsControl>,
    /// What has an entry, so that the end of a connection without one needs no system call.
    told_sockets: HashSet<u64>,
    told_streams: HashSet<u64>,
    failed: u64,
}

impl Controls {
    pub(super) fn new(sockets: Map, streams: Map) -> Result<Self, KernelError> {
        let access = |name| move |source| KernelError::MapAccess { name, source };
        Ok(Self {
            sockets: HashMap::try_from(sockets).map_err(access("CONTROL"))?,
            streams: HashMap::try_from(streams).map_err(access("TLS_CONTROL"))?,
            told_sockets: HashSet::new(),
            told_streams: HashSet::new(),
            failed: 0,
        })
    }

    /// Nothing that goes `direction` below `until` is needed.
    pub fn skip(&mut self, cookie: u64, direction: Direction, until: u32) {
        self.tell_socket(cookie, |control| match direction {
            Direction::Inbound => {
                control.skip_in = until;
                control.skip_in_set = 1;
            }
            Direction::Outbound => {
                control.skip_out = until;
                control.skip_out_set = 1;
            }
        });
    }

    /// The connection is not, or no longer, one that the parser reads: stop.
    pub fn stop(&mut self, cookie: u64) {
        self.tell_socket(cookie, |control| control.verdict = VERDICT_OTHER);
    }

    /// The same as [`Self::skip`] for plaintext, by offset.
    pub fn skip_plaintext(&mut self, stream: u64, direction: Direction, until: u64) {
        self.tell_stream(stream, |control| match direction {
            Direction::Inbound => control.skip_in = until,
            Direction::Outbound => control.skip_out = until,
        });
    }

    /// The same as [`Self::stop`] for plaintext.
    pub fn stop_plaintext(&mut self, stream: u64) {
        self.tell_stream(stream, |control| {
            control.skip_in = u64::MAX;
            control.skip_out = u64::MAX;
        });
    }

    /// The other end of this TLS connection is observed on this host: its plaintext is enough.
    pub fn duplicate(&mut self, stream: u64) {
        self.tell_stream(stream, |control| control.duplicate = 1);
    }

    /// Bodies of this connection must not be left out before the parser says so.
    pub fn take_whole(&mut self, cookie: u64) {
        self.tell_socket(cookie, |control| control.whole = 1);
    }

    /// The same for plaintext.
    pub fn take_whole_plaintext(&mut self, stream: u64) {
        self.tell_stream(stream, |control| control.whole = 1);
    }

    /// The socket is gone.
    pub fn forget(&mut self, cookie: u64) {
        if self.told_sockets.remove(&cookie) {
            // The kernel may have dropped the entry first, to make room.
            let _ = self.sockets.remove(&cookie);
        }
    }

    /// The TLS object is gone.
    pub fn forget_plaintext(&mut self, stream: u64) {
        if self.told_streams.remove(&stream) {
            // As above.
            let _ = self.streams.remove(&stream);
        }
    }

    /// Writes that failed.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    fn tell_socket(&mut self, cookie: u64, change: impl FnOnce(&mut Control)) {
        if self.told_sockets.len() >= MOST {
            self.told_sockets.clear();
        }
        let mut control = Control::default();
        if !self.told_sockets.insert(cookie) {
            // As the kernel has it: a skip that it has passed must not come back, because sequence
            // numbers wrap.
            control = self.sockets.get(&cookie, 0).unwrap_or_default();
        }
        change(&mut control);
        if self.sockets.insert(&cookie, &control, 0).is_err() {
            self.failed += 1;
        }
    }

    fn tell_stream(&mut self, stream: u64, change: impl FnOnce(&mut TlsControl)) {
        if self.told_streams.len() >= MOST {
            self.told_streams.clear();
        }
        let mut control = TlsControl::default();
        if !self.told_streams.insert(stream) {
            control = self.streams.get(&stream, 0).unwrap_or_default();
        }
        change(&mut control);
        if self.streams.insert(&stream, &control, 0).is_err() {
            self.failed += 1;
        }
    }
}
