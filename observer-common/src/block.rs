//! What the user half and the program that blocks clients agree on.

/// Most clients that can be blocked at a time. More is a flood, which is to be stopped in front of
/// this host.
pub const BLOCK_ENTRIES: u32 = 4096;
