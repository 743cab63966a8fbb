//! The kernels of the matrix, as Debian packages them for virtual machines.
//!
//! In: a version and the archive that the host's apt uses. Out: a kernel image on disk. apt works
//! in a folder of its own for each suite, so a suite that is gone fails alone and the host's own
//! lists are never touched.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A row of the matrix and where its packages are.
#[derive(Clone, Copy, Debug)]
pub struct KernelSource {
    /// Version, without the patch level: the newest is taken.
    pub version: &'static str,
    archive: Archive,
    suite: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Archive {
    Main,
    Security,
}

/// Oldest to newest. Between 6.1 and 6.12 Debian has none.
pub const KERNELS: [KernelSource; 5] = [
    source("5.10", Archive::Security, "bullseye-security"),
    source("6.1", Archive::Security, "bookworm-security"),
    source("6.12", Archive::Security, "trixie-security"),
    source("6.18", Archive::Main, "trixie-backports"),
    source("7.3", Archive::Main, "trixie-backports"),
];

const fn source(version: &'static str, archive: Archive, suite: &'static str) -> KernelSource {
    KernelSource {
        version,
        archive,
        suite,
    }
}

/// Debian's own front to its mirrors, for hosts whose apt names no Debian archive.
const DEFAULT_SITE: &str = "http://deb.debian.org";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const TLS: &str = "tls.ko";
/// Modules that the kernel's TLS with AES-GCM needs, where they are not part of the kernel; each
/// after those it needs itself.
const MODULES: [&str; 8] = [
    "gf128mul.ko",
    "ghash-generic.ko",
    "cryptd.ko",
    "crypto_simd.ko",
    "ctr.ko",
    "gcm.ko",
    "aesni-intel.ko",
    TLS,
];
/// The boot protocol's fields in a bzImage (kernel `Documentation/arch/x86/boot.rst`).
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// A kernel that can be booted.
#[derive(Debug)]
pub struct Kernel {
    /// Package it came from.
    pub package: String,
    /// Image, uncompressed where the tool for its compression is there.
    pub image: PathBuf,
    /// Those of [`MODULES`] that the package has, in that order.
    pub modules: Vec<PathBuf>,
}

/// The newest kernel of a version. One fetched earlier is used, and that is said, when the
/// archive cannot be reached.
pub fn fetch(source: &KernelSource, folder: &Path) -> Result<Kernel> {
    let home = folder.join("kernels").join(source.version);
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let name_file = home.join("package");
    let modules = home.join("modules");
    let kernel = |package| Kernel {
        package,
        image: home.join("vmlinux"),
        modules: MODULES
            .iter()
            .map(|name| modules.join(name))
            .filter(|path| path.is_file())
            .collect(),
    };
    let kept = fs::read_to_string(&name_file)
        .ok()
        // Absent if nobody has looked for them.
        .filter(|_| modules.is_dir())
        .map(kernel)
        .filter(|kernel| kernel.image.is_file());
    let apt = Apt::new(source, folder)?;
    let newest = match apt.newest(source.version) {
        Ok(newest) => newest,
        Err(error) => match kept {
            Some(kept) => {
                eprintln!("note: {error:#}; using {} fetched earlier", kept.package);
                return Ok(kept);
            }
            None => return Err(error),
        },
    };
    if let Some(kept) = kept
        && kept.package == newest
    {
        return Ok(kept);
    }
    eprintln!("fetching {newest}");
    let image = home.join("vmlinux");
    if modules.exists() {
        fs::remove_dir_all(&modules)?;
    }
    fs::create_dir_all(&modules)?;
    let packed = apt.image(&newest, &home)?;
    fs::write(&image, uncompressed(&packed)?)
        .with_context(|| format!("write {}", image.display()))?;
    fs::write(&name_file, &newest).with_context(|| format!("write {}", name_file.display()))?;
    Ok(kernel(newest))
}

/// apt with lists, cache and sources of its own.
struct Apt {
    suite: &'static str,
    options: Vec<String>,
}

impl Apt {
    fn new(source: &KernelSource, folder: &Path) -> Result<Self> {
        let home = folder.join("apt").join(source.suite);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(home.join(part))
                .with_context(|| format!("make {}", home.display()))?;
        }
        let sources = home.join("archive.sources");
        let uri = archive_uri(source.archive);
        fs::write(
            &sources,
            format!(
                "Types: deb\nURIs: {uri}\nSuites: {}\nComponents: main\nArchitectures: amd64\nSigned-By: {KEYRING}\n",
                source.suite
            ),
        )
        .with_context(|| format!("write {}", sources.display()))?;
        let option = |name: &str, value: &dyn std::fmt::Display| format!("-o{name}={value}");
        Ok(Self {
            suite: source.suite,
            options: vec![
                option("Dir::State::Lists", &home.join("lists").display()),
                option("Dir::Cache", &home.join("cache").display()),
                option("Dir::Etc::SourceList", &sources.display()),
                option("Dir::Etc::SourceParts", &"-"),
                option("Dir::State::Status", &"/dev/null"),
                option("APT::Architecture", &"amd64"),
                option("APT::Sandbox::User", &"root"),
                option("Acquire::Languages", &"none"),
                option("Acquire::Retries", &"2"),
            ],
        })
    }

