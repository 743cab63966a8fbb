//! What the tests of alerts share.

use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use observer::call::Role;
use observer::detect::{Finding, RULES};

pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn finding(subject: &str) -> Finding {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    Finding {
        time_unix_ns: u64::try_from(now.as_nanos()).expect("a time"),
        rule: RULES[0].name.into(),
        severity: RULES[0].severity,
        mitre: RULES[0].mitre.into(),
        role: Role::Server,
        client: Some("203.0.113.5".parse().expect("an address")),
        client_prefix: 32,
        identity: Some(subject.into()),
        service: Some("shop\"]\\".into()),
        count: 9,
        distinct: 9,
        span: Duration::from_secs(1),
        window: Duration::from_secs(60),
        routes: vec!["/login".into()],
        message: "someone <may> be guessing & trying\nagain".into(),
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|at| at.local_addr())
        .expect("a port")
        .port()
}

/// Whether the program is there; unless it is not installed: then the test is skipped, or fails if it must not be.
pub fn installed(program: &str) -> bool {
    let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        assert!(
            std::env::var_os("OBSERVER_TESTS_STRICT").is_none(),
            "{program} is not installed"
        );
        println!("skipped: {program} is not installed");
    }
    found
}

pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}
