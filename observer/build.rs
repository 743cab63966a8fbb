//! Builds the kernel half (`observer-ebpf`) and hands its object to the crate.
//!
//! In: the sources of `observer-ebpf` and `observer-common`, and a bpf-linker. Out:
//! `$OUT_DIR/observer` and `$OUT_DIR/block`, ELF objects with BTF, which the crate includes with
//! `aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer"))`.
//!
//! Without a bpf-linker those files are *empty* and the build says so: the workspace
//! still builds, lints and runs its tests, only the agent cannot load probes. It
//! never writes outside `OUT_DIR` and never fetches a tool.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

#[path = "../xtask/src/tools.rs"]
mod tools;

/// The names of the kernel half's programs, and of the objects in `OUT_DIR`: what observes, and
/// what blocks clients where that is asked for.
const OBJECTS: [&str; 2] = ["observer", "block"];

/// Everything the object is made from, as paths in the workspace.
const SOURCES: [&str; 6] = [
    "observer-ebpf/src",
    "observer-ebpf/Cargo.toml",
    "observer-common/src",
    "observer-common/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
];

fn main() -> Result<()> {
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")?)
        .parent()
        .context("the crate lies in a workspace")?
        .to_owned();
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let release = tools::rustc_release(&variable("RUSTC")?)
        .context("`rustc -vV` names no release: is the toolchain whole?")?;

    for source in SOURCES {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(source).display()
        );
    }
    for name in [tools::BPF_LINKER_ENV, tools::TOOLS_ENV] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // A path that does not exist would make every build start over, so the folder
    // is watched (it is part of the repository) and not the tool in it.
    let tools_root = tools::tools_root(&workspace);
    if tools_root.is_dir() {
        println!("cargo::rerun-if-changed={}", tools_root.display());
    }

    let Some(linker) = find_bpf_linker(&workspace, &release) else {
        println!(
            "cargo::warning=no bpf-linker for rustc {release}: the agent is built without its \
             kernel half; run `cargo xtask setup`, then build again"
        );
        for name in OBJECTS {
            let object = out_dir.join(name);
            fs::write(&object, []).with_context(|| format!("write {}", object.display()))?;
        }
        return Ok(());
    };
    println!("cargo::rerun-if-changed={}", linker.display());
    if !linker.is_file() {
        bail!(
            "there is no bpf-linker at {} (from {})",
            linker.display(),
            tools::BPF_LINKER_ENV
        );
    }

    let built = build(&workspace, &out_dir, &linker)?;
    for name in OBJECTS {
        let (from, to) = (built.join(name), out_dir.join(name));
        fs::copy(&from, &to)
            .with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// The bpf-linker to use: the one named by `$OBSERVER_BPF_LINKER` (there or not: who
/// names one means that one), else the one `setup` built, else one on the `PATH`.
fn find_bpf_linker(workspace: &Path, release: &str) -> Option<PathBuf> {
    if let Some(named) = env::var_os(tools::BPF_LINKER_ENV).filter(|path| !path.is_empty()) {
        return Some(workspace.join(named));
    }
    let built = tools::bpf_linker_in(&tools::tools_dir(workspace, release));
    if built.is_file() {
        return Some(built);
    }
    tools::on_path("bpf-linker")
}

/// Compiles the kernel half with a cargo of its own and returns the folder of the objects.
fn build(workspace: &Path, out_dir: &Path, linker: &Path) -> Result<PathBuf> {
    let target = match env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() {
        Ok("big") => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    // The outer cargo holds the lock of its own target folder.
    let target_dir = out_dir.join("ebpf");

    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--quiet", "--release", "-Z", "build-std=core"])
        .args(["--package", "observer-ebpf", "--bins"])
        .args(["--target", target, "--target-dir"])
        .arg(&target_dir);
    // What the outer build set for the host must not reach the kernel half: its
    // flags, clippy in place of rustc, and profiles with checks that no verifier
    // accepts.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_the_host = text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_TARGET_")
            || text.starts_with("CARGO_BUILD_")
            || matches!(
                &*text,
                "RUSTFLAGS" | "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER"
            );
        if of_the_host {
            cargo.env_remove(&name);
        }
    }
    cargo
        // `build-std` is the one unstable feature in use, and only here.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, linker)?);

    let output = cargo
        .output()
        .with_context(|| format!("start {}", cargo.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the kernel half does not build ({})\n{said}", output.status);
    }
    for line in said.lines() {
        println!("cargo::warning={line}");
    }
    Ok(target_dir.join(target).join("release"))
}

/// The compiler flags of the kernel half, in cargo's encoding.
fn flags(workspace: &Path, linker: &Path) -> Result<OsString> {
    let mut flags: Vec<OsString> = Vec::new();
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let mut add = |parts: &[&OsStr]| {
        flags.push(parts.iter().copied().collect::<OsString>());
    };
    // The layout of `pt_regs` depends on the machine that the object is loaded on.
    add(&["--cfg=bpf_target_arch=\"".as_ref(), &arch, "\"".as_ref()]);
    add(&["-Clinker=".as_ref(), linker.as_os_str()]);
    // BTF is made from the debug information: maps and programs carry types, and
    // the kernel can name the line of a program it refuses.
    add(&["-Cdebuginfo=2".as_ref()]);
    add(&["-Clink-arg=--btf".as_ref()]);
    // The same sources give the same object, whatever folder they lie in.
    add(&[
        "--remap-path-prefix=".as_ref(),
        workspace.as_os_str(),
        "=observer".as_ref(),
    ]);
    let sysroot = tools::rustc_sysroot(&variable("RUSTC")?);
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    for (path, name) in [(sysroot, "=rust"), (cargo_home, "=cargo")] {
        if let Some(path) = path {
            add(&[
                "--remap-path-prefix=".as_ref(),
                path.as_os_str(),
                name.as_ref(),
            ]);
        }
    }
    Ok(flags.join(OsStr::new("\x1f")))
}

/// A variable that cargo sets for every build script.
fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("{name} is not set: build with cargo"))
}
