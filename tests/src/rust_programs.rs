//! Programs in Rust that are built apart from the workspace, as release builds.
//!
//! `cargo xtask test` builds them: `OBSERVER_TESTS_PROGRAMS`, else `target/programs` of the workspace.

use std::path::{Path, PathBuf};

/// A program, such as `rustls-row`.
pub fn program(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVER_TESTS_PROGRAMS").map_or_else(
        || {
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| workspace.join("target"), PathBuf::from);
            target.join("programs/release")
        },
        PathBuf::from,
    );
    let file = folder.join(name);
    file.is_file().then_some(file)
}
