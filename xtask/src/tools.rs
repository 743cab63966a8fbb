//! Where the tools live that the build needs and rustup does not bring.
//!
//! In: the environment and rustc's version. Out: paths. It never builds, downloads
//! or writes anything. `observer/build.rs` includes this very file, so that the
//! build looks where `cargo xtask setup` puts.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of bpf-linker that links the LLVM of the pinned rustc.
pub const BPF_LINKER_VERSION: &str = "0.13.0";

/// Names one bpf-linker to use, before any other place is searched.
pub const BPF_LINKER_ENV: &str = "OBSERVER_BPF_LINKER";

/// Names the folder of the built tools, in place of `.tools` in the repository.
pub const TOOLS_ENV: &str = "OBSERVER_TOOLS";

/// The folder of all built tools: `$OBSERVER_TOOLS`, else `.tools` in the repository.
pub fn tools_root(workspace: &Path) -> PathBuf {
    match env::var_os(TOOLS_ENV) {
        Some(dir) if !dir.is_empty() => workspace.join(dir),
        _ => workspace.join(".tools"),
    }
}

/// The folder of the tools built for one rustc. A bpf-linker works only with the
/// LLVM it was linked to, hence both versions in the name.
pub fn tools_dir(workspace: &Path, rustc_release: &str) -> PathBuf {
    tools_root(workspace).join(format!("{rustc_release}-{BPF_LINKER_VERSION}"))
}

/// Where `setup` puts bpf-linker inside [`tools_dir`].
pub fn bpf_linker_in(tools_dir: &Path) -> PathBuf {
    tools_dir.join("bin").join("bpf-linker")
}

/// The first file called `program` in a folder of the `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The `release` line of `rustc -vV`, such as `1.99.1`. `None` when the compiler
/// cannot be started or answers something else.
pub fn rustc_release(rustc: &OsStr) -> Option<String> {
    let output = Command::new(rustc).arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("release: "))
        .map(str::to_owned)
}

/// The folder of the toolchain that `rustc` belongs to.
pub fn rustc_sysroot(rustc: &OsStr) -> Option<PathBuf> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let sysroot = text.trim_end();
    (!sysroot.is_empty()).then(|| PathBuf::from(sysroot))
}
