//! Capture files made here, and the calls in them.

use std::io::{Cursor, Write as _};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::call::ApiCall;
use crate::pipeline::{Output, Pipeline, PipelineSettings};

const REQUEST: &[u8] = b"GET /v1/items HTTP/1.1\r\nHost: h\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A TCP segment, in IPv4 or IPv6; `c`lient or `s`erver, flags, sequence number, payload.
type Step<'a> = (char, u8, u32, &'a [u8]);

const SYN: u8 = 2;
const ACK: u8 = 16;

fn tcp(step: Step<'_>) -> Vec<u8> {
    let (side, flags, seq, payload) = step;
    let ports: [u16; 2] = if side == 'c' { [5000, 80] } else { [80, 5000] };
    let mut out = Vec::new();
    for port in ports {
        out.extend(port.to_be_bytes());
    }
    out.extend(seq.to_be_bytes());
    out.extend([0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    out.extend(payload);
    out
}

fn ipv4_part(side: char, payload: &[u8], place: u16) -> Vec<u8> {
    let len = (20 + payload.len()) as u16;
    let mut out = vec![0x45, 0];
    out.extend(len.to_be_bytes());
    out.extend([0, 7]);
    out.extend(place.to_be_bytes());
    out.extend([64, 6, 0, 0]);
    let ends = [[10, 0, 0, 2], [10, 0, 0, 1]];
    let order = if side == 'c' { [0, 1] } else { [1, 0] };
    out.extend(order.iter().flat_map(|&index: &usize| ends[index]));
    out.extend(payload);
    out
}

fn ipv4(step: Step<'_>) -> Vec<u8> {
    ipv4_part(step.0, &tcp(step), 0)
}

fn ipv6(step: Step<'_>) -> Vec<u8> {
    let payload = tcp(step);
    // With a header of options for the destination.
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([60, 64]);
    let ends = [[2u8; 16], [1; 16]];
    let order = if step.0 == 'c' { [0, 1] } else { [1, 0] };
    out.extend(order.iter().flat_map(|&index: &usize| ends[index]));
    out.extend([6, 0, 1, 4, 0, 0, 0, 0]);
    out.extend(payload);
    out
}

fn ethernet(kind: &[u8], packet: &[u8]) -> Vec<u8> {
    [&[2; 12], kind, packet].concat()
}

fn pcap(link: u32, packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    out.extend([0; 8]);
    out.extend(262_144u32.to_le_bytes());
    out.extend(link.to_le_bytes());
    for (time_ms, packet) in packets {
        let len = (packet.len() as u32).to_le_bytes();
        out.extend((1_700_000_000 + time_ms / 1000).to_le_bytes());
        out.extend((time_ms % 1000 * 1000).to_le_bytes());
        out.extend(len);
        out.extend(len);
        out.extend(packet);
    }
    out
}

fn pcapng(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let len = (12 + padded as u32).to_be_bytes();
        let mut out = kind.to_be_bytes().to_vec();
        out.extend(len);
        out.extend(body);
        out.resize(8 + padded, 0);
        out.extend(len);
        out
    };
    let section = [&[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..], &[0xff; 8]].concat();
    // Raw IP, times in nanoseconds.
    let interface = [0, 101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0];
    let mut out = block(0x0a0d_0d0a, &section);
    out.extend(block(1, &interface));
    out.extend(block(5, &[0; 12]));
    for (time_ms, packet) in packets {
        let time_ns = 1_700_000_000_000_000_000 + u64::from(*time_ms) * 1_000_000;
        let len = (packet.len() as u32).to_be_bytes();
        let time = time_ns.to_be_bytes();
        out.extend(block(6, &[&[0; 4], &time[..], &len, &len, packet].concat()));
    }
    out
}

fn replayed(file: &[u8]) -> (Result<Replayed, ReplayError>, Vec<ApiCall>) {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let mut calls = Vec::new();
    let mut out = |output| {
        if let Output::Call(call) = output {
            calls.push(call);
        }
    };
    let name = Path::new("some.pcap");
    let result = replay(&mut Cursor::new(file), name, &mut pipeline, &mut out);
    assert_eq!((pipeline.connections(), pipeline.buffered_bytes()), (0, 0));
    (result, calls)
}

fn lines(file: &[u8]) -> Vec<String> {
    let (result, calls) = replayed(file);
    assert!(result.is_ok(), "{result:?}");
    let line = |call: &ApiCall| {
        let flags: Vec<_> = call.flags.iter().map(|flag| flag.as_str()).collect();
        let status = call.status.unwrap_or_default();
        let (path, bytes) = (&call.path, call.response_bytes);
        format!("{path} {status} {bytes} {}", flags.join(","))
            .trim_end()
            .to_owned()
    };
    calls.iter().map(line).collect()
}

/// A whole connection with one call, 10 ms between segments.
fn steps() -> Vec<Step<'static>> {
    vec![
        ('c', SYN, 99, b""),
        ('s', SYN | ACK, 499, b""),
        ('c', ACK, 100, REQUEST),
        ('s', ACK, 500, ANSWER),
        ('c', ACK | 1, 100 + REQUEST.len() as u32, b""),
        ('s', ACK | 1, 500 + ANSWER.len() as u32, b""),
    ]
}

fn timed(steps: &[Step<'_>], packet: impl Fn(Step<'_>) -> Vec<u8>) -> Vec<(u32, Vec<u8>)> {
    let packets = steps.iter().map(|step| packet(*step));
    (0..).step_by(10).zip(packets).collect()
}

