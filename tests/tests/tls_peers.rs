//! TLS libraries that few programs use, and those inside a program that lost its names: each call
//! that was made or served is seen at that end exactly once. The rows belong to the table of
//! `cargo xtask test tls`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use observer_tests::running::run_ok;
use observer_tests::tls_peer::{DebugFile, Library, Names, ask, build, server};
use observer_tests::tls_row::{End, Row, paths};
use observer_tests::tls_servers::lighttpd_server;
use observer_tests::{Certificate, Nginx, curl, live, port, pypi};

const LIMIT: Duration = Duration::from_secs(45);
const CALLS: usize = 40;

/// The C program at both ends.
fn both_ends(name: &'static str, library: Library, names: Names, says: &'static str) -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let program = build(folder.path(), name, library, names)?;
    let _debug = match names {
        Names::Apart => Some(DebugFile::install(&program, &folder.path().join("debug"))?),
        _ => None,
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let _server = server(&program, &certificate, port)?;
    let row = Row::start(port)?;
    let paths = paths(name, CALLS);
    ask(&program, port, &paths)?;
    let end = End {
        process: name,
        library: says,
    };
    row.is_exactly(&paths, Some(&end), Some(&end))
}

#[test]
fn wolfssl() -> Result<()> {
    let Some(_turn) = live(&["openssl", "cc", "file:/usr/include/wolfssl/ssl.h"]) else {
        return Ok(());
    };
    both_ends("peer-wolfssl", Library::WolfSsl, Names::Kept, "wolfssl 5.")
}

#[test]
fn mbedtls() -> Result<()> {
    let Some(_turn) = live(&["openssl", "cc", "file:/usr/include/mbedtls/ssl.h"]) else {
        return Ok(());
    };
    both_ends("peer-mbedtls", Library::MbedTls, Names::Kept, "mbedtls ")
}

#[test]
fn openssl_inside_a_program_that_packed_its_names() -> Result<()> {
    let needs = [
        "openssl",
        "cc",
        "objcopy",
        "xz",
        "file:/usr/include/openssl/ssl.h",
    ];
    let Some(_turn) = live(&needs) else {
        return Ok(());
    };
    both_ends("peer-packed", Library::OpenSsl, Names::Packed, "openssl ")
}

#[test]
fn openssl_inside_a_program_whose_names_are_in_its_debug_file() -> Result<()> {
    let needs = [
        "openssl",
        "cc",
        "objcopy",
        "readelf",
        "file:/usr/include/openssl/ssl.h",
    ];
    let Some(_turn) = live(&needs) else {
        return Ok(());
    };
    both_ends("peer-apart", Library::OpenSsl, Names::Apart, "openssl ")
}

/// Found by what its code refers to.
#[test]
fn openssl_inside_a_stripped_program() -> Result<()> {
    let needs = [
        "openssl",
        "cc",
        "objcopy",
        "file:/usr/include/openssl/ssl.h",
    ];
    let Some(_turn) = live(&needs) else {
        return Ok(());
    };
    both_ends(
        "peer-stripped",
        Library::OpenSsl,
        Names::Stripped,
        "openssl 3",
    )
}

/// lighttpd with one of its TLS modules.
fn lighttpd(module: &'static str, library: &'static str) -> Result<()> {
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let asked = vec!["/page".to_owned(); CALLS];
    let _server = lighttpd_server(folder.path(), module, &certificate, port, &asked)?;
    let row = Row::start(port)?;
    let urls: Vec<String> = asked
        .iter()
        .map(|path| format!("https://127.0.0.1:{port}{path}"))
        .collect();
    curl(&urls)?;
    let end = End {
        process: "lighttpd",
        library,
    };
    row.is_exactly(&asked, Some(&end), None)
}

#[test]
fn lighttpd_with_wolfssl() -> Result<()> {
    let Some(_turn) = live(&[
        "openssl",
        "lighttpd",
        "file:/usr/lib/lighttpd/mod_wolfssl.so",
    ]) else {
        return Ok(());
    };
    lighttpd("wolfssl", "wolfssl 5.")
}

#[test]
fn lighttpd_with_mbedtls() -> Result<()> {
    let Some(_turn) = live(&[
        "openssl",
        "lighttpd",
        "file:/usr/lib/lighttpd/mod_mbedtls.so",
    ]) else {
        return Ok(());
    };
    lighttpd("mbedtls", "mbedtls ")
}

#[test]
fn lighttpd_with_gnutls() -> Result<()> {
    let Some(_turn) = live(&[
        "openssl",
        "lighttpd",
        "file:/usr/lib/lighttpd/mod_gnutls.so",
    ]) else {
        return Ok(());
    };
    lighttpd("gnutls", "gnutls 3.")
}

/// s2n inside a shared object of another name, over memory buffers: the AWS runtime asks nginx.
#[test]
fn s2n_as_client() -> Result<()> {
    let Some(_turn) = live(&["openssl", "nginx", "pypi:awscrt"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let row = Row::start(nginx.https)?;
    let asked: Vec<String> = vec!["/status/200".to_owned(); CALLS];
    let mut command = Command::new(pypi::program("python").context("no python")?);
    command
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/rows.py"))
        .args(["ask", "awscrt", &nginx.https.to_string(), "-"])
        .args(&asked);
    run_ok(&mut command, LIMIT)?;
    let client = End {
        process: "python",
        library: "s2n",
    };
    row.is_exactly(&asked, None, Some(&client))
}
