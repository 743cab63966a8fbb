//! `observer replay`: the same transcript gives the same lines on every run, with no rights.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::agent::binary;
use observer_tests::prerequisites::is_root;
use observer_tests::requires;
use observer_tests::running::run;
use serde_json::Value;
use tempfile::TempDir;

/// A copy of the program and of the transcripts where nobody may read them.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let place = Self { folder };
        fs::copy(binary()?, place.program())?;
        fs::set_permissions(place.program(), fs::Permissions::from_mode(0o755))?;
        Ok(place)
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("observer")
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        Ok(path)
    }

    /// Replays as a user without any right.
    fn replay(&self, format: &str, file: &Path) -> Result<String> {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args([
                    "--reuid=65534",
                    "--regid=65534",
                    "--clear-groups",
                    "--inh-caps=-all",
                ])
                .arg(self.program());
            command
        } else {
            Command::new(self.program())
        };
        command.args(["replay", "--format", format]).arg(file);
        let output = run(&mut command, Duration::from_secs(20))?;
        ensure!(
            output.status.success(),
            "{}: {}: {}",
            file.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn transcripts() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("no {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|it| it != "md"))
        .collect();
    files.sort();
    Ok(files)
}

/// The same lines with each fingerprint as `fp`: their key is drawn anew for each replay, so that
/// no list of likely secrets can be held against what a replay printed.
fn without_fingerprints(lines: &str) -> String {
    let mut out = lines.to_owned();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        if let Some(fingerprint) = line["identity"]["fingerprint"].as_str() {
            out = out.replace(fingerprint, "fp");
        }
    }
    out
}

#[test]
fn every_transcript_gives_the_same_lines_twice_without_root() -> Result<()> {
    let Some(_turn) = requires(&["setpriv"]) else {
        return Ok(());
    };
    let place = Place::new()?;
    let files = transcripts()?;
    ensure!(!files.is_empty(), "no transcripts");
    let mut calls = 0;
    for file in files {
        let copy = place.put("transcript.jsonl", &fs::read(&file)?)?;
        let first = without_fingerprints(&place.replay("jsonl", &copy)?);
        let second = without_fingerprints(&place.replay("jsonl", &copy)?);
        ensure!(
            first == second,
            "{} differs:\n{first}\n{second}",
            file.display()
        );
        for line in first.lines() {
            let line: Value = serde_json::from_str(line)
                .with_context(|| format!("{}: {line}", file.display()))?;
            calls += usize::from(line["type"] == "call");
        }
        ensure!(
            !place.replay("table", &copy)?.contains('\x1b'),
            "colour without a terminal"
        );
    }
    ensure!(calls > 0, "not one call in all transcripts");
    Ok(())
}

#[test]
fn a_transcript_gives_the_call_that_is_in_it() -> Result<()> {
    let Some(_turn) = requires(&["setpriv"]) else {
        return Ok(());
    };
    let place = Place::new()?;
    let encode = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let request =
        encode("POST /orders/42?key=hidden HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc");
    let answer = encode("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
    let line = format!(
        r#"{{"id":"one","chunks":[{{"d":"c","b":"{request}"}},{{"d":"s","b":"{answer}"}}],"client":"192.0.2.1:4000","server":"192.0.2.2:80"}}"#
    );
    let file = place.put("one.jsonl", format!("{line}\n").as_bytes())?;
    let printed = place.replay("jsonl", &file)?;
    ensure!(printed.lines().count() == 1, "{printed}");
    ensure!(!printed.contains("hidden"), "{printed}");
    let call: observer_tests::Call = serde_json::from_str(printed.trim())?;
    ensure!(call.method == "POST" && call.path == "/orders/42" && call.status == Some(201));
    ensure!(call.host.as_deref() == Some("shop"), "{call}");
    ensure!(
        call.request_bytes == Some(3) && call.response_bytes == Some(2),
        "{call}"
    );
    ensure!(call.client.ip.as_deref() == Some("192.0.2.1") && call.client.port == Some(4000));
    ensure!(call.server.ip.as_deref() == Some("192.0.2.2") && call.server.port == Some(80));
    Ok(())
}

#[test]
fn a_file_that_is_no_transcript_is_one_clear_error() -> Result<()> {
    let Some(_turn) = requires(&["setpriv"]) else {
        return Ok(());
    };
    let place = Place::new()?;
    for content in [&b"not json\n"[..], b"{\"id\":1}\n", b"\x00\xff\xfe\n"] {
        let file = place.put("bad.jsonl", content)?;
        let mut command = Command::new(place.program());
        let output = run(command.arg("replay").arg(&file), Duration::from_secs(10))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "accepted {content:?}");
        ensure!(said.contains("bad.jsonl"), "the file is not named: {said}");
        ensure!(!said.contains("panicked"), "{said}");
    }
    let mut command = Command::new(place.program());
    let output = run(
        command.args(["replay", "/no/such/file"]),
        Duration::from_secs(10),
    )?;
    ensure!(!output.status.success());
    ensure!(String::from_utf8_lossy(&output.stderr).contains("/no/such/file"));
    Ok(())
}
