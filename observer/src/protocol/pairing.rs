//! Says which request a response answers, and says nothing where that is not certain.
//!
//! Responses come in the order of their requests (RFC 9112 §9.3.2), so while nothing is lost the
//! oldest request is the one that is answered. Once messages may be missing in either direction,
//! counting no longer helps. Then two facts remain: a response never starts before its request,
//! and a client that never has two requests under way sends the next one only after the answer
//! to the last. So after a loss, on a connection that never pipelined, a response belongs to the
//! last request before it; on one that did, to none, until the connection has been quiet.

use std::collections::VecDeque;

use super::Rpc;

/// Requests of one connection that may wait for a response. Clients that pipeline send a few
/// dozen at once.
pub const MAX_IN_FLIGHT: usize = 256;

/// With no byte in either direction for so long, nothing is under way on a connection that
/// pipelines: its server answers one after the other without waiting.
const QUIET_NS: u64 = 1_000_000_000;

/// Requests under way that a connection keeps memory for.
const SMALL: usize = 4;

/// Methods that change how the response is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Connect,
    /// HTTP/0.9, whose answers have no head.
    Simple,
    Other,
}

impl Kind {
    pub(super) fn of(method: &str) -> Self {
        match method {
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// A request that waits for its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub id: u64,
    pub time_ns: u64,
    pub kind: Kind,
    /// It may name an operation, whose errors come with any status.
    pub asks: bool,
    /// It is a remote procedure call.
    pub rpc: Option<Rpc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Known(Pending),
    /// Any number of requests, none included, that were not seen.
    Unseen(u64),
}

impl Entry {
    fn time_ns(&self) -> u64 {
        match self {
            Self::Known(pending) => pending.time_ns,
            Self::Unseen(time_ns) => *time_ns,
        }
    }
}

/// The requests under way on one connection.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    queue: VecDeque<Entry>,
    /// Requests in the queue that were seen.
    known: usize,
    next_id: u64,
    /// Responses may be missing before the next one.
    responses_lost: bool,
    /// Two requests were under way at once.
    pipelined: bool,
}

impl Pairing {
    /// A request that was seen may be waiting.
    pub(super) fn waiting(&self) -> bool {
        self.known > 0
    }

    /// The next response answers a request of HTTP/0.9.
    pub(super) fn expects_simple(&self) -> bool {
        let front = self.queue.front();
        let simple = matches!(front, Some(Entry::Known(request)) if request.kind == Kind::Simple);
        simple && !self.responses_lost
    }

    /// Number of the next request.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Counting alone does not tell which request the next response answers.
    pub(super) fn uncertain(&self) -> bool {
        self.responses_lost || matches!(self.queue.front(), Some(Entry::Unseen(_)))
    }

    /// As many requests are under way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.known >= MAX_IN_FLIGHT
    }

    /// It takes no more memory than every connection is granted.
    pub(super) fn is_small(&self) -> bool {
        self.queue.capacity() <= SMALL
    }

    /// Memory in use beyond that, bytes.
    pub(super) fn memory(&self) -> usize {
        if self.is_small() {
            0
        } else {
            self.queue.capacity() * size_of::<Entry>()
        }
    }

    /// Forgets the requests under way: which response answers which is not known from here on.
    pub(super) fn give_up(&mut self, lost: &mut impl FnMut(u64)) {
        self.abandon(lost);
        self.pipelined = true;
        self.responses_lost = true;
    }

    fn shrink(&mut self) {
        if self.queue.len() <= 1 && !self.is_small() {
            self.queue.shrink_to(1);
        }
    }

