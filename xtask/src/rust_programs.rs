//! Programs in Rust that live tests drive, built apart from the workspace: as release builds, with
//! libraries that nothing else here needs.
//!
//! In: `tests/programs/rustls`. Out: `target/programs/release/rustls-row`. It changes nothing else.

use std::path::Path;

use anyhow::Result;

use crate::cargo;

/// Folders of `tests/programs` with a package each.
const PACKAGES: [&str; 1] = ["rustls"];

/// Builds them; cargo does nothing for those that are up to date.
pub fn build(root: &Path) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), std::path::PathBuf::from);
    for package in PACKAGES {
        let manifest = root.join("tests/programs").join(package).join("Cargo.toml");
        let mut build = cargo::command(root);
        build
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(target.join("programs"));
        cargo::run(&mut build, "a program of the live tests")?;
    }
    Ok(())
}
