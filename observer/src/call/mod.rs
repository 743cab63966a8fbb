//! Request and response paired into an [`ApiCall`].

mod api_call;

pub use api_call::{ApiCall, Auth, AuthOutcome, AuthScheme, Flag, Protocol, Role};
