//! TCP segments as networks and hosts deliver them.

use super::support::*;
use crate::pipeline::PipelineSettings;
use crate::stream::{ConnId, Input, Segment};

/// A connection in segments: requests in, responses out.
fn exchange() -> (Vec<u8>, Vec<u8>) {
    let mut requests = Vec::new();
    let mut responses = Vec::new();
    for number in 0..20usize {
        requests.extend(get(&format!("/{number}")));
        responses.extend(ok(number * 7));
    }
    (requests, responses)
}

fn expected() -> Vec<String> {
    (0..20)
        .map(|number| format!("GET /{number} 200 0 {}", number * 7))
        .collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Cuts a stream into segments, sends some twice or overlapping, and moves each by a few places.
fn disordered(stream: &[u8], first_seq: u32, random: &mut Random) -> Vec<(u32, Vec<u8>)> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let len = (1 + random.below(40) as usize).min(stream.len() - at);
        let back = random.below(10).min(at as u64) as usize;
        let from = if random.below(4) == 0 { at - back } else { at };
        segments.push((
            first_seq.wrapping_add(from as u32),
            stream[from..at + len].to_vec(),
        ));
        if random.below(5) == 0 {
            segments.push(segments[segments.len() - 1].clone());
        }
        at += len;
    }
    for index in 0..segments.len() {
        let other = (index + random.below(6) as usize).min(segments.len() - 1);
        segments.swap(index, other);
    }
    segments
}

#[test]
fn order_duplicates_overlaps_and_wrap_do_not_change_the_calls() {
    let (requests, responses) = exchange();
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut run = Run::default();
        for (direction, stream) in [(Inbound, &requests), (Outbound, &responses)] {
            // Wraps within the first few hundred bytes.
            let isn = u32::MAX - random.below(400) as u32;
            run.segment(Segment {
                syn: true,
                ..segment(direction, 1, isn, 0)
            });
            for (seq, bytes) in disordered(stream, isn.wrapping_add(1), &mut random) {
                run.segment(Segment {
                    bytes: &bytes,
                    ..segment(direction, 1, seq, bytes.len() as u32)
                });
            }
        }
        run.close();
        assert_eq!(run.lines(), expected(), "seed {seed}");
        let counts = run.pipeline.counts();
        assert_eq!((counts.stream.gaps, counts.stream.stray_segments), (0, 0));
        run.assert_empty();
    }
}

#[test]
fn the_first_bytes_win_where_segments_differ() {
    let mut run = Run::default();
    run.segment(Segment {
        bytes: b"GET /first",
        ..segment(Inbound, 1, 100, 10)
    });
    run.segment(Segment {
        bytes: b"GET /second HTTP/1.1\r\n\r\n",
        ..segment(Inbound, 1, 100, 24)
    });
    run.tcp(Outbound, &ok(0));
    assert_eq!(run.lines(), ["GET /firstd 200 0 0"]);
    assert_eq!(run.pipeline.counts().stream.duplicate_bytes, 10);
}

#[test]
fn the_end_comes_after_all_bytes_before_it() {
    let mut run = Run::default();
    run.tcp(Inbound, &get("/"));
    let head = b"HTTP/1.0 200 OK\r\n\r\n";
    run.segment(Segment {
        bytes: head,
        ..segment(Outbound, 5 * MS, 500, 19)
    });
    run.segment(Segment {
        fin: true,
        bytes: b"end",
        ..segment(Outbound, 6 * MS, 525, 3)
    });
    assert!(run.calls().is_empty());
    run.segment(Segment {
        bytes: b"middle",
        ..segment(Outbound, 7 * MS, 519, 6)
    });
    assert_eq!(run.lines(), ["GET / 200 0 9"]);
    run.assert_empty();
}

#[test]
fn an_end_whose_bytes_are_lost_is_told_when_they_are_overdue() {
    let mut run = Run::default();
    run.tcp(Inbound, &get("/"));
    let head = b"HTTP/1.0 200 OK\r\n\r\n";
    run.segment(Segment {
        bytes: head,
        ..segment(Outbound, 5 * MS, 500, 19)
    });
    run.segment(Segment {
        fin: true,
        ..segment(Outbound, 6 * MS, 600, 0)
    });
    run.tick(10 * MS);
    assert!(run.calls().is_empty());
    run.tick(1000 * MS);
    assert_eq!(run.lines(), ["GET / 200 0 81 gap"]);
}

