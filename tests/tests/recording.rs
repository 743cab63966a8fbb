//! `observer run --record`: a replay of what was recorded makes the calls of the run, and without
//! being asked for, no secret is in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::binary;
use observer_tests::running::run;
use observer_tests::{Agent, Launch, Nginx, curl, live};
use serde_json::Value;
use tempfile::TempDir;

const CALLS: usize = 12;

/// What of each call must survive, sorted.
fn told<'a>(lines: impl Iterator<Item = &'a str>, port: u16) -> Vec<String> {
    let mut told: Vec<String> = lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|call| call["type"] == "call" && call["server"]["port"] == port)
        .map(|call| {
            let keys = [
                "role",
                "protocol",
                "scheme",
                "method",
                "host",
                "path",
                "query",
                "status",
                "request_bytes",
                "response_bytes",
                "client",
                "server",
                "flags",
            ];
            let values = keys.map(|key| call[key].to_string());
            format!("{} {}", values.join(" "), call["auth"]["scheme"])
        })
        .collect();
    told.sort();
    told
}

fn ask(nginx: &Nginx, port: u16) -> Result<()> {
    let scheme = match port {
        port if port == nginx.https || port == nginx.h2 => "https",
        _ => "http",
    };
    let version = match port {
        port if port == nginx.h2c => "--http2-prior-knowledge",
        port if port == nginx.h2 => "--http2",
        _ => "--http1.1",
    };
    for number in 0..CALLS {
        let url = format!("{scheme}://127.0.0.1:{port}/status/401?n={number}&key=s3cretQuery");
        let mut arguments = vec![version, "-H", "Authorization: Bearer s3cretBearer"];
        if version == "--http1.1" {
            // Over HTTP/2 curl takes an answer before the end of its body for an error.
            arguments.extend(["-d", "s3cretBody"]);
        }
        arguments.push(&url);
        curl(&arguments)?;
    }
    Ok(())
}

fn record(secrets: bool) -> Result<()> {
    let nginx = Nginx::start(1)?;
    let ports = [nginx.http, nginx.https, nginx.h2c, nginx.h2];
    let folder = TempDir::new()?;
    let file = folder.path().join("calls.transcript");
    let mut arguments = vec!["--record".to_owned(), file.display().to_string()];
    if secrets {
        arguments.push("--record-secrets".to_owned());
    }
    let agent = Agent::launch(Launch {
        arguments,
        ..Launch::default()
    })?;
    for port in ports {
        ask(&nginx, port)?;
        observer_tests::wait::until("all calls", Duration::from_secs(30), || {
            let calls = agent.calls_where(|call| call.served_by(port)).ok()?;
            (calls.len() >= CALLS).then_some(())
        })?;
    }
    let ended = agent.stop()?;
    let mode = fs::metadata(&file)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "mode {mode:o}");
    let replayed = replay(&file)?;
    for port in ports {
        let live = told(ended.stdout.lines(), port);
        let again = told(replayed.lines(), port);
        ensure!(live.len() == CALLS, "port {port}: {live:#?}");
        ensure!(
            live == again,
            "port {port}: live {live:#?}, replayed {again:#?}"
        );
    }
    let text = decoded(&fs::read_to_string(&file)?)?;
    for secret in ["s3cretQuery", "s3cretBearer", "s3cretBody"] {
        ensure!(text.contains(secret) == secrets, "{secret}: {text}");
    }
    Ok(())
}

fn replay(file: &Path) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(["replay", "--format", "jsonl"]).arg(file);
    let output = run(&mut command, Duration::from_secs(20))?;
    ensure!(output.status.success(), "{}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// All bytes in a transcript.
fn decoded(transcript: &str) -> Result<String> {
    let mut text = String::new();
    for line in transcript.lines() {
        let line: Value = serde_json::from_str(line)?;
        for chunk in line["chunks"].as_array().into_iter().flatten() {
            let bytes = chunk["b"].as_str().unwrap_or_default();
            let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, bytes)?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    Ok(text)
}

#[test]
fn a_recording_makes_the_calls_of_the_run_and_has_no_secret() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "curl"]) else {
        return Ok(());
    };
    record(false)
}

#[test]
fn a_recording_has_all_bytes_where_that_was_asked_for() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "curl"]) else {
        return Ok(());
    };
    record(true)
}

#[test]
fn a_file_that_exists_is_left_as_it_is() -> Result<()> {
    let Some(_turn) = live(&[]) else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let file = folder.path().join("kept");
    fs::write(&file, "kept")?;
    let mut command = Command::new(binary()?);
    command
        .args(["run", "--metrics", "off", "--duration", "1s", "--state-dir"])
        .arg(folder.path().join("state"))
        .arg("--record")
        .arg(&file);
    let output = run(&mut command, Duration::from_secs(30))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(said.contains("does not exist yet"), "{said}");
    ensure!(fs::read_to_string(&file)? == "kept");
    Ok(())
}
