//! Progress for people: `[2/4] what is being done`.
//!
//! In: one sentence a step. Out: lines on standard error, so that standard output
//! stays free for results. It never measures or decides.

/// A counted row of steps.
pub struct Steps {
    total: usize,
    done: usize,
}

impl Steps {
    /// Announces nothing yet.
    pub fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    /// Announces the next step.
    pub fn next(&mut self, what: &str) {
        self.done += 1;
        eprintln!("[{}/{}] {what}", self.done, self.total);
    }
}
