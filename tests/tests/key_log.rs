//! `observer replay --keylog`: the calls in a capture of TLS are those that curl made.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::binary;
use observer_tests::running::{Running, run, run_ok};
use observer_tests::{Nginx, requires};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(40);

/// What curl is told, the protocol that is spoken then, and the version and cipher of TLS.
const WAYS: [(&[&str], &str, &str, u64); 6] = [
    (
        &["--http1.1", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256"],
        "http/1.1",
        "TLSv1.3",
        0x1301,
    ),
    (
        &["--http1.1", "--tls13-ciphers", "TLS_AES_256_GCM_SHA384"],
        "http/1.1",
        "TLSv1.3",
        0x1302,
    ),
    (
        &[
            "--http1.1",
            "--tls13-ciphers",
            "TLS_CHACHA20_POLY1305_SHA256",
        ],
        "http/1.1",
        "TLSv1.3",
        0x1303,
    ),
    (&["--http2"], "h2", "TLSv1.3", 0x1302),
    (
        &[
            "--http1.1",
            "--tls-max",
            "1.2",
            "--ciphers",
            "ECDHE+AES128+AESGCM",
        ],
        "http/1.1",
        "TLSv1.2",
        0,
    ),
    (
        &["--http2", "--tls-max", "1.2", "--ciphers", "ECDHE+CHACHA20"],
        "h2",
        "TLSv1.2",
        0,
    ),
];

fn asked(nginx: &Nginx, keys: &Path) -> Result<BTreeMap<String, usize>> {
    nginx.file("page", 100)?;
    // Several records of TLS, and several packets.
    nginx.file("large", 400_000)?;
    let mut expected = BTreeMap::new();
    for (way, protocol, version, _) in WAYS {
        let port = if protocol == "h2" {
            nginx.h2
        } else {
            nginx.https
        };
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-k", "--noproxy", "*", "--max-time", "30"])
            .args(way)
            .env("SSLKEYLOGFILE", keys);
        for (path, status) in [("/page", 200), ("/large", 200), ("/missing", 404)] {
            curl.args(["-o", "/dev/null"])
                .arg(format!("https://127.0.0.1:{port}{path}"));
            let call = format!("{protocol} {version} GET {path} {status}");
            *expected.entry(call).or_default() += 1;
        }
        run_ok(&mut curl, LIMIT)?;
    }
    Ok(expected)
}

#[test]
fn calls_in_a_capture_of_tls_are_those_that_were_made() -> Result<()> {
    let Some(_turn) = requires(&["root", "nginx", "openssl", "curl", "python3"]) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let (packets, keys) = (folder.path().join("pcap"), folder.path().join("keys"));
    // Older ones do not speak the newer version unless told to.
    let nginx = Nginx::start_with(1, "ssl_protocols TLSv1.2 TLSv1.3;")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/packets.py");
    let mut writer = Command::new("python3");
    writer
        .arg(script)
        .arg(format!("{},{}", nginx.https, nginx.h2))
        .arg(&packets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut writer = Running::start("the writer of packets", &mut writer)?;
    let said = writer.child().stdout.take().context("no output")?;
    let mut said = BufReader::new(said).lines();
    ensure!(said.next().context("it ended")?? == "listening");
    let expected = asked(&nginx, &keys)?;
    drop(writer.child().stdin.take());
    ensure!(said.next().context("it ended")?? == "written");

    let mut replay = Command::new(binary()?);
    replay
        .args(["replay", "--format", "jsonl", "--keylog"])
        .arg(&keys)
        .arg(&packets);
    let output = run(&mut replay, LIMIT)?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{told}");
    let mut counted = BTreeMap::new();
    let mut ciphers = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let call: Value = serde_json::from_str(line)?;
        if call["type"] != "call" {
            continue;
        }
        ensure!(call["scheme"] == "https", "{call}");
        ensure!(call["tls"]["library"] == "key log", "{call}");
        ensure!(call["flags"] == serde_json::json!([]), "{call}");
        if call["path"] == "/large" {
            ensure!(call["response_bytes"] == 400_000, "{call}");
        }
        ciphers.extend(call["tls"]["cipher"].as_u64());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let call = format!(
            "{} {} {} {} {}",
            text(&call["protocol"]),
            text(&call["tls"]["version"]),
            text(&call["method"]),
            text(&call["path"]),
            call["status"]
        );
        *counted.entry(call).or_default() += 1;
    }
    ensure!(counted == expected, "{counted:#?}\n{told}");
    for (way, .., cipher) in WAYS {
        ensure!(cipher == 0 || ciphers.contains(&cipher), "{way:?}");
    }
    ensure!(told.contains("6 TLS connections opened\n"), "{told}");
    // No secret is in anything that it said.
    for line in fs::read_to_string(&keys)?.lines() {
        let secret = line.split(' ').nth(2).unwrap_or("-");
        ensure!(!told.contains(secret), "a secret was told");
    }
    Ok(())
}