    /// A request begins; before it, nothing moved since `quiet_since_ns`. `lost` is told the
    /// requests that will never be answered with certainty.
    pub(super) fn request(
        &mut self,
        time_ns: u64,
        kind: Kind,
        asks: bool,
        rpc: Option<Rpc>,
        quiet_since_ns: u64,
        mut lost: impl FnMut(u64),
    ) -> u64 {
        let quiet = time_ns.saturating_sub(quiet_since_ns) > QUIET_NS;
        if quiet && self.pipelined && (self.responses_lost || self.queue.len() > self.known) {
            self.abandon(&mut lost);
            self.responses_lost = false;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.queue.push_back(Entry::Known(Pending {
            id,
            time_ns,
            kind,
            asks,
            rpc,
        }));
        self.known += 1;
        id
    }

    /// A final response begins: the request it answers, if that is certain.
    pub(super) fn response(&mut self, time_ns: u64, mut lost: impl FnMut(u64)) -> Option<Pending> {
        if !self.responses_lost {
            match self.queue.front() {
                Some(&Entry::Known(pending)) => {
                    if pending.time_ns > time_ns {
                        return None;
                    }
                    self.queue.pop_front();
                    self.known -= 1;
                    self.shrink();
                    self.pipelined |= matches!(
                        self.queue.front(),
                        Some(Entry::Known(next)) if next.time_ns <= time_ns
                    );
                    return Some(pending);
                }
                Some(Entry::Unseen(_)) => {}
                None => {
                    self.request_lost(time_ns);
                    return None;
                }
            }
        }
        let mut candidates = 0;
        let mut known = 0;
        let mut last = None;
        for entry in self
            .queue
            .iter()
            .take_while(|entry| entry.time_ns() <= time_ns)
        {
            candidates += 1;
            last = match entry {
                Entry::Known(pending) => {
                    known += 1;
                    Some(*pending)
                }
                Entry::Unseen(_) => None,
            };
        }
        // With all responses seen, two open requests mean that they were under way together.
        self.pipelined |= known > 1 && !self.responses_lost;
        let answered = if self.pipelined { None } else { last };
        for entry in self.queue.drain(..candidates) {
            if let Entry::Known(pending) = entry {
                self.known -= 1;
                if Some(pending) != answered {
                    lost(pending.id);
                }
            }
        }
        if answered.is_some() {
            self.responses_lost = false;
        } else {
            self.queue.push_front(Entry::Unseen(0));
        }
        self.shrink();
        answered
    }

    /// Requests may have passed unseen.
    pub(super) fn request_lost(&mut self, time_ns: u64) {
        if !matches!(self.queue.back(), Some(Entry::Unseen(_))) {
            self.queue.push_back(Entry::Unseen(time_ns));
        }
    }

    /// Responses may have passed unseen; `begun` if the oldest one certainly has begun to. Then
    /// the request it answered is given up.
    pub(super) fn response_lost(&mut self, begun: bool) -> Option<u64> {
        let certain = !self.uncertain();
        self.responses_lost = true;
        if !(begun && certain) {
            return None;
        }
        match self.queue.front() {
            Some(&Entry::Known(pending)) => {
                self.queue.pop_front();
                self.known -= 1;
                Some(pending.id)
            }
            _ => None,
        }
    }

    /// Gives up all requests under way.
    pub(super) fn abandon(&mut self, lost: &mut impl FnMut(u64)) {
        for entry in self.queue.drain(..) {
            if let Entry::Known(pending) = entry {
                lost(pending.id);
            }
        }
        self.known = 0;
        self.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never(id: u64) {
        panic!("request {id} given up");
    }

    fn ask(pairing: &mut Pairing, time_ns: u64) -> u64 {
        pairing.request(time_ns, Kind::Other, false, None, time_ns, never)
    }

    fn answer(pairing: &mut Pairing, time_ns: u64) -> (Option<u64>, Vec<u64>) {
        let mut lost = Vec::new();
        let answered = pairing
            .response(time_ns, |id| lost.push(id))
            .map(|pending| pending.id);
        (answered, lost)
    }

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        let mut pairing = Pairing::default();
        let ids: Vec<_> = (0..3).map(|time| ask(&mut pairing, time)).collect();
        for id in ids {
            assert_eq!(answer(&mut pairing, 10), (Some(id), vec![]));
        }
        assert!(!pairing.uncertain());
    }

    #[test]
    fn the_answer_to_a_lost_request_is_not_given_to_the_next_one() {
        let mut pairing = Pairing::default();
        pairing.request_lost(10);
        assert_eq!(answer(&mut pairing, 20), (None, vec![]));
        let next = ask(&mut pairing, 30);
        assert_eq!(answer(&mut pairing, 40), (Some(next), vec![]));
    }

    #[test]
    fn a_response_older_than_every_request_is_an_orphan() {
        let mut pairing = Pairing::default();
        pairing.request_lost(10);
        let next = ask(&mut pairing, 30);
        assert_eq!(answer(&mut pairing, 20), (None, vec![]));
        assert_eq!(answer(&mut pairing, 40), (Some(next), vec![]));
    }

    #[test]
    fn a_request_before_the_loss_keeps_its_answer() {
        let mut pairing = Pairing::default();
        let first = ask(&mut pairing, 10);
        pairing.request_lost(20);
        assert_eq!(answer(&mut pairing, 30), (Some(first), vec![]));
    }

    #[test]
    fn a_lost_response_gives_up_its_request_only() {
        let mut pairing = Pairing::default();
        let first = ask(&mut pairing, 10);
        assert_eq!(pairing.response_lost(true), Some(first));
        let second = ask(&mut pairing, 20);
        assert_eq!(answer(&mut pairing, 30), (Some(second), vec![]));
        assert!(!pairing.uncertain());
    }

    #[test]
    fn after_a_lost_response_the_last_request_before_the_answer_has_it() {
        let mut pairing = Pairing::default();
        let first = ask(&mut pairing, 10);
        pairing.response_lost(false);
        let second = ask(&mut pairing, 20);
        let third = ask(&mut pairing, 50);
        assert_eq!(answer(&mut pairing, 30), (Some(second), vec![first]));
        assert_eq!(answer(&mut pairing, 60), (Some(third), vec![]));
    }

    #[test]
    fn a_pipelining_connection_pairs_nothing_after_a_loss_until_it_was_quiet() {
        let mut pairing = Pairing::default();
        let first = ask(&mut pairing, 10);
        let second = ask(&mut pairing, 10);
        assert_eq!(answer(&mut pairing, 20), (Some(first), vec![]));
        pairing.request_lost(30);
        let third = ask(&mut pairing, 40);
        assert_eq!(answer(&mut pairing, 50), (Some(second), vec![]));
        assert_eq!(answer(&mut pairing, 60), (None, vec![third]));
        let fourth = ask(&mut pairing, 70);
        assert_eq!(answer(&mut pairing, 80), (None, vec![fourth]));
        let fifth = pairing.request(5_000_000_000, Kind::Other, false, None, 80, never);
        assert_eq!(answer(&mut pairing, 5_000_000_001), (Some(fifth), vec![]));
    }

    #[test]
    fn two_requests_open_after_a_lost_one_are_both_given_up() {
        let mut pairing = Pairing::default();
        pairing.request_lost(10);
        let (first, second) = (ask(&mut pairing, 20), ask(&mut pairing, 30));
        assert_eq!(answer(&mut pairing, 40), (None, vec![first, second]));
    }

    #[test]
    fn requests_without_answers_are_bounded() {
        let mut pairing = Pairing::default();
        let mut lost = 0;
        for time in 0..10_000 {
            if pairing.is_full() {
                pairing.give_up(&mut |_| lost += 1);
            }
            pairing.request(time, Kind::Other, false, None, time, |_| lost += 1);
            assert!(pairing.queue.len() <= MAX_IN_FLIGHT + 1);
        }
        assert!(lost >= 10_000 - MAX_IN_FLIGHT);
        pairing.abandon(&mut |_| {});
        assert!(pairing.is_small());
    }
}
