//! The agent's own HTTP server: metrics for Prometheus, health for whoever restarts it.
//!
//! In: requests on one listener. Out: `GET /metrics`, `GET /healthz`, else 404. Never: anything
//! that changes the agent, and never more connections or time than the bounds here.

mod bind;
mod health;
mod serve;

pub use bind::{AdminError, bind};
pub use health::Health;
pub use serve::serve;
