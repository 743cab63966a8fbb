//! The fuzz targets of the audit log, on random bytes and on what is almost right.

#[path = "../fuzz/fuzz_targets/audit_drive.rs"]
mod audit_drive;

use proptest::prelude::*;

/// Words that notes, keys, proofs, rules and filters are made of, and what breaks them.
const WORDS: [&str; 26] = [
    "host.example/audit",
    "\n",
    "\n\n",
    "3",
    "18446744073709551616",
    " ",
    "+",
    "\u{2014} ",
    "PbZ2Ze6owm3jQWaMHTGZ9h3kt4CoKFaaiYzkjCjZMfM=",
    "38407c77",
    "AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
    "c2sp.org/tlog-proof@v1",
    "extra e30=",
    "index 0",
    "1/10",
    "0",
    "GET",
    "nginx:/v1/*",
    "http://h:1/p",
    "observer-reader+",
    "status>=400",
    "client in 10.0.0.0/8",
    "(",
    "not",
    "since 2h",
    "path ~ \"*a*\"",
];

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    (any::<u8>(), prop::collection::vec(word, 0..16)).prop_map(|(kind, words)| {
        let mut data = vec![kind];
        data.extend(words.concat().bytes());
        data
    })
}

/// A record as LZ4 keeps what it cannot compress: a token, the literals.
fn stored(record: &str) -> Vec<u8> {
    let mut raw = (record.len() as u32).to_le_bytes().to_vec();
    raw.extend(record.bytes());
    let mut block = vec![0xf0, (raw.len() - 15) as u8];
    let length = raw.len() as u8;
    block.extend(raw);
    let mut frame = vec![0, 1, length, block.len() as u8];
    frame.extend(block);
    frame
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        Just(stored(
            "{\"time\":1,\"class_uid\":6003,\"status_code\":\"404\"}"
        )),
        Just(stored(
            "{\"time\":1,\"class_uid\":6002,\"activity_name\":\"retention\",\"unmapped\":{\"first\":9}}"
        )),
        Just(stored(
            "{\"time\":5,\"class_uid\":6003,\"sealed\":{\"key\":\"x\",\"nonce\":1,\"data\":\"\"}}"
        )),
        prop::collection::vec(any::<u8>(), 0..60),
        Just(vec![1, 0, 0, 0]),
    ];
    prop::collection::vec(frame, 0..6).prop_map(|frames| frames.concat())
}

/// Random ones are made of frames that are read.
#[test]
fn a_whole_frame_is_read() {
    let record = stored("{\"time\":1,\"class_uid\":6003,\"status_code\":\"404\"}");
    assert_eq!(audit_drive::segment(&[record.clone(), record].concat()), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_breaks_a_reader(data in texts()) {
        audit_drive::texts(&data);
    }

    #[test]
    fn no_random_bytes_break_a_reader(data in prop::collection::vec(any::<u8>(), 0..200)) {
        audit_drive::texts(&data);
    }
}

proptest! {
    // Each writes a log and syncs it.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_segment_breaks_a_verification_or_a_search(data in frames()) {
        audit_drive::segment(&data);
    }
}
