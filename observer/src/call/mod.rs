//! Request and response paired into an [`ApiCall`].
//!
//! Enters: [`crate::protocol::Message`] and what is known of the connection. Leaves: one
//! [`ApiCall`] for each request, once its response has ended or will not come. Never: a header
//! value other than `Host`, a query value, user information, a body; they are not kept even for
//! the time of the call.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unreachable
    )
)]

mod answer;
mod api_call;
mod attack_words;
mod body_error;
mod calls;
mod counts;
mod credential;
mod grpc;
mod identity;
mod local_pairs;
mod open_calls;
mod recorded;
mod signs;
mod suspicion;
mod target;

pub use api_call::{ApiCall, Auth, AuthOutcome, AuthScheme, Flag, Protocol, Role};
pub use body_error::{BodyError, ErrorSource};
pub use calls::{Calls, OPEN_LIMIT};
pub use counts::CallCounts;
pub use identity::{Claims, Identity, IdentityKind};
pub use open_calls::OpenCalls;
pub use recorded::Recorded;
pub use signs::Signs;

/// The signs of an attack in a request: of its target as it was sent, values included, and of
/// its user agent and the page it says it comes from.
pub fn request_signs(
    method: &str,
    target: &str,
    agent: Option<&[u8]>,
    referrer: Option<&[u8]>,
) -> Signs {
    suspicion::of_target(method, target)
        | agent.map_or(Signs::NONE, suspicion::of_agent)
        | referrer.map_or(Signs::NONE, suspicion::of_referrer)
}
