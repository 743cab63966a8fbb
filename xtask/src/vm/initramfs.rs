//! The whole file system of a test machine, made of the host's own files.
//!
//! In: programs and text. Out: an archive in the `newc` format that the kernel unpacks at boot
//! (kernel `Documentation/driver-api/early-userspace/buffer-format.rst`). It never writes to disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::on_path;

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;

/// An archive that grows.
#[derive(Default)]
pub struct Initramfs {
    archive: Vec<u8>,
    names: BTreeSet<PathBuf>,
    number: u32,
}

impl Initramfs {
    /// An empty folder, with those above it.
    pub fn folder(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        if path.parent().is_none() || !self.names.insert(path.to_owned()) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.folder(parent);
        }
        self.entry(path, FOLDER, &[]);
    }

    /// A file with this content.
    pub fn file(&mut self, path: impl AsRef<Path>, content: &[u8], mode: u32) {
        let path = path.as_ref();
        if let Some(parent) = path.parent() {
            self.folder(parent);
        }
        if self.names.insert(path.to_owned()) {
            self.entry(path, FILE | (mode & 0o777), content);
        }
    }

    /// A symbolic link.
    pub fn link(&mut self, path: impl AsRef<Path>, target: &str) {
        let path = path.as_ref();
        if let Some(parent) = path.parent() {
            self.folder(parent);
        }
        if self.names.insert(path.to_owned()) {
            self.entry(path, LINK, target.as_bytes());
        }
    }

    /// A program of the host under the same path, with the libraries it is linked to.
    pub fn program(&mut self, name: &str) -> Result<()> {
        let path = on_path(name)
            .or_else(|| {
                ["/usr/sbin", "/sbin"]
                    .iter()
                    .map(|folder| Path::new(folder).join(name))
                    .find(|path| path.is_file())
            })
            .with_context(|| format!("{name} is not installed: the test machine needs it"))?;
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        self.file(Path::new("/bin").join(name), &bytes, 0o755);
        self.libraries(&path)
    }

    /// The libraries a program is linked to, where it looks for them.
    pub fn libraries(&mut self, program: &Path) -> Result<()> {
        let output = Command::new("ldd")
            .arg(program)
            .output()
            .context("start ldd")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("not found") {
            bail!("{} lacks a library:\n{said}", program.display());
        }
        for path in said
            .lines()
            .flat_map(str::split_whitespace)
            .filter(|word| word.starts_with('/'))
        {
            let bytes = fs::read(path).with_context(|| format!("read {path}"))?;
            let mode = fs::metadata(path)?.permissions().mode();
            self.file(path, &bytes, mode);
        }
        Ok(())
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.archive
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        self.number += 1;
        let name = path.strip_prefix("/").unwrap_or(path);
        let name = name.as_os_str().as_encoded_bytes();
        let fields = [
            self.number,
            mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        self.archive.extend(b"070701");
        for field in fields {
            self.archive.extend(format!("{field:08x}").as_bytes());
        }
        self.archive.extend(name);
        self.archive.push(0);
        self.pad();
        self.archive.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        let to = self.archive.len().next_multiple_of(4);
        self.archive.resize(to, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_folders_come_before_their_files() {
        let mut archive = Initramfs::default();
        archive.file("/etc/a/b", b"12345", 0o644);
        archive.file("/etc/a/b", b"again", 0o644);
        let archive = archive.finish();
        assert_eq!(archive.len() % 4, 0);
        let text = String::from_utf8_lossy(&archive);
        let at = |name: &str| text.find(name).expect(name);
        assert!(at("etc\0") < at("etc/a\0") && at("etc/a\0") < at("etc/a/b\0"));
        assert!(at("12345") < at("TRAILER!!!"));
        assert!(!text.contains("again"), "a name is taken once");
    }
}
