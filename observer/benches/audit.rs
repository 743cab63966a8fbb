//! Appending to and verifying the audit log, on one core: records a second, bytes a record.
//!
//! `cargo bench -p observer --bench audit`

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use observer::audit::{AuditSettings, Log, Ocsf, Trust, verify};
use observer::call::{ApiCall, Auth, AuthOutcome, AuthScheme, Protocol, Role};
use observer::stream::ConnId;

const RECORDS: u64 = 1_000_000;
/// Records between two commits: 200 ms at 300,000 a second.
const COMMIT: u64 = 60_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir_in(".")?;
    let dir = folder.path();
    let appended = append(dir)?;
    let bytes: u64 = std::fs::read_dir(dir.join("segments"))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    let began = Instant::now();
    let report = verify(dir, &Trust::default(), &mut |_, _| {})?;
    let verified = began.elapsed();
    assert!(report.good() && report.verified == RECORDS, "{report}");
    let rate = |time: Duration| RECORDS as f64 / time.as_secs_f64();
    println!(
        "append {:>10.0} records/s (JSON, hashes, compression, checkpoints, sync)",
        rate(appended)
    );
    println!("verify {:>10.0} records/s", rate(verified));
    println!(
        "size   {:>10.1} bytes a record, and 32 for its hash",
        bytes as f64 / RECORDS as f64
    );
    Ok(())
}

fn append(dir: &Path) -> Result<Duration, Box<dyn std::error::Error>> {
    let (mut log, _) = Log::open(dir, "bench.example/audit", AuditSettings::default(), 1)?;
    let mut ocsf = Ocsf::default();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let began = Instant::now();
    for n in 0..RECORDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let call = call(n, random);
        let (head, record) = ocsf.call(&call, n);
        log.append(&head, record.as_bytes())?;
        if n % COMMIT == COMMIT - 1 {
            log.commit(n / 300)?;
        }
    }
    log.seal(RECORDS)?;
    Ok(began.elapsed())
}

fn call(n: u64, random: u64) -> ApiCall {
    ApiCall {
        time_unix_ns: 1_795_342_830_000_000_000 + n * 3000,
        conn: ConnId(8000 + random % 500),
        conn_label: None,
        role: Role::Server,
        protocol: Protocol::Http11,
        scheme: "https",
        method: "GET".to_owned(),
        host: Some("api.example.com".to_owned()),
        path: format!("/v1/orders/{}", random % 1_000_000),
        query: None,
        route: Some(Arc::from("/v1/orders/{id}")),
        service: Some(Arc::from("orders")),
        operation: None,
        operation_kind: None,
        operations: None,
        login: None,
        grpc_status: None,
        request_messages: None,
        response_messages: None,
        websocket: None,
        status: Some(if random.is_multiple_of(50) { 404 } else { 200 }),
        duration_ns: Some(random % 20_000_000),
        request_bytes: 0,
        response_bytes: random % 5000,
        client: Some(
            (
                [192, 0, 2, (random % 250) as u8],
                40_000 + (random % 20_000) as u16,
            )
                .into(),
        ),
        server: Some(([10, 0, 0, 21], 8443).into()),
        process: None,
        auth: Auth {
            scheme: AuthScheme::Bearer,
            outcome: AuthOutcome::Success,
            challenged: false,
        },
        identity: None,
        identities: Vec::new(),
        body_error: None,
        tls: None,
        hello: None,
        flags: Vec::new(),
    }
}
