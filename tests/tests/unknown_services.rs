//! Services that nobody configured, in PHP, Java and Node, are in the inventory seconds after
//! their first call, and the document learned of one is the one that it was made from.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_tests::{Agent, Certificate, Launch, Running, agent, curl, live, port, pypi, wait};
use serde_json::Value;

/// A call is listed after so long at most.
const LISTED: Duration = Duration::from_secs(5);
/// Java compiles its source first.
const START: Duration = Duration::from_secs(60);

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// A server program that listens on the port that is its last argument or in it.
fn serve(program: &str, arguments: &[&str], port: u16) -> Result<Running> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(programs())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let running = Running::start(program, &mut command)?;
    wait::until(&format!("{program} to listen"), START, || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    })?;
    Ok(running)
}

fn ask(arguments: &[&str]) -> Result<String> {
    let output = Command::new(agent::binary()?).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The service of this name, once it has this endpoint with a caller; measured from now.
fn listed(state: &str, name: &str, endpoint: &str) -> Result<Value> {
    let start = Instant::now();
    loop {
        let told = ask(&["inventory", "--json", "--state-dir", state]).unwrap_or_default();
        let all: Value = serde_json::from_str(&told).unwrap_or_default();
        let service = &all["services"][name];
        if service["endpoints"][endpoint]["callers"].is_object() {
            println!("{name}: listed after {} ms", start.elapsed().as_millis());
            return Ok(service.clone());
        }
        ensure!(start.elapsed() < LISTED, "{name} is not listed: {told}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn package(service: &Value) -> String {
    let programs = service["programs"].as_object().into_iter().flatten();
    let mut packages = programs.filter_map(|(_, program)| program["package"].as_str());
    packages.next().unwrap_or_default().to_owned()
}

#[test]
fn services_in_php_java_and_node_are_listed_within_seconds() -> Result<()> {
    let Some(_turn) = live(&["php", "java", "node"]) else {
        return Ok(());
    };
    let (php_port, java_port, node_port) = (port::free(), port::free(), port::free());
    let _php = serve(
        "php",
        &["-S", &format!("127.0.0.1:{php_port}"), "server.php"],
        php_port,
    )?;
    let _java = serve("java", &["Server.java", &java_port.to_string()], java_port)?;
    let certificate = Certificate::new()?;
    let (chain, key) = (certificate.chain(), certificate.key());
    let node_arguments = [
        "shop.js",
        &node_port.to_string(),
        &chain.display().to_string(),
        &key.display().to_string(),
    ];
    let _node = serve("node", &node_arguments, node_port)?;
    let agent = Agent::launch(Launch::default())?;
    let state = agent.state_folder().display().to_string();

    curl(&[
        "-u",
        "ana:pw",
        &format!("http://127.0.0.1:{php_port}/articles/17"),
    ])?;
    let php = listed(&state, "php", "GET /articles/{id}")?;
    curl(&[&format!("http://127.0.0.1:{java_port}/invoices/2026-11-22")])?;
    let java = listed(&state, "java", "GET /invoices/{date}")?;
    curl(&[&format!("https://127.0.0.1:{node_port}/v1/orders/17")])?;
    let node = listed(&state, "node", "GET /v1/orders/{id}")?;

    ensure!(package(&php).starts_with("php"), "{php:#}");
    ensure!(package(&java).contains("jre"), "{java:#}");
    ensure!(package(&node).starts_with("node"), "{node:#}");
    ensure!(php.to_string().contains("basic:ana"), "{php:#}");
    ensure!(java.to_string().contains("address:127.0.0.1"), "{java:#}");
    let tls = node["tls"].as_object().context("no TLS")?;
    ensure!(
        tls.keys()
            .any(|name| name.starts_with("openssl 3") && name.contains("TLSv1")),
        "{node:#}"
    );
    for (service, port) in [(&php, php_port), (&java, java_port), (&node, node_port)] {
        let listening = service["listening"].to_string();
        ensure!(listening.contains(&format!(":{port}\"")), "{service:#}");
        ensure!(service["first_seen_ms"].as_u64() > Some(0), "{service:#}");
    }
    agent.stop()?;
    Ok(())
}

/// Method and path of each operation, parameters without their names.
fn operations(document: &Value, base: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let plain: Vec<&str> = path
            .split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part })
            .collect();
        for method in ["get", "post", "put", "delete", "patch"] {
            if item[method].is_object() {
                found.insert(format!("{method} {base}{}", plain.join("/")));
            }
        }
    }
    found
}

