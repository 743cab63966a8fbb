//! Keeps the books: atomic additions, because a softirq may interrupt a probe on its processor.

use core::arch::asm;

use observer_common::counter::{ConnBooks, LedgerRow, Tally};

use crate::{first_bytes::is_request, maps::LEDGER, ring::Unsent};

/// The row of a source on this processor.
#[inline(always)]
pub fn row(source: u32) -> Option<*mut LedgerRow> {
    LEDGER.get_ptr_mut(source)
}

/// Adds one.
#[inline(always)]
pub fn count(counter: *mut u64) {
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) 1_u64) };
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

/// Books the same in a connection's share. `skips`: what was not sent is not needed.
#[inline(always)]
pub fn settle_connection(
    books: *mut ConnBooks,
    result: &Result<(), Unsent>,
    sent: u32,
    moved: u32,
    skips: bool,
) {
    let (delivered, lost) = unsafe { (&raw mut (*books).delivered, &raw mut (*books).lost) };
    if result.is_err() {
        add(lost, u64::from(moved));
        return;
    }
    add(delivered, u64::from(sent));
    if sent < moved {
        let rest = if skips {
            unsafe { &raw mut (*books).skipped }
        } else {
            lost
        };
        add_calls(rest, 0, u64::from(moved - sent));
    }
}

/// Counts a request among what the full ring cost, so that their number survives.
#[inline(always)]
pub fn settle_request(row: *mut LedgerRow, word: u32, moved: u32) {
    if is_request(word) {
        add(unsafe { &raw mut (*row).lost_requests }, u64::from(moved));
    }
}

/// Why an event does not hold all that was moved.
pub enum Rest {
    /// It is not needed.
    Skipped,
    /// The ring is crowded.
    Crowded,
    /// It is more than an event can hold.
    TooLarge,
}

/// Books one call or segment of `moved` bytes of which an event with `sent` was tried, and what of
/// the rest.
#[inline(always)]
pub fn settle(row: *mut LedgerRow, result: Result<(), Unsent>, sent: u32, moved: u32, rest: Rest) {
    let tally = match result {
        Ok(()) => {
            if sent < moved {
                // The call itself was delivered: bytes only.
                let rest = unsafe {
                    match rest {
                        Rest::Skipped => &raw mut (*row).skipped,
                        Rest::Crowded => &raw mut (*row).ring_full,
                        Rest::TooLarge => &raw mut (*row).too_large,
                    }
                };
                add_calls(rest, 0, u64::from(moved - sent));
            }
            let delivered = unsafe { &raw mut (*row).delivered };
            add(delivered, u64::from(sent));
            return;
        }
        Err(Unsent::Full) => unsafe { &raw mut (*row).ring_full },
        Err(Unsent::Unreadable | Unsent::TooMany) => unsafe { &raw mut (*row).unreadable },
    };
    add(tally, u64::from(moved));
}
