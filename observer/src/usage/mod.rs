//! Counts calls, bytes, errors and refused credentials: who uses what, and how much.
//!
//! In: calls named by `catalog` and judged. Out: totals by service and route, the summary that ends
//! a run, usage of callers, clients, endpoints and services ([`Meter`]), limits that would fit
//! ([`advise`]), and what exceeds a limit of the settings ([`Limits`]). Never: more rows than its
//! bounds, whatever callers rotate; what is not kept has a stated bound ([`Ranking`]).

mod advice;
mod dimension;
mod limit;
mod limits;
mod measure;
mod meter;
mod moment;
mod name;
mod period;
mod ranking;
mod row;
mod sliding;
mod summary;
mod totals;

pub use advice::{Advice, advise};
pub use dimension::Dimension;
pub use limit::{Action, Counted, Limit, LimitWindow};
pub use limits::{Excess, Limits, Quota};
pub use measure::Measured;
pub use meter::Meter;
pub use name::client_network;
pub use period::Period;
pub use ranking::Ranking;
pub use row::{CALENDAR, Row, WINDOWS};
pub use sliding::Sliding;
pub use summary::{human_bytes, summary};
pub use totals::{Totals, Usage};
