//! Real connections of curl and OpenSSL's client, with the secrets that those wrote down.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{DecryptCounts, DecryptShared, Decrypter, KeyLog, Opened};
use crate::stream::{Chunk, Direction, Piece};

const SESSIONS: &str = include_str!("tests/sessions.jsonl");
const KEYS: &[u8] = include_bytes!("tests/sessions.keys");

const REQUEST: &str = "GET /v1/orders/17 HTTP/1.1\r\n";

/// What was sent, in order.
type Pieces = Vec<(Direction, Vec<u8>)>;

/// Every session: its name, and its pieces.
fn sessions() -> Vec<(String, Pieces)> {
    let session = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let chunks = record["chunks"].as_array().expect("chunks");
        let piece = |chunk: &serde_json::Value| {
            let direction = match chunk["d"].as_str() {
                Some("c") => Direction::Inbound,
                _ => Direction::Outbound,
            };
            let bytes = chunk["b"].as_str().expect("bytes");
            (direction, BASE64_STANDARD.decode(bytes).expect("base64"))
        };
        let name = record["id"].as_str().expect("a name").to_owned();
        (name, chunks.iter().map(piece).collect())
    };
    SESSIONS.lines().map(session).collect()
}

fn session(name: &str) -> Pieces {
    let mut sessions = sessions().into_iter();
    let found = sessions.find(|(own, _)| own == name);
    found.expect("a session of that name").1
}

/// What came out: of each direction the bytes, gaps as so many `?`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    sides: [Vec<u8>; 2],
    version: Option<String>,
    counts: DecryptCounts,
}

struct Run {
    decrypter: Decrypter,
    shared: DecryptShared,
    places: [u64; 2],
    told: Told,
}

impl Run {
    fn new(keys: &[u8]) -> Self {
        Self {
            decrypter: Decrypter::default(),
            shared: DecryptShared::new(Arc::new(KeyLog::parse(keys))),
            places: [7, 9],
            told: Told::default(),
        }
    }

    fn push(&mut self, direction: Direction, piece: Piece<'_>) {
        let index = usize::from(direction == Direction::Outbound);
        let at = self.places[index];
        self.places[index] += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Gap(len) | Piece::Skipped(len) => len,
            Piece::End => 0,
        };
        let chunk = Chunk {
            direction,
            time_ns: 1,
            at,
            piece,
        };
        let told = &mut self.told;
        self.decrypter
            .push(&chunk, &mut self.shared, &mut |opened| match opened {
                Opened::Tls { tls, .. } => told.version.clone_from(&tls.version),
                Opened::Chunk(chunk) => {
                    let index = usize::from(chunk.direction == Direction::Outbound);
                    let side = &mut told.sides[index];
                    match chunk.piece {
                        Piece::Data(bytes) => side.extend_from_slice(bytes),
                        Piece::Gap(len) | Piece::Skipped(len) => {
                            side.extend(std::iter::repeat_n(b'?', len as usize));
                        }
                        Piece::End => {}
                    }
                }
            });
    }

    fn end(mut self) -> Told {
        self.decrypter.close(&mut self.shared);
        assert_eq!(self.shared.bytes, 0, "something is kept");
        self.told.counts = self.shared.counts;
        self.told
    }
}

fn opened(pieces: &[(Direction, Vec<u8>)], size: usize, keys: &[u8]) -> Told {
    let mut run = Run::new(keys);
    for (direction, bytes) in pieces {
        for part in bytes.chunks(size) {
            run.push(*direction, Piece::Data(part));
        }
    }
    run.end()
}

#[test]
fn every_version_and_cipher_is_opened_however_its_bytes_are_cut() {
    let mut versions = Vec::new();
    for (name, pieces) in sessions() {
        let whole = opened(&pieces, usize::MAX, KEYS);
        for size in [1, 7, 100, 1000] {
            assert_eq!(opened(&pieces, size, KEYS), whole, "{name}, {size}");
        }
        if name == "ECDHE-ECDSA-AES128-SHA" {
            // A cipher that does not prove records to be whole.
            assert_eq!(whole.sides, [const { Vec::<u8>::new() }; 2]);
            assert_eq!(whole.counts.unsupported, 1);
            continue;
        }
        assert_eq!(whole.counts.opened, 1, "{name}");
        assert_eq!(whole.counts.records_failed, 0, "{name}");
        let text = whole
            .sides
            .map(|side| String::from_utf8_lossy(&side).into_owned());
        let (asked, answered) = match name.as_str() {
            "h2" => ("PRI * HTTP/2.0\r\n", "{\"id\":17"),
            _ => (REQUEST, "HTTP/1.0 200 ok\r\n"),
        };
        assert!(text[0].starts_with(asked), "{name}: {}", text[0]);
        assert!(text[1].contains(answered), "{name}: {}", text[1]);
        assert!(text[1].contains("{\"id\":17,\"name\":\"tea\"}"), "{name}");
        versions.push(whole.version.expect("a version"));
    }
    versions.sort();
    versions.dedup();
    assert_eq!(versions, ["TLSv1.2", "TLSv1.3"]);
}