#[test]
fn a_call_is_the_same_whatever_carries_it() {
    let raw = timed(&steps(), ipv4);
    let with = |head: &'static [u8]| timed(&steps(), move |step| [head, &ipv4(step)].concat());
    let framed = |kind: &'static [u8]| timed(&steps(), move |step| ethernet(kind, &ipv4(step)));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&pcap(101, &raw)).unwrap();
    let sll = [0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
    let sll2 = [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0];
    let prefixed = |head: &[u8]| timed(&steps(), |step| [head, &ipv4(step)].concat());
    for (name, file) in [
        ("raw", pcap(101, &raw)),
        ("gzip", gzip.finish().unwrap()),
        ("pcapng", pcapng(&raw)),
        ("ethernet", pcap(1, &framed(&[8, 0]))),
        ("vlan", pcap(1, &framed(&[0x81, 0, 0, 5, 8, 0]))),
        (
            "double vlan",
            pcap(1, &framed(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0])),
        ),
        (
            "mpls",
            pcap(1, &framed(&[0x88, 0x47, 0, 1, 0xd0, 9, 0, 1, 0xd1, 9])),
        ),
        (
            "pppoe",
            pcap(1, &framed(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 9, 0, 0x21])),
        ),
        ("cooked", pcap(113, &prefixed(&sll))),
        ("cooked v2", pcap(276, &prefixed(&sll2))),
        ("loopback", pcap(0, &with(&[2, 0, 0, 0]))),
        ("loopback of the network", pcap(108, &with(&[0, 0, 0, 2]))),
    ] {
        let (result, calls) = replayed(&file);
        assert_eq!(result.unwrap().connections, 1, "{name}");
        let [call] = calls.as_slice() else {
            panic!("{name}: {calls:?}")
        };
        assert_eq!(
            (&*call.path, call.status, call.response_bytes),
            ("/v1/items", Some(200), 5),
            "{name}"
        );
        assert_eq!(call.client, "10.0.0.2:5000".parse().ok(), "{name}");
        assert_eq!(call.server, "10.0.0.1:80".parse().ok(), "{name}");
        assert_eq!(call.time_unix_ns, 1_700_000_000_020_000_000, "{name}");
        assert_eq!(call.duration_ns, Some(10_000_000), "{name}");
        assert!(call.flags.is_empty(), "{name}");
    }
    assert_eq!(
        lines(&pcap(101, &timed(&steps(), ipv6))),
        ["/v1/items 200 5"]
    );
}

#[test]
fn segments_resent_reordered_overlapping_and_lost_make_the_stream() {
    let mut mixed = steps();
    let (start, rest) = REQUEST.split_at(10);
    mixed.splice(
        2..3,
        [
            ('c', ACK, 110, rest),
            ('c', ACK, 104, &REQUEST[4..20]),
            ('c', ACK, 100, start),
            ('c', ACK, 100, REQUEST),
        ],
    );
    assert_eq!(lines(&pcap(101, &timed(&mixed, ipv4))), ["/v1/items 200 5"]);
    // Resent after a second.
    let mut late = timed(&mixed, ipv4);
    for (time_ms, _) in &mut late[4..] {
        *time_ms += 1000;
    }
    assert_eq!(lines(&pcap(101, &late)), ["/v1/items 200 5"]);
    let mut lost = steps();
    lost[3].3 = &ANSWER[..ANSWER.len() - 3];
    assert_eq!(
        lines(&pcap(101, &timed(&lost, ipv4))),
        ["/v1/items 200 5 gap"]
    );
    // A port used again is another connection.
    let twice = [steps(), steps()].concat();
    let again: Vec<_> = twice
        .iter()
        .enumerate()
        .map(|(at, &(side, flags, seq, text))| {
            (side, flags, seq + if at < 6 { 0 } else { 9000 }, text)
        })
        .collect();
    assert_eq!(
        lines(&pcap(101, &timed(&again, ipv4))),
        ["/v1/items 200 5"; 2]
    );
}

#[test]
fn fragments_and_cut_packets_are_read() {
    let whole = tcp(steps()[2]);
    let mut packets = timed(&steps(), ipv4);
    packets.splice(
        2..3,
        [
            (20, ipv4_part('c', &whole[32..], 4)),
            (20, ipv4_part('c', &whole[..32], 0x2000)),
        ],
    );
    assert_eq!(lines(&pcap(101, &packets)), ["/v1/items 200 5"]);
    // A capture that kept only the first bytes of each packet: what is missing has a length.
    let mut short = timed(&steps(), ipv4);
    let len = short[3].1.len() - 3;
    short[3].1.truncate(len);
    assert_eq!(lines(&pcap(101, &short)), ["/v1/items 200 5 gap"]);
}

#[test]
fn faults_name_the_packet() {
    let error = |file: &[u8]| replayed(file).0.unwrap_err().to_string();
    let packets = timed(&steps(), ipv4);
    assert!(error(&pcap(105, &packets)).starts_with("some.pcap: packet 1: has link type 105"));
    let mut damaged = pcap(101, &packets);
    damaged[24 + 8..24 + 12].fill(0xff);
    assert!(error(&damaged).starts_with("some.pcap: packet 1: has a length"));
    let file = pcap(101, &packets);
    let cut = &file[..file.len() - 5];
    assert_eq!(
        lines(cut),
        ["/v1/items 200 5"],
        "a killed capture ends within a packet"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_files_are_read_or_refused(
        which in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        end in any::<prop::sample::Index>(),
    ) {
        let raw = timed(&steps(), ipv4);
        let framed = timed(&steps(), |step| ethernet(&[0x81, 0, 0, 5, 8, 0], &ipv4(step)));
        let mut file = [pcap(101, &raw), pcapng(&raw), pcap(1, &framed)][which].clone();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(end.index(file.len()) + 1);
        let (_, calls) = replayed(&file);
        prop_assert!(calls.len() <= 1);
    }
}
