//! Programs that use a TLS library in ways that few do: each call is seen exactly once at both ends
//! all the same, and the programs get every byte as it should be (they end with an error if not).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use observer_tests::running::run_ok;
use observer_tests::tls_row::{End, Row, paths, serve};
use observer_tests::tls_servers::quiet;
use observer_tests::{Certificate, live, port};

const LIMIT: Duration = Duration::from_secs(60);
const CALLS: usize = 40;

/// The C program, built with one of the libraries, at both ends.
fn both_ends(way: &str, library: &'static str) -> Result<()> {
    let (header, options): (&str, &[&str]) = match library {
        "openssl " => ("file:/usr/include/openssl/ssl.h", &["-lssl", "-lcrypto"]),
        _ => (
            "file:/usr/include/gnutls/gnutls.h",
            &["-DWITH_GNUTLS", "-lgnutls"],
        ),
    };
    let Some(_turn) = live(&["openssl", "cc", header]) else {
        return Ok(());
    };
    let folder = tempfile::TempDir::new()?;
    let program = folder.path().join("tls-odd");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/tls_odd.c");
    let mut command = Command::new("cc");
    command.args(["-O2", "-o"]).arg(&program).arg(source);
    run_ok(command.args(options), LIMIT)?;
    let (certificate, port) = (Certificate::new()?, port::free());
    let mut command = Command::new(&program);
    command.args(["serve", &port.to_string(), way]);
    command.arg(certificate.chain()).arg(certificate.key());
    let mut server = serve("tls-odd", quiet(&mut command), port)?;
    let row = Row::start(port)?;
    let paths = paths(way, CALLS);
    let mut command = Command::new(&program);
    command.args(["ask", &port.to_string(), way]).args(&paths);
    run_ok(&mut command, LIMIT)?;
    let end = End {
        process: "tls-odd",
        library,
    };
    row.is_exactly(&paths, Some(&end), Some(&end))?;
    // Bytes that no program sent would lie between the calls.
    let lost = row.agent.metrics()?.sum(
        "observer_pipeline_events_total",
        &[("event", "boundaries_lost")],
    );
    anyhow::ensure!(
        lost == 0.0,
        "{lost} times it was lost where a message begins"
    );
    let ended = server.ended()?;
    anyhow::ensure!(ended.is_none(), "the server ended: {ended:?}");
    Ok(())
}

/// What was looked at is read again.
#[test]
fn bytes_that_were_peeked_at_count_once() -> Result<()> {
    both_ends("peek", "openssl ")
}

#[test]
fn reads_and_writes_of_no_bytes_and_of_a_few() -> Result<()> {
    both_ends("small", "openssl ")
}

#[test]
fn one_object_for_one_connection_after_the_other() -> Result<()> {
    both_ends("clear", "openssl ")
}

#[test]
fn renegotiation_between_calls() -> Result<()> {
    both_ends("renegotiate", "openssl ")
}

#[test]
fn keys_that_are_updated_between_calls() -> Result<()> {
    both_ends("update", "openssl ")
}

#[test]
fn requests_in_early_data() -> Result<()> {
    both_ends("early", "openssl ")
}

#[test]
fn a_connection_that_is_shut_down_in_the_middle_of_each_answer() -> Result<()> {
    both_ends("shutdown", "openssl ")
}

/// The child goes on inside the read that its parent began.
#[test]
fn a_server_that_forks_while_it_reads() -> Result<()> {
    both_ends("fork", "openssl ")
}

#[test]
fn gnutls_reads_of_no_bytes_and_of_a_few() -> Result<()> {
    both_ends("small", "gnutls 3.")
}

/// What is handed over while the library holds back comes out in more than one record.
#[test]
fn gnutls_that_holds_back_what_it_sends() -> Result<()> {
    both_ends("cork", "gnutls 3.")
}

#[test]
fn gnutls_renegotiation_between_calls() -> Result<()> {
    both_ends("rehandshake", "gnutls 3.")
}