    fn newest(&self, version: &str) -> Result<String> {
        // apt reports an archive out of reach as a warning only, unless told otherwise.
        self.run("apt-get", &["-q", "update", "--error-on=any"])
            .with_context(|| format!("the suite {} cannot be reached", self.suite))?;
        let names = self.run(
            "apt-cache",
            &["search", "--names-only", "^linux-.*-cloud-amd64$"],
        )?;
        let names = names.lines().filter_map(|line| line.split(' ').next());
        newest_of(names, version)
            .map(str::to_owned)
            .with_context(|| format!("the suite {} has no kernel {version}", self.suite))
    }

    /// Downloads a package, keeps the modules in it that are wanted, and gives the boot image.
    fn image(&self, package: &str, home: &Path) -> Result<Vec<u8>> {
        let unpacked = home.join("unpacked");
        if unpacked.exists() {
            fs::remove_dir_all(&unpacked)?;
        }
        fs::create_dir_all(&unpacked)?;
        let download = Command::new("apt-get")
            .args(&self.options)
            .args(["-q", "download", package])
            .current_dir(&unpacked)
            .stdout(Stdio::null())
            .output()
            .context("start apt-get")?;
        if !download.status.success() {
            bail!(
                "{package} cannot be fetched from {}: {}",
                self.suite,
                last_line(&download.stderr)
            );
        }
        extract(&only_file(&unpacked, "linux-")?, &unpacked)?;
        let image = only_file(&unpacked.join("boot"), "vmlinuz")
            .or_else(|_| {
                // Newer packages keep it beside the modules.
                let modules = only_file(&unpacked.join("usr/lib/modules"), "")?;
                only_file(&modules, "vmlinuz")
            })
            .with_context(|| format!("{package} holds no kernel image"))?;
        let bytes = fs::read(&image).with_context(|| format!("read {}", image.display()))?;
        if find(&unpacked, TLS).is_none()
            && let Some(rest) = package.strip_prefix("linux-binary-")
        {
            // Packages that hold the image alone have their modules in another.
            let modules = format!("linux-modules-{rest}");
            self.run_in(&unpacked, &["-q", "download", &modules])?;
            extract(&only_file(&unpacked, "linux-modules-")?, &unpacked)?;
        }
        for name in MODULES {
            if let Some(path) = find(&unpacked, name) {
                fs::write(home.join("modules").join(name), unpacked_module(&path)?)?;
            }
        }
        fs::remove_dir_all(&unpacked)?;
        Ok(bytes)
    }

