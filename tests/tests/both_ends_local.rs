//! Connections with both ends on this host, and the agent's own.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::call::listed;
use observer_tests::running::{Running, run_ok};
use observer_tests::{
    Agent, Agreement, Call, Certificate, Metrics, Nginx, Script, curl, live, port, wait,
};

fn is_curl_s(call: &Call) -> bool {
    call.process.name.as_deref() == Some("curl")
}

#[test]
fn a_local_call_is_counted_once_at_its_server() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let agent = Agent::start()?;
    for (base, port) in [
        (nginx.url(""), nginx.http),
        (nginx.tls_url(""), nginx.https),
    ] {
        curl(&[format!("{base}/status/200"), format!("{base}/status/404")])?;
        Agreement::of(&agent, &nginx.log, port).reached()?;
        let all = agent.calls_where(|call| call.server.port == Some(port))?;
        ensure!(all.len() == 2, "{}", listed(&all));
        ensure!(
            all.iter().all(|call| call.role == "server"),
            "{}",
            listed(&all)
        );
    }
    // Nor with an address that is not known.
    let lost = agent.calls_where(|call| call.server.port.is_none() && is_curl_s(call))?;
    ensure!(lost.is_empty(), "{}", listed(&lost));
    Ok(())
}

#[test]
fn a_call_between_programs_with_different_tls_libraries_is_counted_once() -> Result<()> {
    let Some(_turn) = live(&["node", "openssl"]) else {
        return Ok(());
    };
    let server = Script::node().with_tls().start()?;
    let agent = Agent::start()?;
    curl(&[
        server.url("/bytes/10"),
        server.url("/bytes/20"),
        server.url("/bytes/30"),
    ])?;
    Agreement::of(&agent, &server.log, server.port).reached()?;
    let all = agent.calls()?;
    ensure!(
        all.len() == 3 && all.iter().all(|call| call.role == "server"),
        "{all:#?}"
    );
    Ok(())
}

#[test]
fn the_agent_does_not_observe_itself() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let agent = Agent::start()?;
    let port = agent.metrics_port();
    for _ in 0..20 {
        Metrics::scrape(port)?;
        curl(&[format!("http://127.0.0.1:{port}/healthz")])?;
    }
    curl(&[nginx.url("/status/200")])?;
    agent.wait_for_call("the other call", Duration::from_secs(6), |call| {
        call.served_by(nginx.http)
    })?;
    let own = agent.calls_where(|call| call.server.port == Some(port))?;
    ensure!(own.is_empty(), "{}", listed(&own));
    Ok(())
}

/// An HTTPS server whose TLS is not in any library: Java's own.
const JAVA: &str = r#"
import com.sun.net.httpserver.*;
import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.security.KeyStore;
import javax.net.ssl.*;

public class Server {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(new FileInputStream(arguments[1]), "changeit".toCharArray());
        KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
        keys.init(store, "changeit".toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        HttpsServer server = HttpsServer.create(
            new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        server.setHttpsConfigurator(new HttpsConfigurator(context));
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(202, 4);
            exchange.getResponseBody().write("java".getBytes());
            exchange.close();
        });
        server.start();
    }
}
"#;

#[test]
fn a_call_to_a_server_that_cannot_be_decoded_is_seen_at_its_client() -> Result<()> {
    let Some(_turn) = live(&["java", "javac", "openssl"]) else {
        return Ok(());
    };
    let folder = tempfile::TempDir::new()?;
    let certificate = Certificate::new()?;
    let store = folder.path().join("store.p12");
    run_ok(
        Command::new("openssl")
            .args(["pkcs12", "-export", "-passout", "pass:changeit", "-in"])
            .arg(certificate.chain())
            .arg("-inkey")
            .arg(certificate.key())
            .arg("-out")
            .arg(&store),
        Duration::from_secs(10),
    )?;
    let source = folder.path().join("Server.java");
    fs::write(&source, JAVA)?;
    let port = port::free();
    let _server = Running::start(
        "java",
        Command::new("java")
            .arg(&source)
            .arg(port.to_string())
            .arg(&store)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    let url = format!("https://127.0.0.1:{port}/made/by/curl?key=1");
    let agent = Agent::start()?;
    wait::until("Java to listen", Duration::from_secs(20), || {
        curl(&[&url]).ok()
    })?;
    curl(&["-d", "abc", &url])?;
    let call = agent.wait_for_call("the call curl made", Duration::from_secs(6), |call| {
        call.server.port == Some(port) && call.method == "POST"
    })?;
    ensure!(call.role == "client", "{call}");
    ensure!(
        call.status == Some(202) && call.path == "/made/by/curl",
        "{call}"
    );
    ensure!(
        call.request_bytes == Some(3) && call.response_bytes == Some(4),
        "{call}"
    );
    ensure!(call.process.name.as_deref() == Some("curl"), "{call}");
    ensure!(call.scheme == "https", "{call}");
    Ok(())
}
