//! Keeps the books: atomic additions, because a softirq may interrupt a probe on its processor.

use core::arch::asm;

use observer_common::counter::{LedgerRow, Tally};

use crate::maps::LEDGER;

/// The row of a source on this processor.
#[inline(always)]
pub fn row(source: u32) -> Option<*mut LedgerRow> {
    LEDGER.get_ptr_mut(source)
}

/// Adds one call of `bytes` bytes.
#[inline(always)]
pub fn add(tally: *mut Tally, bytes: u64) {
    add_calls(tally, 1, bytes);
}

/// Adds `calls` calls of `bytes` bytes in all.
#[inline(always)]
pub fn add_calls(tally: *mut Tally, calls: u64, bytes: u64) {
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) tally, in(reg) calls);
        asm!("lock *(u64 *)({0} + 8) += {1}", in(reg) tally, in(reg) bytes);
    }
}

/// Books one call or segment of `moved` bytes of which `sent` were delivered: the rest goes to
/// `rest`, or to `too_large` where the parts ran out (`rest` is then still `delivered`).
#[inline(always)]
pub fn settle(row: *mut LedgerRow, rest: *mut Tally, sent: u32, moved: u32) {
    let delivered = unsafe { &raw mut (*row).delivered };
    if sent >= moved {
        add(delivered, u64::from(moved));
        return;
    }
    add_calls(delivered, 0, u64::from(sent));
    let rest = if rest == delivered {
        unsafe { &raw mut (*row).too_large }
    } else {
        rest
    };
    add(rest, u64::from(moved - sent));
}
