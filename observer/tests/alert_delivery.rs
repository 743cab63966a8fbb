//! Alerts reach a real Alertmanager and a real rsyslog, and a webhook after an outage.

mod alerts;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use alerts::{Running, finding, free_port, installed, until};
use observer::alert::{
    AlertSettings, HttpAddress, Silence, Silences, SyslogAddress, read_open, start,
};

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.0 200").then_some(answer)
}

#[test]
fn an_alert_reaches_alertmanager_within_two_seconds_and_is_resolved() {
    if !installed("prometheus-alertmanager") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("alertmanager.yml");
    std::fs::write(
        &config,
        "route:\n  receiver: none\nreceivers:\n  - name: none\n",
    )
    .expect("a file");
    let port = free_port();
    let server = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.path().display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Alertmanager");
    let _server = Running(server);
    until("Alertmanager", || get(port, "/-/ready"));

    let settings = AlertSettings {
        alertmanager: Some(
            HttpAddress::parse(&format!("http://127.0.0.1:{port}")).expect("an address"),
        ),
        resolve_after: Duration::from_secs(3),
        ..AlertSettings::default()
    };
    let state = folder.path().join("state");
    let (sink, thread) = start(state.clone(), settings).expect("the thread");
    let found = Instant::now();
    for _ in 0..50 {
        sink.finding(&finding("alice"));
    }
    let answer = until("the alert", || {
        get(port, "/api/v2/alerts").filter(|answer| answer.contains("alice"))
    });
    assert!(
        found.elapsed() < Duration::from_secs(2),
        "{:?}",
        found.elapsed()
    );
    println!("Alertmanager had it after {:?}", found.elapsed());
    assert!(
        answer.contains("auth_failure_burst") && answer.matches("alice").count() == 1,
        "{answer}"
    );
    assert_eq!(read_open(&state).expect("a list").len(), 1);
    until("the end of the alert", || {
        get(port, "/api/v2/alerts").filter(|answer| !answer.contains("alice"))
    });
    assert!(read_open(&state).expect("a list").is_empty());
    drop(sink);
    thread.finish();
}

#[test]
fn an_alert_reaches_rsyslog_as_one_whole_message() {
    if !installed("rsyslogd") {
        return;
    }
    for tcp in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, log) = (free_port(), folder.path().join("log"));
        let input = if tcp { "imtcp" } else { "imudp" };
        let config = folder.path().join("rsyslog.conf");
        std::fs::write(
            &config,
            format!(
                "module(load=\"{input}\")\ninput(type=\"{input}\" port=\"{port}\")\n\
                 template(name=\"t\" type=\"string\" string=\"%pri%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
                 *.* action(type=\"omfile\" file=\"{}\" template=\"t\")\n",
                log.display()
            ),
        )
        .expect("a file");
        let server = Command::new("rsyslogd")
            .args(["-n", "-iNONE", "-f"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rsyslogd");
        let _server = Running(server);
        if tcp {
            until("rsyslog", || TcpStream::connect(("127.0.0.1", port)).ok());
        } else {
            std::thread::sleep(Duration::from_secs(1));
        }
        let scheme = if tcp { "tcp" } else { "udp" };
        let settings = AlertSettings {
            syslog: Some(
                SyslogAddress::parse(&format!("{scheme}://127.0.0.1:{port}")).expect("an address"),
            ),
            ..AlertSettings::default()
        };
        let (sink, thread) = start(folder.path().join("state"), settings).expect("the thread");
        sink.finding(&finding("bob"));
        let text = until("the message", || {
            std::fs::read_to_string(&log)
                .ok()
                .filter(|text| text.contains("bob"))
        });
        let line = text
            .lines()
            .find(|line| line.contains("bob"))
            .expect("a line");
        assert!(
            line.starts_with("36|observer|alert|[alert@32473 "),
            "{line}"
        );
        assert!(
            line.contains("service=\"shop\\\"\\]\\\\\"")
                && line.ends_with("guessing & trying again"),
            "{line}"
        );
        drop(sink);
        thread.finish();
    }
}

/// Takes one request, and answers 200.
fn take(listener: &TcpListener) -> String {
    take_from(&mut listener.accept().expect("a connection").0)
}

fn take_from(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).expect("a request");
        text.extend_from_slice(&part[..read]);
        let whole = String::from_utf8_lossy(&text);
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
            if length == Some(body.len()) {
                break;
            }
        }
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .expect("an answer");
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn what_was_found_in_an_outage_is_delivered_after_a_restart_and_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "k\n").expect("a file");
    let at: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let settings = AlertSettings {
        webhook: Some(HttpAddress::parse(&format!("http://{at}/hook")).expect("an address")),
        webhook_secret_file: Some(secret),
        ..AlertSettings::default()
    };
    let (sink, thread) = start(folder.path().to_owned(), settings.clone()).expect("the thread");
    sink.finding(&finding("carol"));
    sink.finding(&finding("carol"));
    drop(sink);
    thread.finish();

    let listener = TcpListener::bind(at).expect("the port");
    let (sink, thread) = start(folder.path().to_owned(), settings).expect("the thread");
    let request = take(&listener);
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("X-Observer-Signature: sha256="),
        "{request}"
    );
    assert!(
        request.contains("\"subject\":\"carol\"") && request.contains("\"status\":\"firing\""),
        "{request}"
    );
    drop(sink);
    thread.finish();
    let waiting = std::fs::read_dir(folder.path().join("alerts").join("queue"))
        .expect("a folder")
        .count();
    assert_eq!(waiting, 0);
}

#[test]
fn a_silence_keeps_a_running_agent_quiet_until_it_is_taken_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let settings = AlertSettings {
        webhook: Some(HttpAddress::parse(&format!("http://{at}/")).expect("an address")),
        ..AlertSettings::default()
    };
    let mut silences = Silences::open(folder.path()).expect("a list");
    let silence = Silence {
        identity: Some("dave".to_owned()),
        until_unix_ns: u64::MAX,
        ..Silence::default()
    };
    let id = silences.add(silence).expect("a silence").id;
    let (sink, thread) = start(folder.path().to_owned(), settings).expect("the thread");
    sink.finding(&finding("dave"));
    sink.finding(&finding("erin"));
    let request = take(&listener);
    assert!(
        request.contains("erin") && !request.contains("dave"),
        "{request}"
    );
    let open = until("both alerts in the list", || {
        read_open(folder.path()).ok().filter(|open| open.len() == 2)
    });
    let of_dave = open
        .iter()
        .find(|alert| alert.subject == "dave")
        .expect("an alert");
    assert_eq!(of_dave.told_unix_ns, 0);
    silences.remove(id).expect("the list").expect("the silence");
    listener.set_nonblocking(true).expect("a socket");
    let (mut stream, _) = until("the alert once the silence ended", || {
        sink.finding(&finding("dave"));
        listener.accept().ok()
    });
    stream.set_nonblocking(false).expect("a socket");
    let request = take_from(&mut stream);
    assert!(request.contains("\"subject\":\"dave\""), "{request}");
    drop(sink);
    thread.finish();
}
