//! Feeds a capture file to a pipeline.

use std::io::BufRead;
use std::path::Path;

use super::flows::Flows;
use super::fragments::Fragments;
use super::packets::Packets;
use super::{CaptureWrong, ReplayError, Replayed, network};
use crate::pipeline::{Output, Pipeline};

/// How much longer than live missing bytes are waited for. A capture between the two ends sees
/// what is resent only when it is, in both directions: after a few round trips, or a second.
const PATIENCE_NS: u64 = 3_000_000_000;

/// Replays pcap or pcapng; `name` stands for it in errors.
pub(super) fn replay_capture(
    reader: &mut impl BufRead,
    name: &Path,
    pipeline: &mut Pipeline,
    out: &mut impl FnMut(Output),
) -> Result<Replayed, ReplayError> {
    let patience_ns = pipeline.set_patience(PATIENCE_NS);
    let mut flows = Flows::default();
    let mut segments = 0;
    let read = replay_packets(reader, &mut flows, &mut segments, pipeline, out);
    // What came before a fault is told.
    flows.finish(pipeline, out);
    pipeline.set_patience(patience_ns);
    match read {
        Ok(()) => Ok(Replayed {
            connections: flows.count(),
            chunks: segments,
        }),
        Err((packet, wrong)) => Err(ReplayError::Capture {
            path: name.to_owned(),
            packet,
            wrong,
        }),
    }
}

fn replay_packets(
    reader: &mut impl BufRead,
    flows: &mut Flows,
    segments: &mut u64,
    pipeline: &mut Pipeline,
    out: &mut impl FnMut(Output),
) -> Result<(), (u64, CaptureWrong)> {
    let mut packets = Packets::open(reader).map_err(|wrong| (0, wrong))?;
    let mut fragments = Fragments::default();
    for number in 1.. {
        let packet = match packets.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(wrong) => return Err((number, wrong)),
        };
        if !network::is_known(packet.link) {
            return Err((number, CaptureWrong::Link(packet.link)));
        }
        let time_ns = packet.time_ns;
        network::segment(
            packet.link,
            packet.bytes,
            time_ns,
            &mut fragments,
            &mut |segment| {
                *segments += u64::from(segment.len > 0);
                flows.push(&segment, time_ns, pipeline, out);
            },
        );
    }
    Ok(())
}
