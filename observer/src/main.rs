//! The observer's command line program.
fn main() {}
