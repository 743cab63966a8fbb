//! `cargo xtask setup`: everything a build needs, checked or made.
//!
//! In: the machine as it is. Out: a bpf-linker in the tools folder, or one sentence
//! on what is missing and how to get it. It never asks for root and writes only to
//! the tools folder and cargo's target folder.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::cargo;
use crate::step::Steps;
use crate::tools::{self, BPF_LINKER_VERSION};
use crate::workspace::{Workspace, rustc};

/// Checks what a build needs and builds what rustup does not bring.
///
/// It can be run any number of times: what is there is left alone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask setup
  OBSERVER_TOOLS=~/.cache/observer cargo xtask setup    share the tools between clones

Environment:
  OBSERVER_TOOLS        folder of the built tools (.tools in the repository)
  OBSERVER_BPF_LINKER   a bpf-linker to use instead of building one")]
pub struct Arguments {}

/// Runs the command.
pub fn main(_arguments: &Arguments) -> Result<()> {
    setup(&Workspace::find()?)
}

/// Makes sure of everything a build needs.
pub fn setup(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new(4);
    steps.next(&match version_of("git") {
        Some(version) => version,
        None => "git: not found (a build needs none, fetching changes does)".to_owned(),
    });
    toolchain(workspace, &mut steps)?;
    c_linker(&mut steps)?;
    bpf_linker(workspace, &mut steps)
}

