//! Whole behaviour, from captured bytes to calls.

mod exchanges;
mod gaps;
mod hostile;
mod segments;
mod support;
