//! What the head of a frame or of a block says of all its records, without reading them.

use super::field::Field;
use super::filter::Node;
use super::predicate::{Predicate, Test};
use super::verdict::Verdict;
use crate::audit::frame::FrameIndex;

/// What the index of a frame says of all its records.
pub(super) fn glance(node: &Node, index: &FrameIndex) -> Verdict {
    let bounds = |least: bool, most: bool| match (least, most) {
        (true, true) => Verdict::Yes,
        (false, false) => Verdict::No,
        _ => Verdict::Unknown,
    };
    match node {
        Node::All(nodes) => {
            let mut all = Verdict::Yes;
            for node in nodes {
                match glance(node, index) {
                    Verdict::No => return Verdict::No,
                    Verdict::Unknown => all = Verdict::Unknown,
                    Verdict::Yes => {}
                }
            }
            all
        }
        Node::Any(nodes) => {
            let mut any = Verdict::No;
            for node in nodes {
                match glance(node, index) {
                    Verdict::Yes => return Verdict::Yes,
                    Verdict::Unknown => any = Verdict::Unknown,
                    Verdict::No => {}
                }
            }
            any
        }
        Node::Not(node) => match glance(node, index) {
            Verdict::Yes => Verdict::No,
            Verdict::No => Verdict::Yes,
            Verdict::Unknown => Verdict::Unknown,
        },
        Node::Since(ms) => bounds(index.time.0 >= *ms, index.time.1 >= *ms),
        Node::Until(ms) => bounds(index.time.0 < *ms, index.time.1 < *ms),
        Node::Test(Predicate {
            field: Field::Status,
            test: Test::Within(ranges),
        }) => {
            let (least, most) = (u64::from(index.status.0), u64::from(index.status.1));
            let meets = |(from, to): &(u64, u64)| *from <= most && *to >= least;
            if ranges.iter().any(meets) {
                Verdict::Unknown
            } else {
                Verdict::No
            }
        }
        Node::Test(_) => Verdict::Unknown,
    }
}
