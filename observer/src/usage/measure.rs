//! What is counted of calls.

use crate::call::{ApiCall, AuthOutcome};

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Calls.
    pub calls: u64,
    /// Body bytes of requests and responses.
    pub bytes: u64,
    /// Calls answered 4xx or 5xx, or that a gRPC status or the body says failed.
    pub errors: u64,
    /// Calls whose credential was refused.
    pub failures: u64,
}

impl Measured {
    /// One call.
    pub fn of(call: &ApiCall) -> Self {
        let failed = call.status.is_some_and(|status| status >= 400)
            || call.grpc_status.is_some_and(|status| status != 0)
            || call.body_error.is_some();
        Self {
            calls: 1,
            bytes: call.request_bytes.saturating_add(call.response_bytes),
            errors: u64::from(failed),
            failures: u64::from(call.auth.outcome == AuthOutcome::Failed),
        }
    }

    /// In the order of the fields.
    pub const fn parts(self) -> [u64; 4] {
        let Self {
            calls,
            bytes,
            errors,
            failures,
        } = self;
        [calls, bytes, errors, failures]
    }

    /// From parts in the order of the fields.
    pub const fn from_parts([calls, bytes, errors, failures]: [u64; 4]) -> Self {
        Self {
            calls,
            bytes,
            errors,
            failures,
        }
    }

    /// Both together.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            bytes: self.bytes.saturating_add(other.bytes),
            errors: self.errors.saturating_add(other.errors),
            failures: self.failures.saturating_add(other.failures),
        }
    }
}
