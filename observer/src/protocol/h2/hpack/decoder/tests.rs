use super::*;

type Pair = (Option<String>, Option<String>);

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, HpackError> {
    let mut fields = Vec::new();
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    decoder
        .decode(block, &mut Scratch::default(), &mut |field| {
            fields.push((text(field.name), text(field.value)));
        })
        .map(|()| fields)
}

fn known(name: &str, value: &str) -> Pair {
    (Some(name.to_owned()), Some(value.to_owned()))
}

/// RFC 7541 C.3: three requests on one connection, no Huffman coding.
const FIRST: &[u8] = b"\x82\x86\x84\x41\x0fwww.example.com";
const SECOND: &[u8] = b"\x82\x86\x84\xbe\x58\x08no-cache";
const THIRD: &[u8] = b"\x82\x87\x85\xbf\x40\x0acustom-key\x0ccustom-value";

#[test]
fn requests_of_the_rfc_are_read() {
    let mut decoder = Decoder::new(false);
    let host = known(":authority", "www.example.com");
    let first = decode(&mut decoder, FIRST).unwrap();
    assert_eq!(first[0], known(":method", "GET"));
    assert_eq!(first[3], host);
    let second = decode(&mut decoder, SECOND).unwrap();
    assert_eq!(
        second[3..],
        [host.clone(), known("cache-control", "no-cache")]
    );
    let third = decode(&mut decoder, THIRD).unwrap();
    assert_eq!(
        third[1..3],
        [known(":scheme", "https"), known(":path", "/index.html")]
    );
    assert_eq!(third[3..], [host, known("custom-key", "custom-value")]);
}

#[test]
fn entries_from_before_a_join_are_unknown_and_learned_again() {
    let mut decoder = Decoder::new(true);
    let second = decode(&mut decoder, SECOND).unwrap();
    assert_eq!(second[3], (None, None));
    assert_eq!(second[4], known("cache-control", "no-cache"));
    // 62 is what was inserted since, 63 is from before.
    let third = decode(&mut decoder, THIRD).unwrap();
    assert_eq!(third[3], (None, None));
    let again = decode(&mut decoder, b"\xbe\xbf\xc0").unwrap();
    assert_eq!(again[0], known("custom-key", "custom-value"));
    assert_eq!(again[1], known("cache-control", "no-cache"));
    assert_eq!(again[2], (None, None));
}

#[test]
fn a_name_that_is_not_known_stays_so_when_its_entry_is_used() {
    let mut decoder = Decoder::new(true);
    let fields = decode(&mut decoder, b"\x7e\x01v\xbe").unwrap();
    let unknown = (None, Some("v".to_owned()));
    assert_eq!(fields, [unknown.clone(), unknown]);
}

#[test]
fn blocks_that_break_the_rules_are_refused_and_the_table_is_forgotten() {
    for (block, expected) in [
        (&b"\x80"[..], HpackError::Index),
        (b"\xbe", HpackError::Index),
        (b"\x7e\x01v", HpackError::Index),
        (b"\x82\x20", HpackError::SizeUpdate),
        (b"\x3f\xe2\x1f", HpackError::SizeUpdate),
        (b"\x40\x05ab", HpackError::Truncated),
        (b"\x40\x01a", HpackError::Truncated),
        (b"\x40\x81\xffa", HpackError::Huffman),
        (b"\xff\xff\xff\xff\xff\xff", HpackError::Integer),
    ] {
        let mut decoder = Decoder::new(false);
        assert_eq!(decode(&mut decoder, block), Err(expected), "{block:x?}");
        assert!(decoder.is_partial());
    }
}

#[test]
fn a_size_update_evicts_and_needs_leave_to_grow() {
    let mut decoder = Decoder::new(false);
    decode(&mut decoder, FIRST).unwrap();
    assert_eq!(
        decode(&mut decoder, b"\x20\x3f\xe1\x1f\x82").unwrap().len(),
        1
    );
    assert_eq!(decode(&mut decoder, b"\xbe"), Err(HpackError::Index));
    let mut decoder = Decoder::new(false);
    decoder.allow(8192);
    assert!(decode(&mut decoder, b"\x3f\xe1\x3f").is_ok());
}

#[test]
fn the_oldest_entries_of_a_table_above_the_bound_are_unknown() {
    let mut decoder = Decoder::new(false);
    decoder.allow(1 << 20);
    // Size update to 1 MiB.
    decode(&mut decoder, b"\x3f\xe1\xff\x3f").unwrap();
    let mut block = b"\x40\x01a\x7f\x81\x7d".to_vec();
    block.extend([b'v'; 16_128]);
    for _ in 0..8 {
        decode(&mut decoder, &block).unwrap();
    }
    assert_eq!(decode(&mut decoder, b"\xc5").unwrap(), [(None, None)]);
    assert!(decoder.memory() < 4 * MAX_TABLE);
}
