//! A disk that is full, and has space again.

use super::{Log, OpenOptions, OwnEvent, open_for_append};
use crate::audit::{AuditSettings, Trust, verify};

#[test]
fn a_full_disk_loses_records_by_count_and_leaves_the_log_good() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (mut log, _) = Log::open(dir, "host/audit", AuditSettings::default(), 0).unwrap();
    for _ in 0..10 {
        log.append_own(&OwnEvent::Heartbeat, 1).unwrap();
    }
    log.seal(1).unwrap();
    log.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
    for _ in 0..7 {
        log.append_own(&OwnEvent::Heartbeat, 2).unwrap();
    }
    assert!(log.commit(2).is_err());
    assert_eq!((log.take_lost(), log.next_index()), (7, 10));
    // Space again, after half a frame was left behind.
    let mut bytes = std::fs::read(&log.path).unwrap();
    bytes.extend_from_slice(b"OAF1 half");
    std::fs::write(&log.path, bytes).unwrap();
    log.file = open_for_append(&log.path).unwrap();
    let loss = OwnEvent::Loss {
        records: 7,
        reason: "disk",
    };
    log.append_own(&loss, 4).unwrap();
    log.seal(4).unwrap();
    let report = verify(dir, &Trust::default(), &mut |_, _| {}).unwrap();
    assert!(report.good(), "{report}");
    assert_eq!((report.verified, report.lost), (11, 7));
}
