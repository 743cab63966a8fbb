//! Boots a kernel in an emulated machine and takes what it says.
//!
//! In: a kernel and a file system. Out: named sections of text. The machine has no network and
//! no disk, and is gone when the call returns.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::initramfs::Initramfs;
use super::kernels::Kernel;
use crate::tools::on_path;
use crate::workspace::Workspace;

const QEMU: &str = "qemu-system-x86_64";
/// A run takes two to five minutes on an idle processor; a busy one is given time.
const TIME_LIMIT: Duration = Duration::from_secs(1200);
/// A machine that counts instructions is several times slower.
const COUNTED_TIME_LIMIT: Duration = Duration::from_secs(1800);
/// The file system is in memory, twice while it is unpacked.
const MEMORY_MIB: &str = "1024";
/// Body of the answer that nginx sends by `sendfile(2)`: several packets, not a whole number.
pub const SENDFILE_BYTES: u64 = 300_000;
/// Programs of the host that `guest.sh` starts.
const PROGRAMS: [&str; 12] = [
    "bash", "mount", "ip", "sleep", "cat", "sync", "curl", "nginx", "grep", "insmod", "timeout",
    "rm",
];

/// Whether machines can be started here; else what to do.
pub fn check() -> Result<()> {
    if on_path(QEMU).is_none() {
        bail!("{QEMU} is not installed. On Debian and Ubuntu: apt-get install qemu-system-x86");
    }
    Ok(())
}

