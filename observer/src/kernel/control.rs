//! Tells the kernel half which bytes the parser does not need.

use aya::maps::{HashMap, Map, MapData};
use observer_common::conn::{Control, VERDICT_HTTP, VERDICT_OPEN, VERDICT_OTHER};

use super::error::KernelError;
use crate::stream::Direction;

const NAME: &str = "CONTROL";

/// Writes the map `CONTROL`. A write that fails costs nothing but work: the bytes are delivered
/// and thrown away by the parser, so failures are counted and never stop capture.
#[derive(Debug)]
pub struct Controls {
    map: HashMap<MapData, u64, Control>,
    failed: u64,
}

impl Controls {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        Ok(Self {
            map: HashMap::try_from(map)
                .map_err(|source| KernelError::MapAccess { name: NAME, source })?,
            failed: 0,
        })
    }

    /// Nothing that goes `direction` below `until` is needed.
    pub fn skip(&mut self, cookie: u64, direction: Direction, until: u32) {
        self.change(cookie, |control| match direction {
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

    /// The connection is HTTP/1: no more questions.
    pub fn http(&mut self, cookie: u64) {
        self.change(cookie, |control| control.verdict = VERDICT_HTTP);
    }

    /// The connection is not, or no longer, HTTP/1: stop.
    pub fn stop(&mut self, cookie: u64) {
        self.change(cookie, |control| control.verdict = VERDICT_OTHER);
    }

    /// The connection is gone.
    pub fn forget(&mut self, cookie: u64) {
        // Most connections were never in the map, so a miss is the usual case.
        let _ = self.map.remove(&cookie);
    }

    /// Writes that failed.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    fn change(&mut self, cookie: u64, change: impl FnOnce(&mut Control)) {
        let mut control = self.map.get(&cookie, 0).unwrap_or(Control {
            verdict: VERDICT_OPEN,
            ..Control::default()
        });
        change(&mut control);
        if self.map.insert(&cookie, &control, 0).is_err() {
            self.failed += 1;
        }
    }
}
