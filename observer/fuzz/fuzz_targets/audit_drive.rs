//! What the fuzz targets of the audit log do with the bytes they are given. The ordinary tests run
//! the same code on random bytes (`observer/tests/audit_fuzz_twins.rs`).

use std::fs;
use std::path::Path;

use observer::audit::{
    AuditError, AuditSettings, Filter, Log, Note, Proof, ReaderKey, Record, SamplingRule, Search,
    Trust, Vkey, WitnessAddress, verify,
};

/// Texts that people and other hosts give: notes, proofs, keys, rules, filters.
pub fn texts(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    match kind % 7 {
        0 => {
            if let Ok(note) = Note::parse(data) {
                let again = Note::parse(note.to_string().as_bytes()).expect("what it wrote");
                assert_eq!(again.checkpoint, note.checkpoint);
            }
        }
        1 => drop(Proof::parse(data)),
        2 => {
            for vkey in [Vkey::parse(&text), Vkey::parse_witness(&text)]
                .into_iter()
                .flatten()
            {
                assert_eq!(vkey.to_string(), text.trim());
            }
        }
        3 => {
            let (filter, record) = text.split_once('\n').unwrap_or((&text, ""));
            if let Ok(filter) = Filter::parse(filter, 1_795_342_830_000) {
                filter.fits(&Record::parse(record.as_bytes()));
            }
        }
        4 => {
            if let Ok(rule) = SamplingRule::parse(&text) {
                assert_eq!(SamplingRule::parse(&rule.to_string()), Ok(rule));
            }
        }
        5 => {
            if let Ok(address) = WitnessAddress::parse(&text) {
                assert_eq!(WitnessAddress::parse(&address.to_string()), Ok(address));
            }
        }
        _ => {
            if let Ok(key) = ReaderKey::parse(&text) {
                assert_eq!(key.to_string(), text.trim());
            }
        }
    }
}

/// A segment whose frames have right checksums, and anything in them: verified and searched. How
/// many failed calls a search finds in it.
pub fn segment(data: &[u8]) -> u64 {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    drop(Log::open(dir, "host.example/audit", AuditSettings::default(), 1).expect("log"));
    let path = dir.join("segments").join(format!("{:020}.seg", 0));
    let mut bytes = fs::read(&path).expect("segment");
    let mut first = 0;
    let mut rest = data;
    while let Some(([kind, count, raw, length], after)) = rest.split_first_chunk::<4>() {
        let (payload, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let mut frame = b"OAF1".to_vec();
        let stored = payload.len() as u32;
        let numbers = [
            1 + u32::from(kind & 1),
            stored,
            u32::from(*raw),
            u32::from(*count),
            31,
        ];
        for number in numbers {
            frame.extend_from_slice(&number.to_le_bytes());
        }
        for number in [first, 0, u64::MAX] {
            frame.extend_from_slice(&u64::to_le_bytes(number));
        }
        frame.extend_from_slice(&[0, 0, 0xff, 0xff]);
        frame.extend_from_slice(payload);
        let crc = crc32(&frame);
        frame.splice(52..52, crc.to_le_bytes());
        bytes.extend_from_slice(&frame);
        first += if kind & 1 == 0 { u64::from(*count) } else { 0 };
    }
    bytes.extend_from_slice(rest);
    fs::write(&path, bytes).expect("segment");
    look(dir);
    // A start makes something of it, and what it made is searched.
    if let Ok((mut log, _)) = Log::open(dir, "host.example/audit", AuditSettings::default(), 2) {
        log.seal(2).expect("seal");
    }
    look(dir)
}

fn look(dir: &Path) -> u64 {
    let report = verify(dir, &Trust::default(), &mut |_, _| {}).expect("readable");
    assert!(report.faults.len() <= 64);
    let filter = Filter::parse("status>=400 or path ~ \"*a*\"", 0).expect("a filter");
    let search = Search {
        dir,
        filter: &filter,
        index: true,
        keys: None,
        from: 0,
    };
    search
        .run(None, &mut |_, record| {
            assert!(record.len() <= 65_535 * 4);
            Ok::<(), AuditError>(())
        })
        .expect("readable")
        .found
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
