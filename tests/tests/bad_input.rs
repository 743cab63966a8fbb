//! What no decent client or server sends: the agent lives, stays small, counts what was odd, and
//! sees the next good call.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::wire::Wire;
use observer_tests::{Agent, Agreement, Call, Nginx, Script, curl, live, port, wait};

/// Peak memory the agent may reach, in KiB: the budget for 10,000 connections.
const MEMORY_KIB: u64 = 150 * 1024;
/// Connections opened and dropped.
const DROPPED: usize = 10_000;

/// Bytes that look random and are the same on every run (xorshift, Marsaglia 2003).
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// One good call, which must be seen; then alive and small.
fn still_well(agent: &mut Agent, port: u16) -> Result<()> {
    let path = "/status/409";
    curl(&[format!("http://127.0.0.1:{port}{path}")])?;
    agent.wait_for_call("the good call after", Duration::from_secs(6), |call| {
        call.served_by(port) && call.path == path && call.status == Some(409)
    })?;
    ensure!(agent.is_alive(), "{}", agent.diagnostics());
    let peak = agent.peak_memory_kib()?;
    ensure!(peak < MEMORY_KIB, "the agent took {peak} KiB");
    Ok(())
}

fn oddities(agent: &Agent) -> Result<f64> {
    Ok(agent.metrics()?.sum_of_counters("observer_pipeline"))
}

/// Each input on a connection of its own, to a server that drops what it does not understand.
fn survives(inputs: &[Vec<u8>]) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let mut agent = Agent::start()?;
    // Known first, so that the port is one the agent has seen HTTP on.
    still_well(&mut agent, nginx.http)?;
    let before = oddities(&agent)?;
    for input in inputs {
        let mut wire = Wire::connect(nginx.http)?;
        // The server may well close before the end.
        let _ = wire.send(input);
        std::thread::sleep(Duration::from_millis(30));
    }
    still_well(&mut agent, nginx.http)?;
    wait::until("the oddities to be counted", Duration::from_secs(5), || {
        oddities(&agent).ok().filter(|now| *now > before)
    })?;
    Ok(())
}

#[test]
fn garbage_and_binary_on_an_http_port_are_survived_and_counted() -> Result<()> {
    let mut inputs: Vec<Vec<u8>> = (1..20).map(|n| noise(n * 97)).collect();
    inputs.push(noise(500_000));
    // Begins as HTTP does, and goes on as nothing does.
    inputs.push([b"GET / HTTP/1.1\r\n".as_slice(), &noise(5000)].concat());
    inputs.push(
        [
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            &noise(5000)[..],
        ]
        .concat(),
    );
    survives(&inputs)
}

#[test]
fn half_a_request_is_survived_and_counted() -> Result<()> {
    let whole = b"POST /accept HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345";
    let inputs: Vec<Vec<u8>> = (1..=whole.len()).map(|end| whole[..end].to_vec()).collect();
    survives(&inputs)
}

#[test]
fn a_header_of_1_mb_is_survived_and_counted() -> Result<()> {
    let long = vec![b'a'; 1 << 20];
    survives(&[
        [b"GET / HTTP/1.1\r\nX-Long: ", &long[..], b"\r\n\r\n"].concat(),
        [b"GET /", &long[..], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
        [&long[..], b" / HTTP/1.1\r\n\r\n"].concat(),
    ])
}

#[test]
fn nuls_and_control_bytes_are_survived_and_counted() -> Result<()> {
    survives(&[
        vec![0; 10_000],
        b"GET /\0\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHo\0st: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: \x01\x02\x1b[2J\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage of a TLS client".to_vec(),
    ])
}

#[test]
fn ten_thousand_dropped_connections_are_survived() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(4)?;
    let mut agent = Agent::start()?;
    for n in 0..DROPPED {
        let mut stream = TcpStream::connect(("127.0.0.1", nginx.http))?;
        if n % 3 == 0 {
            let _ = stream.write_all(b"GET /half");
        }
    }
    still_well(&mut agent, nginx.http)
}

/// A server that answers with these bytes and closes.
fn answering(answer: &'static [u8]) -> Result<u16> {
    let port = port::free();
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten().take(2) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    Ok(port)
}

fn cut_answer(answer: &'static [u8], wanted: impl Fn(&Call) -> bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let port = answering(answer)?;
    let mut agent = Agent::start()?;
    let mut wire = Wire::connect(port)?;
    wire.send(b"GET /cut HTTP/1.1\r\nHost: x\r\n\r\n")?;
    wire.read_to_end(1 << 16);
    drop(wire);
    agent.wait_for_call("the call that was cut", Duration::from_secs(6), |call| {
        call.served_by(port) && call.path == "/cut" && wanted(call)
    })?;
    still_well(&mut agent, nginx.http)
}

#[test]
fn a_server_that_closes_within_its_body_leaves_a_cut_call() -> Result<()> {
    cut_answer(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this",
        |call| {
            call.status == Some(200)
                && call.response_bytes == Some(9)
                && call.flags.iter().any(|flag| flag == "response_cut")
        },
    )
}

#[test]
fn a_server_that_closes_within_its_head_leaves_a_call_without_status() -> Result<()> {
    cut_answer(b"HTTP/1.1 200 OK\r\nContent-Le", |call| {
        call.flags
            .iter()
            .any(|flag| flag == "response_cut" || flag == "no_response")
    })
}

#[test]
fn a_server_that_closes_without_a_word_leaves_an_unanswered_call() -> Result<()> {
    cut_answer(b"", |call| {
        call.status.is_none() && call.flags.iter().any(|flag| flag == "no_response")
    })
}

#[test]
fn hostile_bytes_inside_tls_are_survived() -> Result<()> {
    let Some(_turn) = live(&["node", "nginx", "openssl", "timeout"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let server = Script::node().with_tls().start()?;
    let mut agent = Agent::start()?;
    for port in [server.port, nginx.https] {
        for input in [
            noise(3000),
            vec![0; 3000],
            b"GET / HTTP/9.9\r\nx\r\n\r\n".to_vec(),
        ] {
            let mut wire = Wire::connect_tls(port)?;
            let _ = wire.send(&input);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    curl(&[server.url("/status/200"), server.url("/bytes/3")])?;
    wait::until("the good calls", Duration::from_secs(6), || {
        let good =
            agent.calls_where(|call| call.served_by(server.port) && call.status == Some(200));
        good.ok().filter(|calls| calls.len() == 2)
    })?;
    curl(&[nginx.tls_url("/status/200")])?;
    agent.wait_for_call("the good call at nginx", Duration::from_secs(6), |call| {
        call.served_by(nginx.https) && call.status == Some(200)
    })?;
    still_well(&mut agent, nginx.http)
}

#[test]
fn a_good_server_next_to_bad_input_is_counted_exactly() -> Result<()> {
    let Some(_turn) = live(&["python3", "nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let server = Script::python().keeping_alive().start()?;
    let agent = Agent::start()?;
    let bad = nginx.http;
    let noise_maker = std::thread::spawn(move || {
        for n in 1..200 {
            if let Ok(mut wire) = Wire::connect(bad) {
                let _ = wire.send(&noise(n * 50));
            }
        }
    });
    let urls: Vec<String> = (0..150)
        .map(|n| server.url(&format!("/bytes/{n}")))
        .collect();
    curl(&urls)?;
    let _ = noise_maker.join();
    ensure!(
        Agreement::of(&agent, &server.log, server.port)
            .reached()?
            .len()
            == 150
    );
    Ok(())
}
