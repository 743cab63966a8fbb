//! Bounded waiting: nothing in the tests waits for ever, nothing sleeps longer than it must.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks. Short enough to add little to a test, long enough to leave the
/// processor to the programs that are waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` gives something, at most `limit`. The error names `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
