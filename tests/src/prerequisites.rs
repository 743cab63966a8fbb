//! What a test needs, and the printed reason where it is not there.
//!
//! A test begins with `let Some(_turn) = live(&["nginx"]) else { return Ok(()) };`. With
//! `OBSERVER_TESTS_STRICT=1` a missing need fails the test, for machines that must have all.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The right to run: held while a test runs, so that servers and agents of two tests never
/// compete for the processor or count each other's probes, whatever the number of test threads.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

/// For tests that start the agent with its probes: root, cgroup2, and the named programs.
pub fn live(programs: &[&str]) -> Option<Turn> {
    let mut needs = vec!["root", "cgroup2", "curl"];
    needs.extend_from_slice(programs);
    requires(&needs)
}

/// Waits for this test's turn if everything needed is there; else prints what is missing.
///
/// A need is `root`, `cgroup2`, `ipv6`, `pypi:NAME` for a program or package of
/// [`crate::pypi`], `npm:NAME` for a package of [`crate::npm`], `rust:NAME` for one of
/// [`crate::rust_programs`], `php:soap`, `file:PATH` for what a package brings that is no program,
/// or the name of a program.
///
/// # Panics
/// If something is missing and `OBSERVER_TESTS_STRICT` is set, or the lock file cannot be made.
pub fn requires(needs: &[&str]) -> Option<Turn> {
    let missing: Vec<String> = needs.iter().filter_map(|need| lacks(need)).collect();
    if missing.is_empty() {
        // One a user: another user's file could not be opened.
        let name = format!("observer-tests-{}.lock", user().unwrap_or_default());
        let path = std::env::temp_dir().join(name);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
        lock.lock().expect("a lock on the lock file of the tests");
        return Some(Turn { _lock: lock });
    }
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let reason = format!("SKIPPED {test}: {}", missing.join("; "));
    assert!(
        std::env::var_os("OBSERVER_TESTS_STRICT").is_none(),
        "{reason}"
    );
    // The test framework swallows what a passing test prints with macros.
    let _ = writeln!(std::io::stderr(), "{reason}");
    None
}

/// The path of a program, looked for where system programs are, too.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"])
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Whether this is root.
pub fn is_root() -> bool {
    user().as_deref() == Some("0")
}

/// The effective user id.
fn user() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1).map(str::to_owned)
}

/// Whether IPv6 loopback works.
pub fn has_ipv6() -> bool {
    TcpListener::bind(("::1", 0)).is_ok()
}

fn lacks(need: &str) -> Option<String> {
    match need {
        "root" if is_root() => None,
        "root" => Some("needs root (run with sudo)".to_owned()),
        "cgroup2" => {
            let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
            let known = known.lines().any(|line| line.ends_with("cgroup2"));
            (!known).then(|| "needs a kernel with cgroup2 (CONFIG_CGROUPS)".to_owned())
        }
        "ipv6" => (!has_ipv6()).then(|| "needs IPv6 on loopback".to_owned()),
        "netns" => {
            let works = Command::new("unshare")
                .args(["--net", "true"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            (!works).then(|| "needs network namespaces (CAP_SYS_ADMIN, CONFIG_NET_NS)".to_owned())
        }
        name if name.starts_with("pypi:") => {
            let name = name.trim_start_matches("pypi:");
            let there =
                crate::pypi::program(name).is_some() || crate::pypi::package_file(name).is_some();
            (!there).then(|| {
                format!("needs {name} from the Python package index (cargo xtask test installs it)")
            })
        }
        name if name.starts_with("npm:") => {
            let name = name.trim_start_matches("npm:");
            (!crate::npm::has(name)).then(|| {
                format!("needs {name} from the npm registry (cargo xtask test installs it)")
            })
        }
        name if name.starts_with("file:") => {
            let path = name.trim_start_matches("file:");
            let there = std::path::Path::new(path).exists();
            (!there).then(|| format!("needs {path} (cargo xtask test installs its package)"))
        }
        name if name.starts_with("rust:") => {
            let name = name.trim_start_matches("rust:");
            crate::rust_programs::program(name)
                .is_none()
                .then(|| format!("needs {name} of tests/programs (cargo xtask test builds it)"))
        }
        "php:soap" => {
            let modules = Command::new("php").arg("-m").output();
            let there = modules.is_ok_and(|output| {
                String::from_utf8_lossy(&output.stdout)
                    .lines()
                    .any(|line| line == "soap")
            });
            (!there).then(|| "needs SOAP for PHP (Debian: php-soap)".to_owned())
        }
        name => program(name)
            .is_none()
            .then(|| format!("needs the program {name}{}", package_of(name))),
    }
}

fn package_of(program: &str) -> &'static str {
    match program {
        "ip" => " (Debian: iproute2)",
        "apache2" => " (Debian: apache2-bin)",
        "node" => " (Debian: nodejs)",
        "cc" => " (Debian: gcc)",
        "objcopy" | "readelf" => " (Debian: binutils)",
        "xz" => " (Debian: xz-utils)",
        "promtool" => " (Debian: prometheus)",
        "javac" | "java" => " (Debian: default-jdk-headless)",
        "setpriv" | "unshare" => " (Debian: util-linux)",
        _ => " (Debian: the package of that name)",
    }
}
