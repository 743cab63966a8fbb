//! What bodies name, and what goes over WebSocket, behind nginx: exact counts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use observer_tests::call::listed;
use observer_tests::{Agent, Call, Nginx, Running, Script, ScriptServer, curl, live, wait};

const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(10);

fn started() -> Result<(ScriptServer, Nginx)> {
    let server = Script::operations().start()?;
    let front = Nginx::start_with(
        2,
        &format!(
            "location / {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; }}",
            server.port
        ),
    )?;
    Ok((server, front))
}

/// What a call asked for, and the error that it was told.
fn told(call: &Call) -> String {
    let error = call.error.as_ref();
    format!(
        "{} {} {}:{}",
        call.operation.as_deref().unwrap_or("-"),
        call.status.unwrap_or_default(),
        error
            .and_then(|error| error.source.as_deref())
            .unwrap_or("-"),
        error.and_then(|error| error.code.as_deref()).unwrap_or("-"),
    )
}

#[test]
fn operations_and_errors_of_bodies_are_told_at_both_servers() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "python3"]) else {
        return Ok(());
    };
    let (server, front) = started()?;
    let agent = Agent::start()?;
    let soap = |body: &str| {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}</s:Body></s:Envelope>"
        )
    };
    let (get, fail) = (soap("<m:GetPrice xmlns:m=\"urn:m\"/>"), soap("<Fail/>"));
    for _ in 0..ROUNDS {
        for (path, kind, body) in [
            ("/soap", "text/xml", get.as_str()),
            ("/soap", "text/xml", &fail),
            (
                "/rpc",
                "application/json",
                r#"{"jsonrpc":"2.0","id":1,"method":"sum"}"#,
            ),
            (
                "/rpc",
                "application/json",
                r#"{"jsonrpc":"2.0","id":1,"method":"none"}"#,
            ),
            (
                "/graphql",
                "application/json",
                r#"{"query":"query Me { me }"}"#,
            ),
            (
                "/graphql",
                "application/json",
                r#"{"query":"mutation Set { secret }"}"#,
            ),
            (
                "/token",
                "application/x-www-form-urlencoded",
                "username=ann&password=hunter2",
            ),
        ] {
            let kind = format!("Content-Type: {kind}");
            curl(&["-H", &kind, "-d", body, &front.url(path)])?;
        }
    }
    let expected = [
        "GetPrice 200 -:-",
        "Fail 500 soap:s:Client",
        "sum 200 -:-",
        "none 200 jsonrpc:-32601",
        "query Me 200 -:-",
        "mutation Set 200 graphql:FORBIDDEN",
        "- 400 oauth:invalid_grant",
    ];
    for port in [front.http, server.port] {
        let seen = |call: &Call| call.served_by(port);
        wait::until("all calls", LIMIT, || {
            let calls = agent.calls_where(seen).ok()?;
            (calls.len() >= expected.len() * ROUNDS).then_some(())
        })?;
        let calls = agent.calls_where(seen)?;
        ensure!(calls.len() == expected.len() * ROUNDS, "{}", listed(&calls));
        for line in expected {
            let count = calls.iter().filter(|call| told(call) == line).count();
            ensure!(count == ROUNDS, "{line}: {count}\n{}", listed(&calls));
        }
    }
    ensure!(!agent.written().contains("hunter2"));
    Ok(())
}

/// The two ways of a connection.
type Stream = (Box<dyn Read>, Box<dyn Write>);

/// Opens a WebSocket, sends frames of several kinds, each of which must come back, and returns how
/// many bytes were in them.
fn echoed((mut from, mut to): Stream) -> Result<u64> {
    to.write_all(
        b"GET /live HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    to.flush()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", head.escape_ascii());
    let mut sent = 0;
    for (first, text) in [
        (0x81, &b"hello"[..]),
        (0x82, &[7; 300]),
        (0x89, b"ping"),
        (0x81, b"bye"),
        (0x88, &[3, 0xe8]),
    ] {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        if text.len() > 125 {
            frame.push(0x80 | 126);
            frame.extend((text.len() as u16).to_be_bytes());
        } else {
            frame.push(0x80 | text.len() as u8);
        }
        frame.extend(mask);
        frame.extend(
            text.iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        to.write_all(&frame)?;
        to.flush()?;
        let mut echo = vec![0; frame.len() - mask.len()];
        from.read_exact(&mut echo)?;
        ensure!(echo.ends_with(text));
        sent += text.len() as u64;
    }
    Ok(sent)
}

fn websocket(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "python3"]) else {
        return Ok(());
    };
    let (server, front) = started()?;
    let agent = Agent::start()?;
    let (port, scheme) = if tls {
        (front.https, "https")
    } else {
        (front.http, "http")
    };
    let mut client = None;
    let stream: Stream = if tls {
        // It passes on what it is given and hands out what comes, and does not wait for ever.
        let mut command = Command::new("timeout");
        command
            .args(["60", "openssl", "s_client"])
            .args(["-quiet", "-nocommands", "-no_ign_eof"])
            .args(["-connect", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let running = client.insert(Running::start("openssl s_client", &mut command)?);
        let child = running.child();
        let from = child.stdout.take().context("no output")?;
        let to = child.stdin.take().context("no input")?;
        (Box::new(from), Box::new(to))
    } else {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        (Box::new(stream.try_clone()?), Box::new(stream))
    };
    let sent = echoed(stream)?;
    drop(client);
    for (port, scheme) in [(port, scheme), (server.port, "http")] {
        let call = agent.wait_for_call("the connection", LIMIT, |call| {
            call.served_by(port) && call.path == "/live"
        })?;
        ensure!(call.status == Some(101) && call.scheme == scheme, "{call}");
        ensure!(
            call.request_bytes == Some(sent) && call.response_bytes == Some(sent),
            "{call}"
        );
        ensure!(
            call.request_messages == Some(3) && call.response_messages == Some(3),
            "{call}"
        );
        let websocket = call.websocket.as_ref().context("no frames")?;
        ensure!(
            websocket.client_frames == 5 && websocket.server_frames == 5,
            "{websocket:?}"
        );
        ensure!(websocket.close_code == Some(1000), "{websocket:?}");
        let calls = agent.calls_where(|call| call.served_by(port))?;
        ensure!(calls.len() == 1, "{}", listed(&calls));
    }
    Ok(())
}

#[test]
fn a_websocket_through_nginx_is_one_call_with_its_messages() -> Result<()> {
    websocket(false)
}

#[test]
fn a_websocket_through_nginx_and_tls_is_one_call_with_its_messages() -> Result<()> {
    websocket(true)
}
