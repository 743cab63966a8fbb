//! Alerts reach a real mail server and a real web server over TLS, and nobody else.

mod alerts;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use alerts::{Running, finding, free_port, installed, until};
use base64::Engine as _;
use observer::alert::{AlertSettings, HttpAddress, MailServer, start};

/// A mail server: port, certificate, key, way (`tls`, `starttls`, `plain`), and the file for what
/// it takes.
const MAIL_SERVER: &str = r#"
import ssl, sys, threading, warnings
warnings.simplefilter("ignore")
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
port, certificate, key, way, out = sys.argv[1:]
class Keep:
    async def handle_DATA(self, server, session, envelope):
        with open(out, 'ab') as file:
            to = ' '.join(envelope.rcpt_tos)
            file.write(f'FROM {envelope.mail_from} TO {to}\n'.encode() + envelope.content + b'\nEND\n')
        return '250 taken'
def check(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b'observer', b'pass word'))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
more = {'tls': {'ssl_context': context}, 'starttls': {'tls_context': context, 'require_starttls': True}, 'plain': {}}[way]
Controller(Keep(), hostname='127.0.0.1', port=int(port), authenticator=check, auth_required=True,
           auth_require_tls=way == 'starttls', **more).start()
threading.Event().wait()
"#;

/// A web server: port, certificate, key, oldest or newest version, and the file for what it takes.
const WEB_SERVER: &str = r#"
import http.server, ssl, sys
port, certificate, key, version, out = sys.argv[1:]
class Keep(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        with open(out, 'ab') as file:
            file.write(f'{self.path} {self.connection.version()} {dict(self.headers)}\n'.encode() + body + b'\nEND\n')
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *arguments):
        pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
if version == '1.2':
    context.maximum_version = ssl.TLSVersion.TLSv1_2
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(port)), Keep)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// The Python with the mail server, if it is installed.
fn python() -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVER_TESTS_PYPI").map_or_else(
        || {
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
                || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
                PathBuf::from,
            );
            target.join("pypi")
        },
        PathBuf::from,
    );
    let python = folder.join("bin").join("python");
    let there = Command::new(&python)
        .args(["-c", "import aiosmtpd"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        assert!(
            std::env::var_os("OBSERVER_TESTS_STRICT").is_none(),
            "aiosmtpd is not in {}",
            folder.display()
        );
        println!("skipped: aiosmtpd is not in {}", folder.display());
    }
    there.then_some(python)
}