#[test]
fn the_learned_document_is_the_one_the_service_was_made_from() -> Result<()> {
    let Some(_turn) = live(&["node", "pypi:openapi-spec-validator"]) else {
        return Ok(());
    };
    let port = port::free();
    let _node = serve("node", &["shop.js", &port.to_string()], port)?;
    let agent = Agent::launch(Launch::default())?;
    let state = agent.state_folder().display().to_string();
    let base = format!("http://127.0.0.1:{port}/v1");
    curl(&[format!("{base}/orders?page=[1-5]&state=open")])?;
    curl(&[
        "-H",
        "Authorization: Bearer t0k3n-0f-4na",
        "-d",
        "{}",
        &format!("{base}/orders"),
    ])?;
    curl(&[format!("{base}/orders/[1-40]")])?;
    curl(&["-X", "DELETE", &format!("{base}/orders/[1-3]")])?;
    curl(&[format!(
        "{base}/customers/550e8400-e29b-41d4-a716-4466554400[10-30]/addresses"
    )])?;
    curl(&[format!("{base}/.env"), format!("{base}/wp-login.php")])?;
    curl(&[format!("{base}/internal/dump")])?;
    listed(&state, "node", "GET /v1/internal/dump")?;

    let known: Value = serde_json::from_str(&fs::read_to_string(programs().join("shop.json"))?)?;
    let text = ask(&["openapi", "node", "--state-dir", &state])?;
    let learned: Value = serde_json::from_str(&text)?;
    let mut expected = operations(&known, "/v1");
    expected.remove("get /v1/reports/yearly");
    expected.insert("get /v1/internal/dump".to_owned());
    let found = operations(&learned, "");
    ensure!(found == expected, "{found:#?} {expected:#?}");
    let orders = &learned["paths"]["/v1/orders"];
    let parameters = orders["get"]["parameters"].to_string();
    ensure!(
        parameters.contains("\"page\"") && parameters.contains("\"state\""),
        "{text}"
    );
    let order = &learned["paths"]["/v1/orders/{id}"]["get"]["parameters"][0]["schema"];
    ensure!(order["type"] == "integer", "{text}");
    ensure!(!text.contains("t0k3n") && text.contains("bearer"), "{text}");

    // By somebody else's idea of such a document.
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("node.json");
    fs::write(&file, &text)?;
    let python = pypi::program("python").context("no python")?;
    let checked = Command::new(python)
        .args(["-m", "openapi_spec_validator"])
        .arg(&file)
        .output()?;
    ensure!(
        checked.status.success(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );

    // What is documented, what is not, what is deprecated, and what nobody calls.
    let documents = folder.path().join("documents");
    fs::create_dir(&documents)?;
    fs::copy(programs().join("shop.json"), documents.join("node.json"))?;
    let settings = folder.path().join("observer.toml");
    fs::write(&settings, format!("[catalog]\nopenapi = {documents:?}\n"))?;
    let told = ask(&[
        "inventory",
        "--json",
        "--state-dir",
        &state,
        "--config",
        &settings.display().to_string(),
    ])?;
    let told: Value = serde_json::from_str(&told)?;
    let node = &told["services"]["node"];
    let states = |endpoint: &str| node["endpoints"][endpoint]["states"].to_string();
    for (endpoint, state) in [
        ("GET /v1/orders", "documented"),
        ("GET /v1/customers/{uuid}/addresses", "documented"),
        ("GET /v1/internal/dump", "shadow"),
        ("DELETE /v1/orders/{id}", "zombie"),
    ] {
        ensure!(states(endpoint).contains(state), "{endpoint}: {node:#}");
    }
    ensure!(
        node["orphans"].to_string().contains("/v1/reports/yearly"),
        "{node:#}"
    );
    agent.stop()?;
    Ok(())
}
