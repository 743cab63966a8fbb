//! Request and response paired into an [`ApiCall`].
//!
//! Enters: [`crate::protocol::Message`] and what is known of the connection. Leaves: one
//! [`ApiCall`] for each request, once its response has ended or will not come. Never: a header
//! value other than `Host` and the public names of callers, a query value, user information; they
//! are not kept even for the time of the call. Of a body its first part is kept until it ends,
//! within bounds, and then only the names and codes in it.

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

mod address_text;
mod answer;
mod api_call;
mod attack_words;
mod body;
mod body_error;
mod caller;
mod calls;
mod challenge;
mod client;
mod counts;
mod grpc;
mod identity;
mod known_signs;
mod local_pairs;
mod open_calls;
mod operation;
mod peeking;
mod public;
mod recorded;
mod remembered;
mod secret;
mod signs;
mod suspicion;
mod target;
mod telling;

pub use address_text::write_ip_v4;
pub use api_call::{ApiCall, Auth, AuthOutcome, AuthScheme, Flag, Protocol, Role, WebSocketCall};
pub use body_error::{BodyError, ErrorSource};
pub use caller::{FingerprintKey, Fingerprints};
pub use calls::{Calls, OPEN_LIMIT};
pub use client::TrustedProxies;
pub use counts::CallCounts;
pub use identity::{Claims, Identity, IdentityKind};
pub use open_calls::OpenCalls;
pub use operation::OperationKind;
pub use public::{public_target, public_value};
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