#[test]
fn without_its_secrets_a_connection_is_passed_on_as_it_is() {
    let pieces = session("TLS_AES_128_GCM_SHA256");
    let sent = |wanted| -> Vec<u8> {
        let of_side = pieces.iter().filter(|(direction, _)| *direction == wanted);
        of_side.flat_map(|(_, bytes)| bytes.clone()).collect()
    };
    for size in [1, usize::MAX] {
        let told = opened(&pieces, size, b"");
        assert_eq!(
            told.sides,
            [sent(Direction::Inbound), sent(Direction::Outbound)]
        );
        assert_eq!((told.counts.opened, told.counts.without_secrets), (0, 1));
    }
    let plain = [(Direction::Inbound, REQUEST.as_bytes().to_vec())];
    assert_eq!(opened(&plain, 3, KEYS).sides[0], REQUEST.as_bytes());
}

#[test]
fn bytes_missing_inside_a_record_cost_that_record_alone() {
    // The length of the record that holds the answer, which begins a piece.
    for (name, answer) in [
        ("TLS_AES_128_GCM_SHA256", 85),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", 92),
    ] {
        let pieces = session(name);
        let whole = opened(&pieces, usize::MAX, KEYS);
        let mut run = Run::new(KEYS);
        let mut lost = 0;
        for (direction, bytes) in &pieces {
            if *direction == Direction::Outbound && bytes.starts_with(&[23, 3, 3, 0, answer]) {
                run.push(*direction, Piece::Data(&bytes[..9]));
                run.push(*direction, Piece::Gap(8));
                run.push(*direction, Piece::Data(&bytes[17..]));
                lost += 1;
            } else {
                run.push(*direction, Piece::Data(bytes));
            }
        }
        assert_eq!(lost, 1, "{name}");
        let told = run.end();
        assert_eq!(told.sides[0], whole.sides[0]);
        assert_eq!(told.sides[1], vec![b'?'; whole.sides[1].len()], "{name}");
        // What comes after it is opened.
        assert_eq!(told.counts.records + 1, whole.counts.records, "{name}");
        assert_eq!(
            (told.counts.records_failed, told.counts.directions_lost),
            (0, 0)
        );
    }
}

#[test]
fn bytes_missing_between_records_end_their_direction() {
    let pieces = session("TLS_AES_128_GCM_SHA256");
    let whole = opened(&pieces, usize::MAX, KEYS);
    let mut run = Run::new(KEYS);
    for (direction, bytes) in &pieces {
        if bytes.starts_with(&[23, 3, 3, 0, 85]) {
            run.push(*direction, Piece::Gap(bytes.len() as u64));
        } else {
            run.push(*direction, Piece::Data(bytes));
        }
    }
    let told = run.end();
    assert_eq!(told.sides[0], whole.sides[0]);
    assert!(told.sides[1].iter().all(|byte| *byte == b'?'));
    assert_eq!(told.counts.directions_lost, 1);
}

#[test]
fn what_does_not_prove_to_be_whole_is_missing_and_never_told() {
    let mut pieces = session("TLS_CHACHA20_POLY1305_SHA256");
    let of_client = pieces.iter_mut().find(|(direction, bytes)| {
        *direction == Direction::Inbound && bytes.starts_with(&[20, 3, 3, 0, 1])
    });
    // The last record of the client's second flight is its request.
    let (_, flight) = of_client.expect("a second flight");
    *flight.last_mut().expect("a byte") ^= 1;
    let told = opened(&pieces, usize::MAX, KEYS);
    assert_eq!(told.sides[0], vec![b'?'; 108 - 17]);
    // What its sender says after it, that it ends, is opened.
    assert_eq!(
        (told.counts.records_failed, told.counts.directions_lost),
        (1, 0)
    );
}

#[test]
fn secrets_are_not_shown() {
    let keys = KeyLog::parse(KEYS);
    assert_eq!(keys.len(), 10);
    let secret = KEYS.split(|byte| *byte == b' ').nth(2).expect("a secret");
    let secret = String::from_utf8_lossy(&secret[..16]).into_owned();
    for text in [
        format!("{keys:?}"),
        format!("{:?}", DecryptShared::new(Arc::new(keys))),
        format!("{:?}", Decrypter::default()),
    ] {
        assert!(!text.contains(&secret), "{text}");
    }
}

#[test]
fn lines_that_hold_no_secret_are_counted() {
    let text = b"# comment\nCLIENT_RANDOM 12 34\nCLIENT_RANDOM zz\nOTHER x y\n\n";
    let keys = KeyLog::parse(text);
    assert!(keys.is_empty());
    assert_eq!(keys.bad_lines(), 2);
}
