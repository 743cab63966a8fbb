//! Clients whose first data comes in the packet that ends the TCP handshake, which the kernel
//! hands to the listening socket: because the server asked for it (`TCP_DEFER_ACCEPT`, Apache's
//! default) or because the client saves an acknowledgement (many proxies do).

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::running::run_ok;
use observer_tests::wire::Wire;
use observer_tests::{Agent, Agreement, Apache, Nginx, curl, live};

/// Connects with the last acknowledgement held back, sends the line given, prints the answer.
const CLIENT: &str = r#"
import socket, sys
for data in sys.argv[2:]:
    s = socket.socket()
    s.settimeout(3)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    s.connect(("127.0.0.1", int(sys.argv[1])))
    s.sendall(data.encode().decode("unicode_escape").encode("latin-1"))
    try:
        s.recv(4096)
    except OSError:
        pass
    s.close()
"#;

fn send_with_handshake(port: u16, data: &[&str]) -> Result<()> {
    run_ok(
        Command::new("python3")
            .args(["-c", CLIENT, &port.to_string()])
            .args(data)
            .stdin(Stdio::null()),
        Duration::from_secs(30),
    )?;
    Ok(())
}

#[test]
fn a_request_in_the_packet_that_ends_the_handshake_is_seen() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "python3"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let agent = Agent::start()?;
    let request = r"GET /status/200?early=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    send_with_handshake(nginx.http, &[request; 5])?;
    ensure!(
        Agreement::of(&agent, &nginx.log, nginx.http)
            .reached()?
            .len()
            == 5
    );
    Ok(())
}

/// What the kernel half takes for something else than HTTP.
const NO_HTTP: [&str; 3] = [
    r"\x00\x01\x02\x03binary",
    r"SSH-2.0-client\r\n",
    r"\x16\x03\x01\x00\x05hello",
];

#[test]
fn other_protocols_in_that_packet_do_not_hide_later_calls_to_the_port() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "python3"]) else {
        return Ok(());
    };
    for data in NO_HTTP {
        let nginx = Nginx::start(1)?;
        let agent = Agent::start()?;
        send_with_handshake(nginx.http, &[data])?;
        send_with_handshake(nginx.https, &[data])?;
        for (url, port) in [
            (nginx.url("/status/418"), nginx.http),
            (nginx.tls_url("/status/418"), nginx.https),
        ] {
            curl(&[&url, &url])?;
            agent.wait_for_call(
                &format!("calls after {data}"),
                Duration::from_secs(6),
                |call| call.served_by(port) && call.status == Some(418),
            )?;
        }
    }
    Ok(())
}

#[test]
fn other_protocols_do_not_hide_later_calls_to_a_server_that_defers_accepting() -> Result<()> {
    let Some(_turn) = live(&["apache2", "openssl"]) else {
        return Ok(());
    };
    let apache = Apache::start()?;
    apache.file("page", 10)?;
    let agent = Agent::start()?;
    for port in [apache.http, apache.https] {
        let mut wire = Wire::connect(port)?;
        wire.send(b"SSH-2.0-client\r\n")?;
        wire.read_to_end(4096);
    }
    for (url, port) in [
        (apache.url("/page"), apache.http),
        (apache.tls_url("/page"), apache.https),
    ] {
        curl(&["-o", "/dev/null", &url, "-o", "/dev/null", &url])?;
        agent.wait_for_call("the calls after", Duration::from_secs(6), |call| {
            call.served_by(port) && call.path == "/page" && call.status == Some(200)
        })?;
    }
    Ok(())
}
