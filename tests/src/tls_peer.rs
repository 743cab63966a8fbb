//! `programs/tls_peer.c`: a small server and client over a TLS library that few programs of a
//! distribution use, or that is inside the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::certificate::Certificate;
use crate::running::{Running, run_ok};
use crate::tls_row::serve;
use crate::tls_servers::quiet;

const LIMIT: Duration = Duration::from_secs(60);

/// Which library it is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// A shared one.
    WolfSsl,
    /// A shared one.
    MbedTls,
    /// Inside the program.
    OpenSsl,
}

/// What becomes of the names of its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They stay.
    Kept,
    /// Taken out.
    Stripped,
    /// Taken out, and packed into `.gnu_debugdata`, as some distributions do.
    Packed,
    /// Taken out, and in a file of their own, `debug` beside the program.
    Apart,
}

/// The program, built in `folder` under this name, which its processes have (15 bytes at most).
pub fn build(folder: &Path, name: &str, library: Library, names: Names) -> Result<PathBuf> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/tls_peer.c");
    let program = folder.join(name);
    let (define, libraries): (&str, &[&str]) = match library {
        Library::WolfSsl => ("-DWITH_WOLFSSL", &["-lwolfssl"]),
        Library::MbedTls => (
            "-DWITH_MBEDTLS",
            &["-lmbedtls", "-lmbedx509", "-lmbedcrypto"],
        ),
        Library::OpenSsl => (
            "-DWITH_OPENSSL",
            &["-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread"],
        ),
    };
    let mut command = Command::new("cc");
    command.args(["-O2", "-Wl,--build-id", define, "-o"]);
    command.arg(&program).arg(source).args(libraries);
    run_ok(&mut command, LIMIT)?;
    if names == Names::Kept {
        return Ok(program);
    }
    let at = |name: &str| folder.join(name).display().to_string();
    let objcopy = |arguments: &[&str]| run_ok(Command::new("objcopy").args(arguments), LIMIT);
    objcopy(&["--only-keep-debug", &at(name), &at("debug")])?;
    match names {
        Names::Packed => {
            objcopy(&["--strip-debug", &at("debug"), &at("names")])?;
            run_ok(Command::new("xz").args(["-0", &at("names")]), LIMIT)?;
            let section = format!(".gnu_debugdata={}", at("names.xz"));
            objcopy(&["--strip-all", "--add-section", &section, &at(name)])?;
        }
        _ => {
            objcopy(&["--strip-all", &at(name)])?;
        }
    }
    Ok(program)
}

/// The program as server.
pub fn server(program: &Path, certificate: &Certificate, port: u16) -> Result<Running> {
    let mut command = Command::new(program);
    command.args(["serve", &port.to_string()]);
    command.arg(certificate.chain()).arg(certificate.key());
    serve("the server in C", quiet(&mut command), port)
}

/// The program as client of all these paths, on one connection.
pub fn ask(program: &Path, port: u16, paths: &[String]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["ask", &port.to_string()]).args(paths);
    run_ok(&mut command, LIMIT).map(drop)
}

/// The debug file of a program, where debuggers look for it; removed when dropped.
#[derive(Debug)]
pub struct DebugFile(PathBuf);

impl DebugFile {
    /// Puts `file` where that of `program` is looked for.
    pub fn install(program: &Path, file: &Path) -> Result<Self> {
        let notes = run_ok(Command::new("readelf").arg("-n").arg(program), LIMIT)?;
        let id = notes
            .lines()
            .find_map(|line| line.trim().strip_prefix("Build ID: "));
        let Some((first, rest)) = id.and_then(|id| id.split_at_checked(2)) else {
            anyhow::bail!("no build id: {notes}");
        };
        let folder = Path::new("/usr/lib/debug/.build-id").join(first);
        fs::create_dir_all(&folder)?;
        let place = folder.join(format!("{rest}.debug"));
        fs::copy(file, &place)?;
        Ok(Self(place))
    }
}

impl Drop for DebugFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
