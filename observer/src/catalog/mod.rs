//! Names the endpoint of a call and the service it belongs to.
//!
//! In: an [`crate::call::ApiCall`]. Out: the same call with `route` and `service` filled in, both
//! interned. Never: a name that is longer than its bound, holds anything but printable ASCII, or
//! grows a table past its cap; what is folded because of a cap is counted.

mod canonical;
mod declared;
mod names;
mod routes;
#[cfg(test)]
pub(crate) mod sample;
mod service;
mod survey;

pub use declared::RouteRule;
pub use names::{Catalog, CatalogCounts, CatalogLimits};
pub use survey::RouteSurvey;
