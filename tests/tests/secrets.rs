//! What a caller keeps secret, and what a body or a query holds, is in nothing the agent writes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use observer_tests::{Agent, Launch, Nginx, curl, live};

/// One word for each place a secret can be in.
const SECRETS: [&str; 8] = [
    "s3cretPassword",
    "s3cretBearer",
    "s3cretApiKey",
    "s3cretCookie",
    "s3cretQuery",
    "s3cretBody",
    "s3cretCustomHeader",
    "s3cretInPlaceOfUser",
];

fn all_files(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all_files(&path, found)?;
        } else {
            found.push(String::from_utf8_lossy(&fs::read(&path)?).into_owned());
        }
    }
    Ok(())
}

fn call_with_secrets(base: &str) -> Result<()> {
    let url = format!("{base}/status/401?token=s3cretQuery&page=s3cretQuery#f");
    curl(&["-u", "ada:s3cretPassword", &url])?;
    curl(&["-u", "s3cretInPlaceOfUser:", &url])?;
    curl(&["-H", "Authorization: Bearer s3cretBearer", &url])?;
    curl(&[
        "-H",
        "X-Api-Key: s3cretApiKey",
        "-b",
        "sid=s3cretCookie",
        &url,
    ])?;
    curl(&[
        "-H",
        "X-Custom: s3cretCustomHeader",
        "-d",
        "password=s3cretBody",
        &url,
    ])?;
    // And where parsing fails in the middle of it.
    curl(&["-H", "Authorization: Bearer\ts3cretBearer\x01", &url])?;
    Ok(())
}

#[test]
fn no_secret_is_in_anything_the_agent_writes() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let agent = Agent::launch(Launch::talkative())?;
    for base in [nginx.url(""), nginx.tls_url("")] {
        for _ in 0..10 {
            call_with_secrets(&base)?;
        }
    }
    for port in [nginx.http, nginx.https] {
        let call = agent.wait_for_call("a call", Duration::from_secs(6), |call| {
            call.served_by(port) && call.auth.scheme.as_deref() == Some("api_key")
        })?;
        // Keys are kept: otherwise nothing was shown about values.
        let query = call.query.as_deref().unwrap_or_default();
        ensure!(query.contains("token") && query.contains("page"), "{call}");
    }
    std::thread::sleep(Duration::from_millis(500));
    let mut places = vec![("metrics", agent.metrics()?.text)];
    let mut kept = Vec::new();
    all_files(&agent.state_folder(), &mut kept)?;
    places.extend(kept.into_iter().map(|text| ("state folder", text)));
    let ended = agent.stop()?;
    ensure!(ended.calls.len() >= 100, "only {} calls", ended.calls.len());
    places.push(("standard output", ended.stdout));
    places.push(("standard error", ended.stderr));
    for secret in SECRETS {
        let mut forms = vec![secret.to_owned(), STANDARD.encode(secret)];
        forms.push(STANDARD.encode(format!("ada:{secret}")));
        forms.push(STANDARD.encode(format!("{secret}:")));
        for (place, text) in &places {
            for form in &forms {
                let form = form.trim_end_matches('=');
                ensure!(!text.contains(form), "{secret} is in {place}, as {form}");
            }
        }
    }
    Ok(())
}
