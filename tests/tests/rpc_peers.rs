//! Remote procedure calls between the servers and clients that people use: gRPC by grpcio and by
//! grpc-js, each with each, with TLS and without; SOAP by PHP. Exact counts.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use observer_tests::call::listed;
use observer_tests::running::run_ok;
use observer_tests::{
    Agent, Call, Certificate, Nginx, Running, live, npm, port, prerequisites, pypi, wait,
};

const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(40);

/// Method, status, messages of the request and of the answer, of one round. grpcio sends nothing
/// after a refusal, so what a client sent before it is told as it was.
const ROUND: [(&str, u32, Option<u64>); 7] = [
    ("Say", 0, Some(1)),
    ("Missing", 5, Some(0)),
    ("Refuse", 16, Some(0)),
    ("Unknown", 12, Some(0)),
    ("Count", 0, Some(3)),
    ("Collect", 0, Some(1)),
    ("Echo", 0, Some(2)),
];

#[derive(Clone, Copy, Debug)]
enum Peer {
    Python,
    Node,
}

impl Peer {
    fn command(self, what: &str, port: u16, certificate: Option<&Certificate>) -> Result<Command> {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
        let mut command = match self {
            Self::Python => {
                let mut command = Command::new(pypi::program("python").context("no python")?);
                command.arg(programs.join("grpc_peer.py"));
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(programs.join("grpc_peer.js"));
                command.env("NODE_PATH", npm::modules().context("no modules")?);
                command
            }
        };
        command.args([what, "--port", &port.to_string()]);
        if let Some(certificate) = certificate {
            command.arg("--cert").arg(certificate.chain());
            command.arg("--key").arg(certificate.key());
        }
        Ok(command)
    }
}

/// Starts a server and waits until it says that it listens.
fn serve(mut command: Command) -> Result<Running> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut running = Running::start("a server", &mut command)?;
    let stdout = running.child().stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    ensure!(line.trim() == "listening", "it said {line:?}");
    Ok(running)
}

fn grpc(server: Peer, client: Peer, agent: &Agent, tls: bool) -> Result<()> {
    let certificate = if tls { Some(Certificate::new()?) } else { None };
    let port = port::free();
    let _server = serve(server.command("serve", port, certificate.as_ref())?)?;
    let mut call = client.command("call", port, certificate.as_ref())?;
    call.args(["--rounds", &ROUNDS.to_string()]);
    run_ok(&mut call, LIMIT)?;
    let what = format!("{server:?} asked by {client:?}, TLS {tls}");
    let seen = |call: &Call| call.served_by(port);
    wait::until("all calls", LIMIT, || {
        let calls = agent.calls_where(seen).ok()?;
        (calls.len() >= ROUND.len() * ROUNDS).then_some(())
    })
    .with_context(|| {
        format!(
            "{what}: {}",
            listed(&agent.calls_where(seen).unwrap_or_default())
        )
    })?;
    let calls = agent.calls_where(seen)?;
    ensure!(
        calls.len() == ROUND.len() * ROUNDS,
        "{what}: {}",
        listed(&calls)
    );
    for (method, status, answers) in ROUND {
        let operation = format!("lab.Voice/{method}");
        let of_method: Vec<_> = calls
            .iter()
            .filter(|call| {
                call.protocol == "grpc"
                    && call.operation.as_deref() == Some(operation.as_str())
                    && call.grpc_status == Some(status)
                    && call.response_messages == answers
            })
            .collect();
        ensure!(
            of_method.len() == ROUNDS,
            "{what}: {method}: {} of {ROUNDS}: {}",
            of_method.len(),
            listed(&calls)
        );
        if status == 0 {
            let asked = match method {
                "Collect" => 4,
                "Echo" => 2,
                _ => 1,
            };
            ensure!(
                of_method
                    .iter()
                    .all(|call| call.request_messages == Some(asked)),
                "{what}: {}",
                listed(&calls)
            );
        }
    }
    Ok(())
}

