//! Searches give what a scan of every record gives, with the index and without it, while the log
//! is written, and say where a filter is wrong.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::{START, open};
use crate::audit::{AuditError, Field, Filter, Indexer, Log, Ocsf, Record, Search};
use crate::call::{AuthOutcome, Flag, Identity, IdentityKind, Role};
use crate::catalog::sample;

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// `count` calls of many kinds, some of them logins.
fn append(log: &mut Log, count: u64, random: &mut u64) {
    let mut ocsf = Ocsf::default();
    for _ in 0..count {
        let index = log.next_index();
        let r = next(random);
        let mut call = sample::call(
            ["GET", "POST", "DELETE"][(r % 3) as usize],
            ["/login", "/v1/orders/7", "/ü\"x"][(r >> 3) as usize % 3],
            [Some(200), Some(404), Some(401), Some(503), None][(r >> 6) as usize % 5],
        );
        call.time_unix_ns = (START + index / 3) * 1_000_000;
        call.client = match (r >> 10) % 4 {
            0 => None,
            1 => Some(SocketAddr::from(([10, 0, (r >> 16) as u8, 7], 1))),
            2 => Some(SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 1))),
            _ => Some(SocketAddr::from(([192, 0, 2, (r >> 16) as u8], 1))),
        };
        call.route = (!(r >> 20).is_multiple_of(3)).then(|| Arc::from("/v1/orders/{id}"));
        call.service = Some(Arc::from(["shop", "idp"][(r >> 22) as usize % 2]));
        call.duration_ns = (!(r >> 24).is_multiple_of(5)).then_some((r >> 30) % 900_000_000);
        if (r >> 27).is_multiple_of(3) {
            call.role = Role::Client;
            call.auth.outcome = AuthOutcome::Failed;
            call.flags = vec![Flag::Gap, Flag::Joined];
        }
        if (r >> 31).is_multiple_of(2) {
            call.identity = Some(Arc::new(Identity {
                kind: IdentityKind::Basic,
                id: format!("user{}", (r >> 33) % 5).into(),
                fingerprint: None,
                earlier: None,
                class: None,
                source: "header:authorization".into(),
                verified: false,
                claims: None,
            }));
        }
        let (head, record) = ocsf.call(&call, index);
        log.append(&head, record.as_bytes()).unwrap();
        let own = log.next_index();
        if let Some((head, record)) = ocsf.login(&call, own, index) {
            log.append(&head, record.as_bytes()).unwrap();
        }
    }
}

fn found(dir: &Path, filter: &Filter, index: bool, newest: Option<usize>) -> Vec<u64> {
    let mut found = Vec::new();
    let stats = Search {
        dir,
        filter,
        index,
        keys: None,
        from: 0,
    }
    .run(newest, &mut |at, record| {
        assert!(filter.fits(&Record::parse(record)));
        assert_eq!(Record::parse(record).index(), Some(at));
        found.push(at);
        Ok::<(), AuditError>(())
    })
    .unwrap();
    assert_eq!(stats.found, found.len() as u64);
    assert_eq!(stats.damaged, None);
    found
}

const FILTERS: [&str; 22] = [
    "",
    "status>=400",
    "status=404 or status=503",
    "not status=404",
    "status!=404 and not has client",
    "route=\"/v1/orders/{id}\" client in 10.0.0.0/8",
    "client in (192.0.2.0/25, 2001:db8::/32) method in (GET, DELETE)",
    "path ~ \"/V1/*\"",
    "path !~ \"*orders*\" and status = 200",
    "duration > 500ms",
    "duration <= 450ms and service=idp",
    "identity=user3 or (auth=failed and not role=server)",
    "flag=joined",
    "flag != gap status < 300",
    "type=login",
    "type=login status=401 identity ~ user*",
    "exe=/usr/sbin/nginx status=503 pid=123",
    "method=PATCH",
    "since 2026-11-22T10:20:55",
    "until 2026-11-22T10:20:40Z status>=500",
    "not (since 2026-11-22T10:20:35 until 2026-11-22T10:21:00) and status=404",
    "has client and not has duration and severity>=1",
];