/// The file system with the agent, servers and clients in it.
pub fn file_system(agent: &Path, folder: &Path) -> Result<PathBuf> {
    let mut files = Initramfs::default();
    for name in [
        "proc",
        "sys",
        "dev",
        "tmp",
        "var/log/nginx",
        "var/lib/nginx",
        "run",
    ] {
        files.folder(Path::new("/").join(name));
    }
    for program in PROGRAMS {
        files.program(program)?;
    }
    files.link("/bin/sh", "bash");
    files.libraries(agent)?;
    files.file(
        "/bin/observer",
        &without_debug_information(agent, folder)?,
        0o755,
    );
    files.file("/init", include_bytes!("guest.sh"), 0o755);
    files.file("/rungs", include_bytes!("rungs.sh"), 0o755);
    let ways = ways(folder)?;
    files.libraries(&ways)?;
    files.file("/bin/ways", &fs::read(&ways)?, 0o755);
    files.file("/etc/nginx.conf", include_bytes!("nginx.conf"), 0o644);
    files.file("/etc/passwd", b"root:x:0:0:root:/:/bin/bash\n", 0o644);
    files.file("/etc/group", b"root:x:0:\n", 0o644);
    let body = vec![b'x'; usize::try_from(SENDFILE_BYTES)?];
    files.file("/srv/sendfile", &body, 0o644);
    certificate(&mut files, folder)?;
    let path = folder.join("initramfs.cpio");
    fs::write(&path, files.finish()).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// The program that moves bytes in every way, shared with the tests on this host.
fn ways(folder: &Path) -> Result<PathBuf> {
    let source = Workspace::find()?.root.join("tests/programs/ways.c");
    let program = folder.join("ways");
    let status = Command::new("cc")
        .args(["-O1", "-pthread", "-o"])
        .args([&program, &source])
        .status()
        .context("start cc")?;
    if !status.success() {
        bail!("cc cannot compile {}", source.display());
    }
    Ok(program)
}

fn without_debug_information(agent: &Path, folder: &Path) -> Result<Vec<u8>> {
    let stripped = folder.join("observer");
    let status = Command::new("objcopy")
        .arg("--strip-debug")
        .args([agent, &stripped])
        .status();
    let path = match status {
        Ok(status) if status.success() => &stripped,
        _ => agent,
    };
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn certificate(files: &mut Initramfs, folder: &Path) -> Result<()> {
    let (key, certificate) = (folder.join("guest.key"), folder.join("guest.crt"));
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "3650", "-subj", "/CN=guest", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("start openssl: the test machine needs a certificate")?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
    files.file("/etc/guest.key", &fs::read(key)?, 0o600);
    files.file("/etc/guest.crt", &fs::read(certificate)?, 0o644);
    Ok(())
}

/// What a machine said, by section.
pub type Said = BTreeMap<String, String>;

/// What kind of machine.
pub struct Machine {
    /// More words for the kernel's command line.
    pub words: String,
    /// One processor, whose clock is the number of instructions: a nanosecond each.
    pub counted: bool,
}

/// Boots, waits for the end, and gives what was written to the second serial line.
pub fn boot(kernel: &Kernel, file_system: &Path, machine: &Machine, folder: &Path) -> Result<Said> {
    let (console, results) = (folder.join("console.log"), folder.join("results.log"));
    for log in [&console, &results] {
        fs::write(log, []).with_context(|| format!("write {}", log.display()))?;
    }
    let Machine { words, counted } = machine;
    let line = format!("console=ttyS0 quiet panic=-1 random.trust_cpu=on {words}");
    let (accelerator, processors) = if *counted {
        ("tcg,thread=single", "1")
    } else {
        ("tcg", "2")
    };
    let limit = if *counted {
        COUNTED_TIME_LIMIT
    } else {
        TIME_LIMIT
    };
    let clock: &[&str] = if *counted {
        &["-icount", "shift=0,sleep=off"]
    } else {
        &[]
    };
    let serial = |path: &Path| format!("file:{}", path.display());
    let mut machine = Command::new(QEMU)
        .args(["-accel", accelerator, "-cpu", "max"])
        .args(["-smp", processors, "-m", MEMORY_MIB])
        .args(clock)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(with_module(file_system, kernel, folder)?)
        .args(["-append", &line])
        .args(["-serial", &serial(&console), "-serial", &serial(&results)])
        .stdin(Stdio::null())
        .spawn()
        .context("start QEMU")?;
    let started = Instant::now();
    let ended = loop {
        if let Some(status) = machine.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > limit {
            machine.kill()?;
            machine.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = sections(&String::from_utf8_lossy(&fs::read(&results)?));
    if !said.contains_key("end") {
        let last = String::from_utf8_lossy(&fs::read(&console)?).into_owned();
        let last: Vec<&str> = last.lines().rev().take(5).collect();
        let why = match ended {
            Some(status) => format!("ended early ({status})"),
            None => format!("did not end within {} s", limit.as_secs()),
        };
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!(
            "the machine {why}; its console ends with: {}",
            last.join(" | ")
        );
    }
    Ok(said)
}

/// The file system with this kernel's own modules: archives may follow each other.
fn with_module(file_system: &Path, kernel: &Kernel, folder: &Path) -> Result<PathBuf> {
    let mut whole = fs::read(file_system)?;
    let mut more = Initramfs::default();
    for (at, module) in kernel.modules.iter().enumerate() {
        // In the order of loading, for the shell.
        more.file(format!("/modules/{at}.ko"), &fs::read(module)?, 0o644);
    }
    whole.extend(more.finish());
    let path = folder.join("initramfs.cpio");
    fs::write(&path, whole).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Text between lines `@@ name`.
fn sections(text: &str) -> Said {
    let mut said = Said::new();
    let mut name = String::new();
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        match line.strip_prefix("@@ ") {
            Some(next) => {
                next.clone_into(&mut name);
                said.entry(name.clone()).or_default();
            }
            None => {
                if let Some(section) = said.get_mut(&name) {
                    section.push_str(line);
                    section.push('\n');
                }
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_says_is_split_at_its_marks() {
        let said = sections("noise\r\n@@ one\r\na\r\nb\r\n\r\n@@ end\r\n");
        assert_eq!(said.get("one").map(String::as_str), Some("a\nb\n\n"));
        assert_eq!(said.get("end").map(String::as_str), Some(""));
        assert_eq!(said.len(), 2);
    }
}
