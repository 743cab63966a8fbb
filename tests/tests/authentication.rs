//! What a credential's fate is called, and that a burst of failures is told.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::running::run_ok;
use observer_tests::{Agent, Nginx, curl, live, wait};

/// Failures of one client in a row; more than any sensible limit.
const BURST: usize = 60;

/// nginx that lets `ada` with the password `right-password` in.
fn guarded() -> Result<Nginx> {
    // Read by nginx at each call, so it may come after the start.
    let nginx = Nginx::start_with(
        2,
        "location /private/ { auth_basic 'private'; auth_basic_user_file root/users; \
         try_files /page.txt =404; }",
    )?;
    let hash = run_ok(
        Command::new("openssl").args(["passwd", "-apr1", "right-password"]),
        Duration::from_secs(5),
    )?;
    fs::write(nginx.root().join("users"), format!("ada:{}\n", hash.trim()))?;
    nginx.file("page.txt", 10)?;
    Ok(nginx)
}

/// The scheme and outcome of the call with this path.
fn outcome(agent: &Agent, port: u16, path: &str) -> Result<(String, String)> {
    let call = agent.wait_for_call(path, Duration::from_secs(6), |call| {
        call.served_by(port) && call.path == path
    })?;
    let auth = call.auth.clone();
    Ok((
        auth.scheme.context("no scheme")?,
        auth.outcome.context("no outcome")?,
    ))
}

fn fates(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = guarded()?;
    let agent = Agent::start()?;
    let (base, port) = if tls {
        (nginx.tls_url(""), nginx.https)
    } else {
        (nginx.url(""), nginx.http)
    };
    let bearer = "Authorization: Bearer some.signed.token";
    let key = "X-Api-Key: some-api-key";
    let cases: [(&str, &[&str], &str, &str); 10] = [
        ("/status/200", &[], "none", "none"),
        ("/private/no-credential", &[], "none", "challenge"),
        (
            "/private/wrong",
            &["-u", "ada:wrong-password"],
            "basic",
            "failed",
        ),
        (
            "/private/right",
            &["-u", "ada:right-password"],
            "basic",
            "success",
        ),
        ("/status/401", &["-H", bearer], "bearer", "failed"),
        ("/status/403", &["-H", bearer], "bearer", "denied"),
        ("/status/429", &["-H", key], "api_key", "throttled"),
        ("/status/201", &["-H", key], "api_key", "success"),
        ("/status/500", &["-H", bearer], "bearer", "unknown"),
        (
            "/redirect",
            &["-b", "sessionid=some-session"],
            "cookie",
            "success",
        ),
    ];
    for (path, arguments, ..) in cases {
        let mut all = arguments.to_vec();
        let url = format!("{base}{path}");
        all.push(&url);
        curl(&all)?;
    }
    for (path, _, scheme, expected) in cases {
        let (sent, became) = outcome(&agent, port, path)?;
        ensure!(sent == scheme, "{path}: sent {sent}, not {scheme}");
        // A redirect says nothing bad of a session, nor anything good.
        let enough = became == expected || (path == "/redirect" && became == "unknown");
        ensure!(enough, "{path}: became {became}, not {expected}");
    }
    let metrics = agent.metrics()?;
    for (scheme, outcome, at_least) in [
        ("none", "challenge", 1.0),
        ("basic", "failed", 1.0),
        ("basic", "success", 1.0),
        ("bearer", "failed", 1.0),
        ("bearer", "denied", 1.0),
        ("api_key", "throttled", 1.0),
    ] {
        let labels = [("scheme", scheme), ("outcome", outcome)];
        let counted = metrics.sum("observer_auth_total", &labels);
        ensure!(counted >= at_least, "{labels:?}: {counted}");
    }
    Ok(())
}

#[test]
fn the_fate_of_each_credential_is_told_over_http() -> Result<()> {
    fates(false)
}

#[test]
fn the_fate_of_each_credential_is_told_over_https() -> Result<()> {
    fates(true)
}

#[test]
fn a_burst_of_failures_raises_a_finding() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = guarded()?;
    let agent = Agent::start()?;
    let urls = vec![nginx.url("/private/page"); BURST];
    let mut arguments = vec!["-u".to_owned(), "ada:guess".to_owned()];
    arguments.extend(urls);
    curl(&arguments)?;
    let findings = wait::until("a finding", Duration::from_secs(6), || {
        agent
            .findings()
            .ok()
            .filter(|findings| !findings.is_empty())
    })
    .with_context(|| agent.diagnostics())?;
    let told = findings[0].to_string();
    ensure!(
        told.contains("127.0.0.1"),
        "the finding does not name the client: {told}"
    );
    ensure!(
        findings.len() <= 3,
        "one burst, told {} times",
        findings.len()
    );
    let metrics = agent.metrics()?;
    ensure!(
        metrics.sum("observer_findings_total", &[]) >= 1.0,
        "not counted"
    );
    Ok(())
}

#[test]
fn calls_without_credential_or_with_a_good_one_are_no_attack() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = guarded()?;
    let agent = Agent::start()?;
    // A browser's first call is answered by a challenge, its second succeeds: no attack.
    curl(&vec![nginx.url("/private/page"); BURST])?;
    let mut arguments = vec!["-u".to_owned(), "ada:right-password".to_owned()];
    arguments.extend(vec![nginx.url("/private/page"); BURST]);
    curl(&arguments)?;
    wait::until("the calls", Duration::from_secs(6), || {
        let calls = agent.calls_where(|call| call.served_by(nginx.http)).ok()?;
        (calls.len() == 2 * BURST).then_some(())
    })?;
    let mut findings = agent.findings()?;
    // That the page takes passwords at all is told, once; it is no attack.
    let basic = findings
        .iter()
        .filter(|found| found["rule"] == "basic_auth");
    ensure!(basic.count() <= 1, "{findings:?}");
    findings.retain(|found| found["rule"] != "basic_auth");
    ensure!(findings.is_empty(), "{findings:?}");
    Ok(())
}
