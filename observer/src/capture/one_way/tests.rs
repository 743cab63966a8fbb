use Direction::{Inbound, Outbound};

use super::*;

/// Connection, direction, offset, text.
type Told = (u64, u64, Direction, u64, String);

#[derive(Default)]
struct Bench {
    one_ways: OneWays,
    told: Vec<Told>,
    now: u64,
    offsets: std::collections::HashMap<u64, u64>,
}

impl Bench {
    fn plaintext(&mut self, object: u64, tid: u32, direction: Direction, text: &str) {
        self.now += 10;
        let offset = self.offsets.entry(object).or_default();
        let plaintext = OneWayPlaintext {
            object,
            tid,
            library: 0,
            time_ns: self.now,
            direction,
            offset: *offset,
            moved: text.len() as u32,
            bytes: text.as_bytes(),
        };
        *offset += text.len() as u64;
        let told = &mut self.told;
        self.one_ways
            .plaintext(&plaintext, Arc::default, &mut |joined| tell(told, &joined));
    }

    fn socket(&mut self, cookie: u64, tid: u32, direction: Direction, moved: u32) {
        self.now += 10;
        let call = SocketCall {
            cookie,
            tid,
            time_ns: self.now,
            direction,
            moved,
        };
        let told = &mut self.told;
        self.one_ways
            .socket_call(&call, &mut |joined| tell(told, &joined));
    }
}

fn tell(told: &mut Vec<Told>, joined: &Joined<'_>) {
    told.push((
        joined.stream,
        joined.cookie,
        joined.direction,
        joined.offset,
        String::from_utf8_lossy(joined.bytes).into_owned(),
    ));
}

#[test]
fn both_objects_of_a_connection_become_one_stream() {
    let mut bench = Bench::default();
    // A server: received, decrypted; encrypted on another thread, and sent by that.
    bench.socket(7, 1, Inbound, 100);
    bench.plaintext(20, 1, Inbound, "request");
    bench.plaintext(30, 2, Outbound, "head");
    bench.plaintext(30, 2, Outbound, "body");
    assert_eq!(bench.told.len(), 1, "what is not sent yet is held");
    bench.socket(7, 2, Outbound, 90);
    bench.plaintext(30, 2, Outbound, "more");
    let told: Vec<_> = bench
        .told
        .iter()
        .map(|(stream, cookie, _, offset, text)| (*stream, *cookie, *offset, text.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (20, 7, 0, "request"),
            (20, 7, 0, "head"),
            (20, 7, 4, "body"),
            (20, 7, 8, "more")
        ]
    );
}

#[test]
fn a_socket_call_too_small_for_the_records_is_another_connections() {
    let mut bench = Bench::default();
    bench.socket(7, 1, Inbound, 20);
    bench.plaintext(20, 1, Inbound, "request");
    bench.plaintext(30, 1, Outbound, "response");
    bench.socket(7, 1, Outbound, 24);
    assert_eq!(bench.told, []);
    // What comes next on the same thread does tell, and nothing was lost.
    bench.socket(8, 1, Inbound, 60);
    bench.plaintext(20, 1, Inbound, " again");
    assert_eq!(bench.told.len(), 2);
    assert!(bench.told.iter().all(|told| told.1 == 8));
}

#[test]
fn other_threads_do_not_count() {
    let mut bench = Bench::default();
    bench.socket(7, 1, Inbound, 100);
    bench.plaintext(20, 2, Inbound, "request");
    bench.plaintext(30, 1, Outbound, "response");
    bench.socket(7, 2, Outbound, 100);
    assert_eq!(bench.told, []);
}

#[test]
fn a_new_key_goes_on_where_the_old_one_ended() {
    let mut bench = Bench::default();
    bench.plaintext(30, 1, Outbound, "early");
    bench.socket(7, 1, Outbound, 5 + 22);
    bench.plaintext(31, 1, Outbound, "late");
    bench.socket(7, 1, Outbound, 4 + 22);
    assert_eq!(bench.told.len(), 2);
    assert_eq!(bench.told[1].0, 30);
    assert_eq!(bench.told[1].3, 5);
    // Bytes of another connection, sent while the first one's object is in use, bind nothing.
    bench.plaintext(40, 1, Outbound, "other");
    bench.socket(7, 1, Outbound, 5_000);
    assert_eq!(bench.told.len(), 2);
}

#[test]
fn what_is_held_is_bounded_and_counted() {
    let mut bench = Bench::default();
    for _ in 0..MOST_PIECES + 3 {
        bench.plaintext(20, 1, Inbound, "x");
    }
    assert_eq!(bench.one_ways.left_out(), 3);
    let large = "x".repeat(MOST_HELD + 1);
    bench.plaintext(21, 1, Inbound, &large);
    assert_eq!(bench.one_ways.left_out(), 4);
    assert!(bench.one_ways.freed(20) && !bench.one_ways.freed(20));
    assert_eq!(bench.one_ways.left_out(), 4 + MOST_PIECES as u64);
    assert_eq!(bench.one_ways.held, 0);
}

#[test]
fn objects_end_a_while_after_their_socket() {
    let mut bench = Bench::default();
    bench.socket(7, 1, Inbound, 100);
    bench.plaintext(20, 1, Inbound, "request");
    bench.one_ways.closed(7, bench.now);
    bench.one_ways.tick(bench.now);
    bench.plaintext(20, 1, Inbound, "late");
    assert_eq!(bench.told.len(), 2);
    bench.one_ways.tick(bench.now + LINGER_NS);
    assert!(!bench.one_ways.freed(20));
}