#[test]
fn stray_segments_and_resets_change_nothing() {
    let mut run = Run::default();
    run.tcp(Inbound, b"GET / HTTP/1.1\r\n");
    for forged in [1 << 24, 1 << 30, 1 << 31, u32::MAX - (1 << 25)] {
        let seq = 1000u32.wrapping_add(forged);
        run.segment(Segment {
            bytes: b"GET /forged HTTP/1.1\r\n\r\n",
            ..segment(Inbound, 2, seq, 24)
        });
        run.segment(Segment {
            fin: true,
            ..segment(Inbound, 2, seq, 0)
        });
        run.segment(Segment {
            rst: true,
            ..segment(Inbound, 2, 1016, 0)
        });
    }
    run.tcp(Inbound, b"\r\n").tcp(Outbound, &ok(0));
    assert_eq!(run.lines(), ["GET / 200 0 0"]);
    let counts = run.pipeline.counts().stream;
    assert_eq!(
        (counts.stray_segments, counts.resets, counts.gaps),
        (8, 4, 0)
    );
}

#[test]
fn a_loss_larger_than_the_window_is_found_when_segments_agree() {
    let mut run = Run::default();
    run.tcp(Inbound, &get("/before")).tcp(Outbound, &ok(0));
    run.lost(Inbound, 100 << 20).lost(Outbound, 3 << 30);
    for number in 0..10 {
        run.tcp(Inbound, &get(&format!("/{number}")))
            .tcp(Outbound, &ok(number));
    }
    assert_eq!(run.pipeline.counts().stream.relocations, 2);
    let lines = run.lines();
    assert_eq!(lines[0], "GET /before 200 0 0");
    assert_eq!(lines.last().unwrap(), "GET /9 200 0 9");
    assert!(lines.len() >= 7, "{lines:?}");
}

#[test]
fn bytes_held_back_are_bounded_for_each_and_for_all() {
    let mut run = Run::default();
    let bytes = [b'x'; 1400];
    for conn in 0..500 {
        for piece in 0..400u32 {
            let start = Segment {
                conn: ConnId(conn),
                from_start: true,
                ..segment(Inbound, 1, 0, 1)
            };
            if piece == 0 {
                run.segment(Segment {
                    bytes: b"G",
                    ..start
                });
            }
            let seq = 10 + piece * 1500;
            run.segment(Segment {
                seq,
                len: 1400,
                bytes: &bytes,
                ..start
            });
        }
        assert!(run.pipeline.buffered_bytes() <= 17 << 20);
    }
    assert!(run.pipeline.counts().stream.holes_over_limit > 0);
    run.assert_empty();
}

#[test]
fn the_table_of_connections_is_bounded_and_forgets_idle_ones() {
    let settings = PipelineSettings {
        max_connections: 100,
        idle_ns: 1000 * MS,
        ..Default::default()
    };
    let mut run = Run::with_settings(settings);
    for conn in 0..10_000 {
        let bytes = get("/");
        let open = segment(Inbound, conn * MS, 1, bytes.len() as u32);
        run.segment(Segment {
            conn: ConnId(conn),
            bytes: &bytes,
            ..open
        });
        assert!(run.pipeline.connections() <= 100);
    }
    assert_eq!(run.pipeline.counts().stream.evicted, 9_900);
    assert_eq!(run.calls().len(), 9_900);
    run.tick(10_500 * MS);
    assert_eq!(run.pipeline.connections(), 100);
    run.tick(12_000 * MS);
    assert_eq!(run.pipeline.connections(), 0);
    assert_eq!(
        (run.pipeline.counts().stream.idle, run.calls().len()),
        (100, 10_000)
    );
    run.assert_empty();
}

#[test]
fn acknowledgements_of_unknown_connections_are_not_remembered() {
    let mut run = Run::default();
    run.segment(segment(Inbound, 1, 5, 0));
    run.segment(Segment {
        rst: true,
        ..segment(Inbound, 1, 5, 0)
    });
    run.input(Input::Closed {
        conn: CONN,
        time_ns: 1,
    });
    assert_eq!(run.pipeline.connections(), 0);
}
