//! Where the repository lies and where cargo puts what it builds.
//!
//! In: cargo's environment and `cargo metadata`. Out: paths. It never writes.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The repository that this xtask belongs to.
pub struct Workspace {
    /// The folder with the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder, wherever the user's settings put it.
    pub target: PathBuf,
    /// rustc's version, such as `1.99.1`: names the folder of the built tools.
    pub rustc_release: String,
}

impl Workspace {
    /// Asks cargo and rustc.
    pub fn find() -> Result<Self> {
        let root = root()?;
        let output = Command::new(cargo())
            .current_dir(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("start `cargo metadata`: is rustup's cargo on the PATH?")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`cargo metadata` failed:\n{}", said.trim_end());
        }
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("read the answer of cargo metadata")?;
        let target = metadata
            .get("target_directory")
            .and_then(serde_json::Value::as_str)
            .context("cargo metadata names no target_directory")?
            .into();
        let rustc_release = crate::tools::rustc_release(&rustc())
            .context("`rustc -vV` names no release: run `rustup toolchain install`")?;
        Ok(Self {
            root,
            target,
            rustc_release,
        })
    }

    /// The agent's program as `cargo xtask build` leaves it.
    pub fn agent(&self) -> PathBuf {
        self.target.join("release").join("observer")
    }
}

/// The repository's folder. `cargo run` names xtask's own at run time, so a copied
/// target folder does not lead to the place it was built in.
fn root() -> Result<PathBuf> {
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = xtask.parent().map(Path::to_owned);
    root.context("xtask lies in the repository's folder")
}

/// The cargo that started this program, else the one on the `PATH`.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The compiler that this cargo uses.
pub fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}
