//! Searches give what a scan of every record gives, with the index and without it, while the log
//! is written, and say where a filter is wrong.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::{START, open};
use crate::audit::own_event::OwnEvent;
use crate::audit::{AuditError, Field, Filter, Indexer, Log, Ocsf, Record, Search, Value};
use crate::call::{AuthOutcome, BodyError, ErrorSource, Flag, Identity, IdentityKind, Role};
use crate::catalog::sample;
use crate::discover::Process;
use crate::stream::{ConnId, Tls};

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
                fingerprint: Some(format!("ab12:F{}", (r >> 33) % 5).into()),
                earlier: (r >> 36).is_multiple_of(2).then(|| "cd34:old".into()),
                class: None,
                source: "header:authorization".into(),
                verified: false,
                claims: None,
            }));
        }
        let q = next(random);
        call.conn = ConnId(q % 40);
        call.peer = (q >> 6)
            .is_multiple_of(4)
            .then(|| SocketAddr::from(([10, 9, 9, 9], 80)));
        call.request_bytes = (q >> 8) % 3 * 700;
        call.response_bytes = (q >> 10) % 100_000;
        call.query = (q >> 28).is_multiple_of(3).then(|| "page=*".to_owned());
        call.tls = (q >> 30).is_multiple_of(2).then(|| {
            Arc::new(Tls {
                library: "openssl 3.0.22".to_owned(),
                version: None,
            })
        });
        if (q >> 32).is_multiple_of(4) {
            call.grpc_status = Some((q >> 34) as u32 % 17);
            call.operation = Some("shop.Cart/Add".to_owned());
        }
        if (q >> 40).is_multiple_of(5) {
            call.process = Some(Arc::new(Process {
                pid: 7,
                name: "Cart".to_owned(),
                exe: Some("/opt/cart".to_owned()),
                container: Some("0123abcd".to_owned()),
                container_name: None,
                unit: None,
            }));
        }
        if (q >> 44).is_multiple_of(6) {
            call.body_error = Some(Box::new(BodyError {
                source: ErrorSource::OAuth,
                code: "invalid_grant".into(),
            }));
        }
        if (q >> 48).is_multiple_of(20) {
            let other = call.identity.clone().into_iter();
            call.identities = other.collect();
            let review = OwnEvent::Review {
                reviewer: "A. Reviewer".to_owned(),
                remarks: "nothing odd in Carts".to_owned(),
                size: index,
            };
            log.append_own(&review, START + index / 3).unwrap();
            continue;
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

const FILTERS: [&str; 35] = [
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
    "path=/v1/orders/7 status=404",
    "path=/nowhere",
    "fingerprint=ab12:F3",
    "fingerprint ~ *old*",
    "conn=17 or conn in (3, 4)",
    "index in (4, 700) or index>1100",
    "peer in 10.9.0.0/16 not has query",
    "text=Cart",
    "text ~ cart*",
    "text!=user not text in (orders, login)",
    "response_bytes>99000 or request_bytes=700 tls ~ openssl*",
    "grpc_status>12 operation ~ *add container=0123abcd",
    "error=invalid_grant message ~ *odd* or message ~ *ODD*",
];

/// A comparison as people might type one: of a field with a value that some record has, or that
/// is near one.
fn comparison(random: &mut u64, values: &[(Field, Vec<String>)]) -> String {
    let (field, values) = &values[next(random) as usize % values.len()];
    let name = field.name();
    let value = &values[next(random) as usize % values.len()];
    let other = &values[next(random) as usize % values.len()];
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let skipped = next(random) as usize % 4;
    let part = |value: &str| -> String { value.chars().skip(skipped).take(5).collect() };
    let value = match *field {
        Field::Duration => format!("{value}ns"),
        _ => value.clone(),
    };
    if field.is_number() {
        let operator = ["=", "!=", "<", "<=", ">", ">="][next(random) as usize % 6];
        return format!("{name} {operator} {value}");
    }
    let address = matches!(field, Field::Client | Field::Server | Field::Peer);
    match next(random) % 6 {
        0 => format!("has {name}"),
        1 => format!("{name} ~ {}", quoted(&format!("*{}*", part(&value)))),
        2 => format!("{name} !~ {}", quoted(&format!("{}*", part(&value)))),
        3 => format!("text = {}", quoted(&part(&value))),
        4 if address => format!("{name} in {value}/{}", 8 + next(random) % 25),
        4 => format!("{name} not in ({}, {})", quoted(&value), quoted(other)),
        _ => format!("{name} = {}", quoted(&value)),
    }
}

/// Searches of the random kind.
const SEARCHES: u64 = 120;

#[test]
fn random_searches_of_every_field_give_what_a_scan_gives() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut random = 0x2545_f491_4f6c_dd1d;
    let mut log = open(dir).with_segment_bytes(60_000);
    for round in 1..=4_u64 {
        append(&mut log, 200, &mut random);
        log.commit(START + round * 1000).unwrap();
    }
    Indexer::new(dir)
        .with_block_records(130)
        .extend(&mut || false)
        .unwrap();
    append(&mut log, 20, &mut random);
    log.seal(START + 60_000).unwrap();
    let mut values: Vec<(Field, Vec<String>)> =
        Field::ALL.map(|field| (field, Vec::new())).to_vec();
    let all = Filter::parse("", 0).unwrap();
    let search = |filter: &Filter, index| {
        let mut found = Vec::new();
        let search = Search {
            dir,
            filter,
            index,
            keys: None,
            from: 0,
        };
        let stats = search.run(None, &mut |at, record| {
            found.push((at, record.to_vec()));
            Ok::<(), AuditError>(())
        });
        (stats.unwrap(), found)
    };
    for (_, record) in search(&all, false).1 {
        let record = Record::parse(&record);
        for (field, values) in &mut values {
            match record.value(*field) {
                Value::Absent => {}
                Value::Number(number) => values.push(number.to_string()),
                Value::Text(text) => values.push(text.to_owned()),
            }
        }
    }
    // What no call of this log has: findings.
    values.retain(|(_, values)| !values.is_empty());
    assert!(values.len() >= Field::ALL.len() - 1, "{values:?}");
    let (mut some, mut read) = (0, 0);
    for _ in 0..SEARCHES {
        let mut text = comparison(&mut random, &values);
        for _ in 0..next(&mut random) % 3 {
            let join = ["and", "or", "and not"][next(&mut random) as usize % 3];
            text = format!("({text}) {join} {}", comparison(&mut random, &values));
        }
        let filter = Filter::parse(&text, START).unwrap_or_else(|error| panic!("{error}"));
        let (_, scanned) = search(&filter, false);
        let (stats, searched) = search(&filter, true);
        assert!(searched == scanned, "{text}");
        some += u64::from(!scanned.is_empty() && scanned.len() < 500);
        read += stats.read;
        let newest: Vec<u64> = scanned
            .iter()
            .rev()
            .take(9)
            .rev()
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(found(dir, &filter, true, Some(9)), newest, "{text}");
        let by = Field::ALL[next(&mut random) as usize % Field::ALL.len()];
        let count = |index| {
            let filter = &filter;
            let search = Search {
                dir,
                filter,
                index,
                keys: None,
                from: scanned.first().map_or(0, |(at, _)| at + 1),
            };
            search.count(Some(by)).unwrap().0
        };
        assert_eq!(count(true), count(false), "{text} by {by:?}");
    }
    assert!(some > SEARCHES / 4, "{some} searches tell records apart");
    // Of the indexed records none was taken apart; the last 20 calls are not indexed.
    assert!(read <= SEARCHES * 130, "{read}");
}

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
        ("text > 7", 5, "one of ="),
        ("text in (a b)", 11, "`,`"),
        ("has text", 4, "no field"),
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
