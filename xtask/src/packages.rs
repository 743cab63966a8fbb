//! The servers and tools that the live tests drive.
//!
//! In: what is on the `PATH`. Out: names of what is missing, and on request Debian
//! packages installed as root. A server it installs is never started as a service.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::on_path;

/// A program, or the path of another file, and the Debian package that brings it.
pub struct Package {
    program: &'static str,
    package: &'static str,
}

/// What the live tests start or ask.
const NEEDED: [Package; 36] = [
    needed("nginx", "nginx"),
    needed("apache2", "apache2"),
    needed("node", "nodejs"),
    needed("python3", "python3"),
    needed("curl", "curl"),
    needed("wrk", "wrk"),
    needed("h2load", "nghttp2-client"),
    needed("nghttpd", "nghttp2-server"),
    needed("chromium", "chromium"),
    needed("prometheus", "prometheus"),
    needed("promtool", "prometheus"),
    needed("bpftool", "bpftool"),
    needed("openssl", "openssl"),
    needed("ip", "iproute2"),
    needed("gnutls-serv", "gnutls-bin"),
    needed("wget", "wget"),
    needed("selfserv", "libnss3-tools"),
    needed("haproxy", "haproxy"),
    needed("ruby", "ruby"),
    needed("php", "php-cli"),
    needed("java", "default-jdk-headless"),
    // Not a program: a library that PHP loads.
    needed("php-soap", "php-soap"),
    // Node of NodeSource brings it; Debian's has it apart.
    needed("npm", "npm"),
    needed("prometheus-alertmanager", "prometheus-alertmanager"),
    needed("rsyslogd", "rsyslog"),
    // A small program of the tests is built with TLS libraries that few others use.
    needed("cc", "gcc"),
    needed("xz", "xz-utils"),
    needed("/usr/include/openssl/ssl.h", "libssl-dev"),
    needed("/usr/include/wolfssl/ssl.h", "libwolfssl-dev"),
    needed("/usr/include/mbedtls/ssl.h", "libmbedtls-dev"),
    needed("/usr/include/gnutls/gnutls.h", "libgnutls28-dev"),
    // An old Go, beside the newest.
    needed("/usr/lib/go-1.19/bin/go", "golang-1.19-go"),
    needed("lighttpd", "lighttpd"),
    needed("/usr/lib/lighttpd/mod_wolfssl.so", "lighttpd-mod-wolfssl"),
    needed("/usr/lib/lighttpd/mod_mbedtls.so", "lighttpd-mod-mbedtls"),
    needed("/usr/lib/lighttpd/mod_gnutls.so", "lighttpd-mod-gnutls"),
];

/// Asked by Debian's packages before they start a service (policy-rc.d, 101: no).
const POLICY: &str = "/usr/sbin/policy-rc.d";

const fn needed(program: &'static str, package: &'static str) -> Package {
    Package { program, package }
}

/// The packages whose program is not here, each once.
pub fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    for Package { program, package } in NEEDED {
        if !has(program) && !missing.contains(&package) {
            missing.push(package);
        }
    }
    missing
}

/// Whether a program is here. Servers lie in folders that not every user's `PATH`
/// names.
pub fn has(program: &str) -> bool {
    if program == "php-soap" {
        return Command::new("php").arg("-m").output().is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .any(|line| line == "soap")
        });
    }
    (program.starts_with('/') && Path::new(program).exists())
        || on_path(program).is_some()
        || ["/usr/sbin", "/sbin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
}

/// Whether packages can be installed here by a command that this program knows.
pub fn can_install() -> bool {
    on_path("apt-get").is_some()
}

/// Installs Debian packages, as root, and returns those that are not to be had.
pub fn install(packages: &[&'static str]) -> Result<Vec<&'static str>> {
    apt_get(&["update"])?;
    let _quiet = NoServices::new()?;
    let all: Vec<&str> = ["install"].iter().chain(packages).copied().collect();
    if apt_get(&all).is_ok() {
        return Ok(Vec::new());
    }
    // One unknown name fails them all; a distribution may lack one.
    let mut failed = Vec::new();
    for package in packages {
        if apt_get(&["install", package]).is_err() {
            failed.push(*package);
        }
    }
    Ok(failed)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(["-y", "-q", "-o", "DPkg::Lock::Timeout=120"])
        .arg("--no-install-recommends")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("start apt-get")?;
    if !status.success() {
        bail!("apt-get {} failed ({status})", arguments.join(" "));
    }
    Ok(())
}

/// While it lives, packages do not start their services. A policy that was there
/// before stays as it is.
struct NoServices {
    written: bool,
}

impl NoServices {
    fn new() -> Result<Self> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY);
        match file {
            Ok(mut file) => {
                use std::io::Write as _;
                let this = Self { written: true };
                file.write_all(b"#!/bin/sh\nexit 101\n")
                    .with_context(|| format!("write {POLICY}"))?;
                Ok(this)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { written: false }),
            Err(error) => Err(error).with_context(|| format!("write {POLICY}")),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.written
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("remove {POLICY} by hand: {error}");
        }
    }
}