#[test]
fn every_search_gives_what_a_scan_gives() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let mut log = open(dir).with_segment_bytes(40_000);
    let mut indexer = Indexer::new(dir).with_block_records(150);
    for round in 1..=6_u64 {
        append(&mut log, 200, &mut random);
        log.commit(START + round * 1000).unwrap();
        // Half of the rounds are indexed as they come, as the agent does.
        if round % 2 == 0 {
            indexer.extend(&mut || false).unwrap();
        }
    }
    append(&mut log, 50, &mut random);
    log.seal(START + 60_000).unwrap();
    assert!(crate::audit::segment::list(dir).unwrap().len() >= 3);
    let indexed = std::fs::read_dir(dir.join("index")).unwrap().count();
    assert!(indexed >= 2, "{indexed} segments are indexed");
    for text in FILTERS {
        let filter = Filter::parse(text, START).unwrap();
        let scanned = found(dir, &filter, false, None);
        let searched = found(dir, &filter, true, None);
        assert_eq!(searched, scanned, "{text}");
        let newest: Vec<u64> = scanned.iter().rev().take(70).rev().copied().collect();
        assert_eq!(found(dir, &filter, true, Some(70)), newest, "{text}");
        for by in [
            None,
            Some(Field::Route),
            Some(Field::Path),
            Some(Field::Status),
        ] {
            let count = |index| {
                let filter = &filter;
                Search {
                    dir,
                    filter,
                    index,
                    keys: None,
                    from: 0,
                }
                .count(by)
                .unwrap()
            };
            let ((with, stats), (without, scan)) = (count(true), count(false));
            assert_eq!(with, without, "{text} by {by:?}");
            assert_eq!(stats.found, scanned.len() as u64, "{text}");
            assert!(stats.read <= scan.read, "{text}");
        }
    }
    let all = found(dir, &Filter::parse("", 0).unwrap(), true, None);
    assert_eq!(all, (0..log.next_index()).collect::<Vec<_>>());
}

#[test]
fn the_index_spares_reading() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut random = 7;
    let mut log = open(dir);
    append(&mut log, 600, &mut random);
    log.seal(START).unwrap();
    Indexer::new(dir)
        .with_block_records(500)
        .extend(&mut || false)
        .unwrap();
    let filter = Filter::parse("status=404 client in 10.0.0.0/8", START).unwrap();
    let (_, stats) = Search {
        dir,
        filter: &filter,
        index: true,
        keys: None,
        from: 0,
    }
    .count(None)
    .unwrap();
    assert!(stats.found > 5, "{stats:?}");
    assert!(stats.read < log.next_index() - 400, "{stats:?}");
}

#[test]
fn a_damaged_index_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut random = 7;
    let mut log = open(dir);
    append(&mut log, 600, &mut random);
    log.seal(START).unwrap();
    Indexer::new(dir)
        .with_block_records(500)
        .extend(&mut || false)
        .unwrap();
    let path = dir.join("index/00000000000000000000.idx");
    let good = std::fs::read(&path).unwrap();
    let filter = Filter::parse("status=404 service=shop", START).unwrap();
    let expected = found(dir, &filter, false, None);
    for at in (0..good.len()).step_by(good.len() / 40 + 1).chain(0..60) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(found(dir, &filter, true, None), expected, "byte {at}");
    }
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert_eq!(found(dir, &filter, true, None), expected);
    Indexer::new(dir)
        .with_block_records(500)
        .extend(&mut || false)
        .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), good, "made anew");
}

#[test]
fn errors_point_at_the_place() {
    for (text, at, what) in [
        ("status >= many", 10, "whole number"),
        ("stats = 200", 0, "no field"),
        ("status = 200 and", 16, "name of a field"),
        ("(status = 200", 13, "`)`"),
        ("status 200", 7, "one of ="),
        ("route > 7", 6, "no number"),
        ("client in 10.0.0/8", 10, "10.0.0.0/8"),
        ("path = \"/x", 7, "no end"),
        ("since yesterday", 6, "2h"),
        ("status=200 )", 11, "should end"),
        ("duration > 5", 11, "250ms"),
        ("status = 200 = 7", 13, "`and`"),
        ("ü = 1", 0, "no field"),
        ("method in (GET POST)", 15, "`,`"),
    ] {
        let error = Filter::parse(text, START).unwrap_err();
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.what.contains(what), "{text}: {error}");
        assert!(error.to_string().ends_with('^'));
    }
    let deep = format!("{}status=1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(
        Filter::parse(&deep, 0)
            .unwrap_err()
            .what
            .contains("too many")
    );
}

proptest::proptest! {
    #[test]
    fn no_filter_panics(text in "[a-z<>=~!(),\"'0-9 ü*/.-]{0,60}") {
        let _ = Filter::parse(&text, START);
    }

    #[test]
    fn no_record_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let record = Record::parse(&bytes);
        for field in Field::ALL {
            let _ = record.value(field);
        }
    }
}
