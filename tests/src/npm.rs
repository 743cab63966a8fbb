//! Packages that come from the npm registry.
//!
//! They lie in a folder that `cargo xtask test` makes: `OBSERVER_TESTS_NPM`, else `target/npm` of
//! the workspace.

use std::path::{Path, PathBuf};

/// What `NODE_PATH` has to name.
pub fn modules() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("OBSERVER_TESTS_NPM") {
        return Some(PathBuf::from(folder).join("node_modules"));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), PathBuf::from);
    Some(target.join("npm").join("node_modules"))
}

/// A package is installed.
pub fn has(package: &str) -> bool {
    modules().is_some_and(|modules| modules.join(package).is_dir())
}
