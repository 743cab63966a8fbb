//! Programs that come from the Python package index: a Go toolchain, Caddy, Envoy, Python servers.
//!
//! They lie in a virtual environment that `cargo xtask test` makes: `OBSERVER_TESTS_PYPI`, else
//! `target/pypi` of the workspace.

use std::path::{Path, PathBuf};

/// A program of the virtual environment, such as `python` or `caddy`.
pub fn program(name: &str) -> Option<PathBuf> {
    let file = folder()?.join("bin").join(name);
    file.is_file().then_some(file)
}

/// A file of an installed package, such as `envoy/_bin/envoy`.
pub fn package_file(path: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder()?.join("lib")).ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("site-packages").join(path))
        .find(|file| file.exists())
}

/// The virtual environment.
pub fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("OBSERVER_TESTS_PYPI") {
        return Some(PathBuf::from(folder));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), PathBuf::from);
    Some(target.join("pypi"))
}
