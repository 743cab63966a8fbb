//! What a caller keeps secret, and what a body or a query holds, is in nothing the agent writes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use observer_tests::{Agent, Launch, Nginx, agent, curl, live, wait};

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
    wait::until("all calls", Duration::from_secs(30), || {
        (agent.calls().ok()?.len() >= 100).then_some(())
    })?;
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

/// Ways to send a secret: lines of a curl configuration, with `@` for the secret.
const CARRIERS: [&str; 25] = [
    "user = \"ana:@\"",
    "user = \"@:\"",
    "header = \"Authorization: Bearer @\"",
    "header = \"Authorization: token @\"",
    "header = \"Authorization: @\"",
    "header = \"Authorization: Digest username=\\\"ana\\\", realm=\\\"r\\\", nonce=\\\"n\\\", uri=\\\"/\\\", response=\\\"@\\\"\"",
    "header = \"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu/s3/aws4_request, SignedHeaders=host, Signature=@\"",
    "header = \"Authorization: SharedKey account:@\"",
    "header = \"Authorization: Negotiate @\"",
    "header = \"Authorization: DPoP @\"",
    "header = \"Proxy-Authorization: Bearer @\"",
    "header = \"X-Api-Key: @\"",
    "header = \"X-Acme-Access-Token: @\"",
    "header = \"X-Amz-Security-Token: @\"",
    "header = \"X-Custom: @\"",
    "header = \"X-Forwarded-For: @\"",
    "header = \"X-Forwarded-Client-Cert: Hash=1;Cert=@\"",
    "header = \"Sec-WebSocket-Protocol: graphql-ws, bearer.@\"",
    "header = \"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.@\"",
    "header = \"Referer: http://shop.example/?token=@\"",
    "cookie = \"session=@\"",
    "cookie = \"theme=@\"",
    "data = \"password=@&user=ana\"",
    "header = \"Content-Type: application/json\"\ndata = \"{\\\"password\\\":\\\"@\\\",\\\"user\\\":\\\"ana\\\"}\"",
    // In the URL: as a value of a query.
    "",
];
/// Secrets sent each way.
const EACH: usize = 20;
/// Characters of a secret; so much of it is enough to be found by.
const LENGTH: usize = 30;
const FOUND_BY: usize = 12;

/// Random letters and digits, the same each time.
fn seeded() -> Vec<String> {
    const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state >> 33) as usize % LETTERS.len()])
    };
    (0..CARRIERS.len() * EACH)
        .map(|_| (0..LENGTH).map(|_| letter()).collect())
        .collect()
}

/// One run of curl for all of them, to this server.
fn calls_with(secrets: &[String], base: &str) -> String {
    let mut text = String::new();
    for (at, secret) in secrets.iter().enumerate() {
        let carrier = CARRIERS[at / EACH];
        let status = [200, 401, 403][at % 3];
        let url = if carrier.is_empty() {
            format!("{base}/status/{status}?access_token={secret}&page={at}")
        } else if at % 5 == 0 {
            // And in the path, after a word that announces one.
            format!("{base}/reset-password/{secret}")
        } else {
            format!("{base}/status/{status}")
        };
        text.push_str(&format!(
            "url = \"{url}\"\n{}\noutput = \"/dev/null\"\ninsecure\nnext\n",
            carrier.replace('@', secret)
        ));
    }
    text.truncate(text.len() - "next\n".len());
    text
}

/// Every form a secret may have in a text, by its first characters.
fn forms(secrets: &[String]) -> HashMap<[u8; FOUND_BY], usize> {
    let mut forms = HashMap::new();
    for (at, secret) in secrets.iter().enumerate() {
        let mut add = |text: &str| {
            for from in [0, text.len() / 2] {
                if let Some(part) = text.as_bytes()[from..].first_chunk() {
                    forms.insert(*part, at);
                }
            }
        };
        add(secret);
        // What depends on the secret alone, whatever stands before it.
        for before in ["", "a", "ab"] {
            let coded = STANDARD.encode(format!("{before}{secret}"));
            add(&coded[4..coded.len() - 4]);
        }
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        add(&hex);
    }
    forms
}

#[test]
fn five_hundred_secrets_in_every_carrier_are_in_nothing_the_agent_writes() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let secrets = seeded();
    ensure!(secrets.len() == 500);
    let nginx = Nginx::start(2)?;
    let agent = Agent::launch(Launch {
        arguments: vec!["--audit".to_owned()],
        ..Launch::talkative()
    })?;
    let folder = tempfile::tempdir()?;
    for (name, base) in [("http", nginx.url("")), ("https", nginx.tls_url(""))] {
        let file = folder.path().join(name);
        fs::write(&file, calls_with(&secrets, &base))?;
        curl(&["-K", &file.display().to_string()])?;
    }
    wait::until("all calls", Duration::from_secs(60), || {
        (agent.calls().ok()?.len() >= 950).then_some(())
    })?;
    for port in [nginx.http, nginx.https] {
        agent.wait_for_call("the last call", Duration::from_secs(30), |call| {
            let query = call.query.as_deref().unwrap_or_default();
            call.served_by(port) && query.contains("access_token") && call.status == Some(403)
        })?;
    }
    std::thread::sleep(Duration::from_millis(1500));
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid()))?;
    let cores = limits.lines().find(|line| line.contains("core file size"));
    let none =
        cores.is_some_and(|line| line.split_whitespace().filter(|word| *word == "0").count() == 2);
    ensure!(none, "the agent may leave a core: {limits}");
    let mut places = vec![("metrics", agent.metrics()?.text)];
    let state = agent.state_folder().display().to_string();
    let log = format!("{state}/audit");
    let observer = agent::binary()?;
    for command in [
        &["inventory", "--json", "--state-dir", &state][..],
        &["openapi", "nginx", "--state-dir", &state],
        // The log on the disk is compressed.
        &["audit", "export", &log, "--format", "ocsf"],
    ] {
        let output = Command::new(&observer).args(command).output()?;
        ensure!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        places.push((
            command[0],
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ));
    }
    let exported = places.last().map(|(_, text)| text.lines().count());
    ensure!(exported >= Some(900), "{exported:?} records");
    let mut kept = Vec::new();
    all_files(&agent.state_folder(), &mut kept)?;
    places.extend(kept.into_iter().map(|text| ("state folder", text)));
    let ended = agent.stop()?;
    ensure!(ended.calls.len() >= 950, "only {} calls", ended.calls.len());
    let named = ended
        .stdout
        .lines()
        .filter(|line| line.contains("\"fingerprint\""))
        .count();
    ensure!(named >= 500, "only {named} calls with a fingerprint");
    places.push(("standard output", ended.stdout));
    places.push(("standard error", ended.stderr));
    let forms = forms(&secrets);
    for (place, text) in &places {
        for window in text.as_bytes().windows(FOUND_BY) {
            if let Some(at) = window.first_chunk().and_then(|part| forms.get(part)) {
                let found = String::from_utf8_lossy(window);
                anyhow::bail!("{found} of {} is in {place}", CARRIERS[at / EACH]);
            }
        }
    }
    Ok(())
}