/// The toolchain of `rust-toolchain.toml` with the sources of `core`, which the
/// kernel half is built from.
fn toolchain(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let release = &workspace.rustc_release;
    let pinned = pinned_channel(&workspace.root)?;
    if &pinned == release && has_core_sources() {
        steps.next(&format!("rustc {release} with rust-src"));
        return Ok(());
    }
    steps.next(&format!("rustc {pinned} with rust-src: installing"));
    // Without arguments it installs what rust-toolchain.toml names.
    let status = Command::new("rustup")
        .current_dir(&workspace.root)
        .args(["toolchain", "install"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .status();
    match status {
        Ok(status) if status.success() && &pinned == release => Ok(()),
        Ok(status) if status.success() => bail!(
            "rustc {pinned} is installed, but this command was started with rustc {release}: \
             run the same command again without `+{release}` and RUSTUP_TOOLCHAIN"
        ),
        Ok(status) => bail!(
            "`rustup toolchain install` failed ({status}): check the network, or install rustc \
             {pinned} with rust-src, rustfmt and clippy another way"
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "rustc {pinned} with rust-src is needed, and there is no rustup to install it: \
             install rustup (https://rustup.rs), then run the same command again"
        ),
        Err(error) => Err(anyhow!(error).context("start rustup")),
    }
}

/// The channel that `rust-toolchain.toml` pins.
fn pinned_channel(root: &Path) -> Result<String> {
    let path = root.join("rust-toolchain.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    channel_in(&text)
        .map(str::to_owned)
        .with_context(|| format!("{} names no channel", path.display()))
}

/// The value of `channel = "…"`.
fn channel_in(text: &str) -> Option<&str> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("channel"))?;
    line.split('"').nth(1)
}

fn has_core_sources() -> bool {
    tools::rustc_sysroot(&rustc())
        .is_some_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/core").is_dir())
}

/// The C compiler that rustc links with.
fn c_linker(steps: &mut Steps) -> Result<()> {
    let Some(version) = version_of("cc") else {
        bail!(
            "no C linker (`cc`) on the PATH. Install one:\n  \
             Debian, Ubuntu   apt-get install gcc libc6-dev\n  \
             Fedora, RHEL     dnf install gcc\n  \
             Arch             pacman -S gcc\n  \
             Alpine           apk add gcc musl-dev\n  \
             openSUSE         zypper install gcc"
        );
    };
    steps.next(&version);
    Ok(())
}

/// bpf-linker, linked to the LLVM that rustc itself ships: any other LLVM may not
/// understand what rustc writes.
fn bpf_linker(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let release = &workspace.rustc_release;
    let named = std::env::var_os(tools::BPF_LINKER_ENV).filter(|path| !path.is_empty());
    let home = tools::tools_dir(&workspace.root, release);
    let linker = match named {
        Some(path) => workspace.root.join(path),
        None => tools::bpf_linker_in(&home),
    };
    if works(&linker) {
        steps.next(&format!("bpf-linker at {}", linker.display()));
        return Ok(());
    }
    if std::env::var_os(tools::BPF_LINKER_ENV).is_some_and(|path| !path.is_empty()) {
        bail!(
            "{} names {}, which does not run: unset it to have one built",
            tools::BPF_LINKER_ENV,
            linker.display()
        );
    }
    steps.next(&format!(
        "bpf-linker {BPF_LINKER_VERSION} for rustc {release}: building, once, about two minutes"
    ));
    let root = tools::tools_root(&workspace.root);
    fs::create_dir_all(&root).with_context(|| format!("make {}", root.display()))?;
    // Two setups at once would build into one folder.
    let lock = root.join(".lock");
    let lock = File::create(&lock).with_context(|| format!("open {}", lock.display()))?;
    lock.lock().context("wait for another setup")?;
    if works(&linker) {
        return Ok(());
    }
    build_bpf_linker(workspace, &home)?;
    if !works(&linker) {
        bail!(
            "{} was built but does not run: the library folder of rustc {release} may have \
             moved; remove {} and run `cargo xtask setup` again",
            linker.display(),
            home.display()
        );
    }
    Ok(())
}

/// Whether a program is there and its libraries are found.
fn works(program: &Path) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn build_bpf_linker(workspace: &Workspace, home: &Path) -> Result<()> {
    let sysroot =
        tools::rustc_sysroot(&rustc()).context("`rustc --print sysroot` names no folder")?;
    let libraries = sysroot.join("lib");
    let llvm = libllvm(&libraries)?;

    // bpf-linker's build wants an LLVM installation; the one library is all it uses.
    let scratch = workspace.target.join("xtask").join("bpf-linker");
    let prefix = scratch.join("llvm");
    fs::create_dir_all(prefix.join("lib")).with_context(|| format!("make {}", prefix.display()))?;
    let link = prefix.join("lib").join("libLLVM.so");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(anyhow!(error).context(format!("remove {}", link.display())));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(&llvm, &link)
        .with_context(|| format!("link {} to {}", link.display(), llvm.display()))?;

    let installed = scratch.join("installed");
    let mut install = cargo::command(&workspace.root);
    install
        .args(["install", "bpf-linker", "--locked", "--force"])
        .args(["--version", BPF_LINKER_VERSION])
        .arg("--root")
        .arg(&installed)
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .env("LLVM_PREFIX", &prefix)
        // Advice that is wrong here: on toolchains, and on the PATH.
        .env_remove("RUSTUP_TOOLCHAIN_SOURCE")
        .env("PATH", path_with(&installed.join("bin"))?)
        .env_remove("RUSTFLAGS")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("-Clink-arg=-Wl,-rpath,{}", libraries.display()),
        );
    cargo::run(&mut install, "building bpf-linker")?;

    // In one move, so that a build never finds half a tool.
    let from = tools::bpf_linker_in(&installed);
    let to = tools::bpf_linker_in(home);
    let bin = to.parent().context("the tool lies in a folder")?;
    fs::create_dir_all(bin).with_context(|| format!("make {}", bin.display()))?;
    let staged = bin.join(".bpf-linker.new");
    fs::copy(&from, &staged)
        .with_context(|| format!("copy {} to {}", from.display(), staged.display()))?;
    fs::rename(&staged, &to).with_context(|| format!("put {} in place", to.display()))?;
    fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))
}

/// The `PATH` with one folder more.
fn path_with(folder: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([folder.to_owned()]);
    std::env::join_paths(folders).context("the repository's path holds a colon")
}

/// The LLVM library in rustc's library folder: `libLLVM.so.<version>-rust-<version>`.
fn libllvm(libraries: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(libraries).with_context(|| format!("read {}", libraries.display()))?;
    for entry in entries {
        let path = entry.context("read rustc's library folder")?.path();
        let name = path.file_name().and_then(OsStr::to_str);
        if name.is_some_and(|name| name.starts_with("libLLVM.so.")) {
            return Ok(path);
        }
    }
    bail!(
        "{} has no libLLVM.so: this rustc was not installed by rustup. Use rustup's, or name a \
         bpf-linker built for this rustc's LLVM in {}",
        libraries.display(),
        tools::BPF_LINKER_ENV
    )
}

/// The first line of what `program --version` prints.
fn version_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::channel_in;

    #[test]
    fn the_pinned_channel_is_read_from_the_toolchain_file() {
        let file = "[toolchain]\nchannel = \"1.99.1\"\nprofile = \"minimal\"\n";
        assert_eq!(channel_in(file), Some("1.99.1"));
        assert_eq!(channel_in("[toolchain]\n"), None);
    }
}