#[test]
fn grpc_calls_are_counted_with_method_status_and_messages() -> Result<()> {
    let Some(_turn) = live(&["openssl", "node", "pypi:grpc", "npm:@grpc/grpc-js"]) else {
        return Ok(());
    };
    let agent = Agent::start()?;
    for server in [Peer::Python, Peer::Node] {
        for client in [Peer::Python, Peer::Node] {
            grpc(server, client, &agent, false)?;
        }
    }
    Ok(())
}

#[test]
fn grpc_calls_over_tls_are_counted_at_the_server() -> Result<()> {
    let Some(_turn) = live(&["openssl", "node", "pypi:grpc", "npm:@grpc/grpc-js"]) else {
        return Ok(());
    };
    let agent = Agent::start()?;
    grpc(Peer::Python, Peer::Node, &agent, true)?;
    grpc(Peer::Node, Peer::Python, &agent, true)
}

/// Calls of SOAP that PHP serves, through an nginx with TLS or not; they are counted at each server.
fn soap(through_tls: bool) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/soap.php");
    let agent = Agent::start()?;
    let port = port::free();
    let program = prerequisites::program("php").context("no php")?;
    let _server = Running::start(
        "php",
        Command::new(&program)
            .args(["-S", &format!("127.0.0.1:{port}")])
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    wait::until("the server", LIMIT, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    })?;
    let pass = format!("location / {{ proxy_pass http://127.0.0.1:{port}; }}");
    let front = if through_tls {
        Some(Nginx::start_with(1, &pass)?)
    } else {
        None
    };
    let url = front.as_ref().map_or_else(
        || format!("http://127.0.0.1:{port}"),
        |front| front.tls_url(""),
    );
    let mut client = Command::new(&program);
    client.arg(&script).args([url, ROUNDS.to_string()]);
    run_ok(&mut client, LIMIT)?;
    let expected = BTreeMap::from([
        ("/11 GetPrice 200 -".to_owned(), ROUNDS),
        ("/11 SetPrice 200 -".to_owned(), ROUNDS),
        ("/11 GetPrice 500 SOAP-ENV:Client".to_owned(), ROUNDS),
        ("/12 GetPrice 200 -".to_owned(), ROUNDS),
        ("/12 SetPrice 200 -".to_owned(), ROUNDS),
        ("/12 GetPrice 500 env:Sender".to_owned(), ROUNDS),
    ]);
    let all = |counted: &BTreeMap<String, usize>| counted.values().sum::<usize>();
    for (port, scheme) in [
        Some((port, "http")),
        front.as_ref().map(|front| (front.https, "https")),
    ]
    .into_iter()
    .flatten()
    {
        let counted = || {
            let mut counted = BTreeMap::new();
            for call in agent.calls_where(|call| call.served_by(port)).ok()? {
                let code = call.error.as_ref().and_then(|error| error.code.as_deref());
                let line = format!(
                    "{} {} {} {}",
                    call.path,
                    call.operation.as_deref().unwrap_or("-"),
                    call.status.unwrap_or_default(),
                    code.unwrap_or("-")
                );
                *counted.entry(line).or_insert(0) += 1;
            }
            Some(counted)
        };
        wait::until("all calls", LIMIT, || {
            counted().filter(|counted| all(counted) >= all(&expected))
        })
        .with_context(|| format!("{scheme}: {:#?}", counted()))?;
        let counted = counted().context("no calls")?;
        ensure!(counted == expected, "{scheme}: {counted:#?}");
        let calls = agent.calls_where(|call| call.served_by(port))?;
        ensure!(
            calls.iter().all(|call| call.scheme == scheme),
            "{}",
            listed(&calls)
        );
    }
    Ok(())
}

#[test]
fn soap_calls_are_counted_by_operation_and_fault() -> Result<()> {
    let Some(_turn) = live(&["php", "php:soap"]) else {
        return Ok(());
    };
    soap(false)
}

#[test]
fn soap_calls_through_tls_are_counted_by_operation_and_fault() -> Result<()> {
    let Some(_turn) = live(&["php", "php:soap", "nginx", "openssl"]) else {
        return Ok(());
    };
    soap(true)
}
