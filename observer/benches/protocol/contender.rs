//! One way to read the traffic.

/// A parser, with what it is given.
pub struct Contender {
    /// Who it is; the first of a group is what the others are compared with.
    pub name: &'static str,
    /// What one run reads: how much, and of what.
    pub units: Vec<(f64, &'static str)>,
    /// Reads it all once.
    pub run: Box<dyn FnMut()>,
}