    fn run_in(&self, folder: &Path, arguments: &[&str]) -> Result<()> {
        let output = Command::new("apt-get")
            .args(&self.options)
            .args(arguments)
            .current_dir(folder)
            .output()
            .context("start apt-get")?;
        if !output.status.success() {
            bail!("apt-get: {}", last_line(&output.stderr));
        }
        Ok(())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(program)
            .args(&self.options)
            .args(arguments)
            .output()
            .with_context(|| format!("start {program}: the kernels are Debian packages"))?;
        if !output.status.success() {
            bail!("{program}: {}", last_line(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Where the host's apt finds Debian, so that a mirror set there is used here too.
fn archive_uri(archive: Archive) -> String {
    let known = Command::new("apt-get")
        .args(["indextargets", "--format", "$(SITE)"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let ending = match archive {
        Archive::Main => "/debian",
        Archive::Security => "/debian-security",
    };
    known
        .lines()
        .map(|site| site.trim_end_matches('/'))
        .find(|site| site.ends_with(ending))
        .map_or_else(|| format!("{DEFAULT_SITE}{ending}"), str::to_owned)
}

/// The newest image package of a version. From 6.19 on `linux-image-` is empty and the image is
/// in `linux-binary-`.
fn newest_of<'a>(names: impl Iterator<Item = &'a str>, version: &str) -> Option<&'a str> {
    names
        .filter_map(|name| {
            let (rank, rest) = match name.strip_prefix("linux-binary-") {
                Some(rest) => (1, rest),
                None => (0, name.strip_prefix("linux-image-")?),
            };
            let patch = rest.strip_prefix(version)?.strip_prefix('.')?;
            let patch = patch.strip_suffix("-cloud-amd64")?;
            let numbers: Vec<u64> = patch
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect();
            Some(((rank, numbers), name))
        })
        .max()
        .map(|(_, name)| name)
}

fn extract(deb: &Path, folder: &Path) -> Result<()> {
    let status = Command::new("dpkg-deb")
        .arg("--extract")
        .args([deb, folder])
        .status()
        .context("start dpkg-deb")?;
    if !status.success() {
        bail!("dpkg-deb cannot unpack {} ({status})", deb.display());
    }
    Ok(())
}

/// The file of this name, with or without the ending of a compression, anywhere below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let found = if is_folder {
            find(&path, name)
        } else {
            let stem = entry.file_name();
            let stem = stem.to_string_lossy();
            let stem = stem.trim_end_matches(".xz").trim_end_matches(".zst");
            (stem == name).then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn unpacked_module(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("read {}", path.display())),
    };
    let output = Command::new(tool)
        .arg("-dc")
        .arg(path)
        .output()
        .with_context(|| format!("start {tool}"))?;
    if !output.status.success() {
        bail!("{tool} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

fn only_file(folder: &Path, prefix: &str) -> Result<PathBuf> {
    fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        })
        .with_context(|| format!("no {prefix}* in {}", folder.display()))
}

fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let mut lines = said.lines().rev().filter(|line| !line.trim().is_empty());
    let error = lines.clone().find(|line| line.starts_with("E:"));
    error
        .or_else(|| lines.next())
        .unwrap_or("failed without a word")
        .trim()
        .to_owned()
}

/// The kernel inside a bzImage: an emulated machine takes longer to unpack it than to boot it.
fn uncompressed(image: &[u8]) -> Result<Vec<u8>> {
    let payload = payload(image).context("not an x86 kernel image")?;
    let tool = match payload {
        [0xfd, b'7', b'z', ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0x1f, 0x8b, ..] => "gzip",
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        _ => return Ok(image.to_vec()),
    };
    let child = Command::new(tool)
        .args(["-dc"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("note: no {tool} here: the kernel unpacks itself, which takes seconds longer");
        return Ok(image.to_vec());
    };
    let input = child.stdin.take().context("a pipe")?;
    let feed = payload.to_vec();
    // The size that follows the payload makes the tool complain after it has written all.
    let writer = std::thread::spawn(move || drop((&input).write_all(&feed)));
    let output = child.wait_with_output().context("unpack the kernel")?;
    drop(writer.join());
    if !output.stdout.starts_with(b"\x7fELF") {
        return Ok(image.to_vec());
    }
    Ok(output.stdout)
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let sectors = match *image.get(SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let at = (sectors + 1) * 512 + word(PAYLOAD_OFFSET)?;
    image.get(at..)?.get(..word(PAYLOAD_LENGTH)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_image_is_taken_by_number_not_by_letter() {
        let names = [
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.95+deb13-cloud-amd64",
            "linux-image-6.12.115+deb13-cloud-amd64",
            "linux-image-6.12.115+deb13.1-cloud-amd64",
            "linux-image-6.12.116+deb13-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64",
        ];
        assert_eq!(
            newest_of(names.into_iter(), "6.12"),
            Some("linux-image-6.12.115+deb13.1-cloud-amd64")
        );
        assert_eq!(
            newest_of(names.into_iter(), "6.1"),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(newest_of(names.into_iter(), "5.15"), None);
    }

    #[test]
    fn the_package_that_holds_the_image_is_taken() {
        let names = [
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
        ];
        assert_eq!(newest_of(names.into_iter(), "7.3"), Some(names[0]));
    }

    #[test]
    fn something_that_is_no_kernel_is_refused() {
        assert!(uncompressed(b"MZ").is_err());
        assert!(uncompressed(&[0xff; 2048]).is_err());
    }
}