/// Makes `ca.pem`, and `cert.pem` with `key.pem` that it signed, for 127.0.0.1.
fn certificates(folder: &Path, key: &[&str]) {
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .stderr(Stdio::null())
            .status()
            .expect("openssl");
        assert!(done.success(), "{arguments:?}");
    };
    fs::write(
        folder.join("ext"),
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )
    .expect("a file");
    let with_key = |rest: &[&'static str]| -> Vec<String> {
        let all = ["req", "-newkey"]
            .iter()
            .chain(key)
            .chain(&["-nodes"])
            .chain(rest);
        all.map(ToString::to_string).collect()
    };
    let run =
        |arguments: Vec<String>| openssl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run(with_key(&[
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=a test",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ]));
    run(with_key(&[
        "-subj",
        "/CN=server",
        "-keyout",
        "key.pem",
        "-out",
        "csr",
    ]));
    openssl(&[
        "x509",
        "-req",
        "-in",
        "csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "ext",
        "-out",
        "cert.pem",
    ]);
}

const EC: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// Starts one of the servers; returns its port and the file with what it took.
fn serve(python: &Path, program: &str, folder: &Path, way: &str) -> (Running, u16, PathBuf) {
    let (port, out) = (free_port(), folder.join("taken"));
    let server = Command::new(python)
        .args(["-c", program, &port.to_string()])
        .args([folder.join("cert.pem"), folder.join("key.pem")])
        .arg(way)
        .arg(&out)
        .spawn()
        .expect("a server");
    let running = Running(server);
    until("the server", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    (running, port, out)
}

fn waiting(state: &Path) -> usize {
    fs::read_dir(state.join("alerts/queue"))
        .expect("a folder")
        .count()
}

/// The decoded text of the mails in a file.
fn mails(out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    text.split("\nEND\n")
        .filter_map(|mail| {
            let (head, body) = mail.split_once("\n\n")?;
            let body: String = body.split_whitespace().collect();
            let body = base64::engine::general_purpose::STANDARD
                .decode(body)
                .expect("base64");
            Some(format!(
                "{head}\n\n{}",
                String::from_utf8(body).expect("text").replace("\r\n", "\n")
            ))
        })
        .collect()
}

#[test]
fn mail_is_sent_with_tls_after_starttls_and_without_on_this_host() {
    let Some(python) = python().filter(|_| installed("openssl")) else {
        return;
    };
    for (way, scheme) in [
        ("tls", "smtps"),
        ("starttls", "smtp+starttls"),
        ("plain", "smtp"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path(), &EC);
        let (_server, port, out) = serve(&python, MAIL_SERVER, folder.path(), way);
        let password = folder.path().join("password");
        fs::write(&password, "pass word\n").expect("a file");
        let settings = AlertSettings {
            mail_server: Some(
                MailServer::parse(&format!("{scheme}://127.0.0.1:{port}")).expect("a server"),
            ),
            mail_from: Some("observer@example.org".to_owned()),
            mail_to: vec!["ops@example.org".to_owned(), "night@example.org".to_owned()],
            mail_user: Some("observer".to_owned()),
            mail_password_file: Some(password),
            ca_file: Some(folder.path().join("ca.pem")),
            ..AlertSettings::default()
        };
        let state = folder.path().join("state");
        let (sink, thread) = start(state.clone(), settings).expect("the thread");
        let found = Instant::now();
        sink.finding(&finding("alice"));
        let mail = until("the mail", || mails(&out).into_iter().next());
        println!("{scheme}: the mail was there after {:?}", found.elapsed());
        assert!(
            mail.starts_with("FROM observer@example.org TO ops@example.org night@example.org\n"),
            "{mail}"
        );
        assert!(
            mail.contains("\nSubject: [observer] firing medium: auth_failure_burst alice\n"),
            "{mail}"
        );
        assert!(
            mail.contains("someone <may> be guessing & trying again\n"),
            "{mail}"
        );
        // What comes right after waits, and goes together.
        for n in 0..5 {
            sink.finding(&finding(&format!("user{n}")));
        }
        until("the queue", || (waiting(&state) == 5).then_some(()));
        assert_eq!(mails(&out).len(), 1);
        drop(sink);
        thread.finish();
    }
}

#[test]
fn a_password_that_is_refused_is_not_told_and_the_alert_waits() {
    let Some(python) = python().filter(|_| installed("openssl")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), &EC);
    let (_server, port, out) = serve(&python, MAIL_SERVER, folder.path(), "tls");
    let password = folder.path().join("password");
    fs::write(&password, "another").expect("a file");
    let settings = AlertSettings {
        mail_server: Some(
            MailServer::parse(&format!("smtps://127.0.0.1:{port}")).expect("a server"),
        ),
        mail_to: vec!["ops@example.org".to_owned()],
        mail_user: Some("observer".to_owned()),
        mail_password_file: Some(password),
        ca_file: Some(folder.path().join("ca.pem")),
        ..AlertSettings::default()
    };
    assert!(!format!("{settings:?}").contains("another"));
    let state = folder.path().join("state");
    let (sink, thread) = start(state.clone(), settings).expect("the thread");
    sink.finding(&finding("alice"));
    until("a failed delivery", || {
        (sink.counts().named()[1].1 > 0).then_some(())
    });
    drop(sink);
    thread.finish();
    assert_eq!((waiting(&state), mails(&out).len()), (1, 0));
}

#[test]
fn a_webhook_is_reached_over_tls_with_either_version_and_kind_of_key() {
    let Some(python) = python().filter(|_| installed("openssl")) else {
        return;
    };
    for (version, key, shown) in [
        ("1.3", &EC[..], "TLSv1.3"),
        ("1.2", &["rsa:2048"][..], "TLSv1.2"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path(), key);
        let (_server, port, out) = serve(&python, WEB_SERVER, folder.path(), version);
        let (secret, address, token) = (
            folder.path().join("secret"),
            folder.path().join("address"),
            folder.path().join("token"),
        );
        fs::write(&secret, "k").expect("a file");
        fs::write(&token, "t0ken\n").expect("a file");
        fs::write(
            &address,
            format!("https://127.0.0.1:{port}/services/T0/B0/secret\n"),
        )
        .expect("a file");
        let base = format!("https://127.0.0.1:{port}");
        let settings = AlertSettings {
            webhook: Some(HttpAddress::parse(&format!("{base}/hook")).expect("an address")),
            webhook_secret_file: Some(secret),
            alertmanager: Some(HttpAddress::parse(&base).expect("an address")),
            alertmanager_token_file: Some(token),
            slack_file: Some(address),
            ca_file: Some(folder.path().join("ca.pem")),
            ..AlertSettings::default()
        };
        let (sink, thread) = start(folder.path().join("state"), settings).expect("the thread");
        sink.finding(&finding("bob"));
        let text = until("three requests", || {
            fs::read_to_string(&out)
                .ok()
                .filter(|text| text.matches("\nEND\n").count() == 3)
        });
        assert!(
            text.contains(&format!("/hook {shown} ")) && text.contains("X-Observer-Signature"),
            "{text}"
        );
        assert!(
            text.contains("/services/T0/B0/secret ") && text.contains("/api/v2/alerts "),
            "{text}"
        );
        assert_eq!(text.matches("Bearer t0ken").count(), 1, "{text}");
        drop(sink);
        thread.finish();
    }
}

#[test]
fn who_has_no_certificate_that_is_trusted_gets_nothing() {
    let Some(python) = python().filter(|_| installed("openssl")) else {
        return;
    };
    let (folder, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    certificates(folder.path(), &EC);
    certificates(other.path(), &EC);
    let (_server, port, out) = serve(&python, WEB_SERVER, folder.path(), "1.3");
    // The server's own certificate, for another name.
    for (host, ca) in [("127.0.0.1", other.path()), ("localhost", folder.path())] {
        let state = tempfile::tempdir().expect("a folder");
        let settings = AlertSettings {
            webhook: Some(
                HttpAddress::parse(&format!("https://{host}:{port}/hook")).expect("an address"),
            ),
            ca_file: Some(ca.join("ca.pem")),
            ..AlertSettings::default()
        };
        let (sink, thread) = start(state.path().to_owned(), settings).expect("the thread");
        sink.finding(&finding("carol"));
        until("a failed delivery", || {
            (sink.counts().named()[1].1 > 0).then_some(())
        });
        drop(sink);
        thread.finish();
        assert_eq!(waiting(state.path()), 1, "it waits in the queue");
    }
    // And a mail server that offers no STARTTLS gets no mail.
    let (_server, port, mail) = serve(&python, MAIL_SERVER, other.path(), "plain");
    let settings = AlertSettings {
        mail_server: Some(
            MailServer::parse(&format!("smtp+starttls://127.0.0.1:{port}")).expect("a server"),
        ),
        mail_to: vec!["ops@example.org".to_owned()],
        ca_file: Some(other.path().join("ca.pem")),
        ..AlertSettings::default()
    };
    let state = tempfile::tempdir().expect("a folder");
    let (sink, thread) = start(state.path().to_owned(), settings).expect("the thread");
    sink.finding(&finding("carol"));
    until("a failed delivery", || {
        (sink.counts().named()[1].1 > 0).then_some(())
    });
    drop(sink);
    thread.finish();
    assert!(!out.exists() && !mail.exists());
}
