//! Usage by caller, client, endpoint and service.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use super::dimension::Dimension;
use super::measure::Measured;
use super::moment::Moment;
use super::name::{write_client, write_name};
use super::ranking::Ranking;
use super::row::Row;
use crate::call::{ApiCall, Role};
use crate::hashing::Keyed;

/// Rows kept of each dimension at least, twice as many at most, about 1.1 KiB each: what a person
/// or a price list asks for is among the first hundred; more makes the bound of the rest tight.
const MOST: [usize; 4] = [2048, 2048, 2048, 512];

/// Counts what is served here. Calls that go out are of other hosts' services.
#[derive(Debug)]
pub struct Meter {
    /// In the order of [`Dimension::ALL`].
    rankings: [Ranking; 4],
    hasher: Keyed,
    scratch: String,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            rankings: MOST.map(Ranking::new),
            hasher: Keyed::default(),
            scratch: String::new(),
        }
    }
}

impl Meter {
    /// Counts a call that is named and judged.
    pub fn push(&mut self, call: &ApiCall) {
        if call.role != Role::Server {
            return;
        }
        let Self {
            rankings,
            hasher,
            scratch,
        } = self;
        let more = Measured::of(call);
        let moment = Moment::at(call.time_unix_ns);
        let mut caller = None;
        for (ranking, dimension) in rankings.iter_mut().zip(Dimension::ALL) {
            if !write_name(dimension, call, scratch) {
                continue;
            }
            let key = hasher.hash_one(scratch.as_str());
            let row = ranking.push(key, || scratch.as_str().into(), &moment, more);
            match dimension {
                Dimension::Identity => caller = Some(key),
                Dimension::Client => {
                    if let Some(caller) = caller {
                        row.note_caller(caller.max(1));
                    }
                }
                Dimension::Endpoint | Dimension::Service => {}
            }
        }
    }

    /// The rows of a dimension.
    pub fn ranking(&self, dimension: Dimension) -> &Ranking {
        let [identity, client, endpoint, service] = &self.rankings;
        match dimension {
            Dimension::Identity => identity,
            Dimension::Client => client,
            Dimension::Endpoint => endpoint,
            Dimension::Service => service,
        }
    }

    /// The same, to change.
    pub(super) fn ranking_mut(&mut self, dimension: Dimension) -> &mut Ranking {
        let [identity, client, endpoint, service] = &mut self.rankings;
        match dimension {
            Dimension::Identity => identity,
            Dimension::Client => client,
            Dimension::Endpoint => endpoint,
            Dimension::Service => service,
        }
    }

    /// Goes on with a row of an earlier run.
    pub fn restore(&mut self, dimension: Dimension, row: Row) {
        let key = self.hasher.hash_one(&*row.name);
        self.ranking_mut(dimension).restore(key, row);
    }

    /// Goes on with the sums of an earlier run.
    pub fn restore_head(&mut self, dimension: Dimension, total: Measured, missed: u64) {
        self.ranking_mut(dimension).restore_head(total, missed);
    }

    /// Takes up to `most` rows of a dimension that changed since they were last taken.
    pub fn take_changed(&mut self, dimension: Dimension, most: usize) -> Vec<Row> {
        self.ranking_mut(dimension).take_changed(most)
    }

    /// Callers that a client's address is known to be shared by, up to four.
    pub fn callers_of(&self, client: IpAddr) -> usize {
        let mut name = String::new();
        write_client(client, &mut name);
        let key = self.hasher.hash_one(name.as_str());
        let row = self.ranking(Dimension::Client).row(key);
        row.map_or(0, Row::callers)
    }

    /// Rows let go so far.
    pub fn evicted(&self) -> u64 {
        self.rankings.iter().map(Ranking::evicted).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Meter;
    use crate::call::{AuthOutcome, Identity, IdentityKind, Role};
    use crate::catalog::sample;
    use crate::usage::{Dimension, Row};

    fn call(user: &str, last: u8, status: u16) -> crate::call::ApiCall {
        let mut call = sample::call("GET", "/orders/1", Some(status));
        call.service = Some("shop".into());
        call.route = Some("/orders/{id}".into());
        call.client = Some(([192, 0, 2, last], 40_000).into());
        call.identity = Some(Arc::new(Identity {
            kind: IdentityKind::Basic,
            id: user.into(),
            fingerprint: None,
            earlier: None,
            class: None,
            source: "header:authorization".into(),
            verified: true,
            claims: None,
        }));
        call
    }

    fn row<'a>(meter: &'a Meter, dimension: Dimension, name: &str) -> &'a Row {
        let found = meter
            .ranking(dimension)
            .rows()
            .find(|row| &*row.name == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn each_call_counts_for_its_caller_client_endpoint_and_service() {
        let mut meter = Meter::default();
        for n in 0..3 {
            meter.push(&call("ana", 7, if n == 0 { 503 } else { 200 }));
        }
        let mut refused = call("bob", 7, 401);
        refused.auth.outcome = AuthOutcome::Failed;
        meter.push(&refused);
        let mut outgoing = call("bob", 7, 200);
        outgoing.role = Role::Client;
        meter.push(&outgoing);
        let now = refused.time_unix_ns;
        let ana = row(&meter, Dimension::Identity, "basic:ana");
        assert_eq!((ana.total.calls, ana.total.errors, ana.missed), (3, 1, 0));
        assert_eq!(ana.total.bytes, 3 * 2058);
        let bob = row(&meter, Dimension::Identity, "basic:bob");
        assert_eq!((bob.total.calls, bob.total.failures), (1, 1));
        let client = row(&meter, Dimension::Client, "192.0.2.7");
        assert_eq!((client.total.calls, client.callers()), (4, 2));
        assert_eq!(meter.callers_of([192, 0, 2, 7].into()), 2);
        assert_eq!(meter.callers_of([192, 0, 2, 8].into()), 0);
        let endpoint = row(&meter, Dimension::Endpoint, "shop GET /orders/{id}");
        assert_eq!(endpoint.total.calls, 4);
        let service = row(&meter, Dimension::Service, "shop");
        assert_eq!(service.windows(now).map(|used| used.calls), [4, 4, 4]);
        assert_eq!(service.calendar(now).map(|used| used.calls), [4, 4]);
        let hour = 3_600_000_000_000;
        let later = service.windows(now + hour);
        assert_eq!(later.map(|used| used.calls), [0, 0, 4]);
        assert_eq!(service.peaks(), [4, 4, 4]);
        // Fourteen hours on it is the next day.
        let tomorrow = service.calendar(now + 14 * hour);
        assert_eq!(tomorrow.map(|used| used.calls), [0, 4]);
    }

    #[test]
    fn a_row_goes_on_where_an_earlier_run_ended() {
        let mut meter = Meter::default();
        meter.push(&call("ana", 7, 200));
        let rows = meter.take_changed(Dimension::Identity, 10);
        let numbers = rows[0].to_numbers();
        let mut next = Meter::default();
        let back = Row::from_numbers("basic:ana", &numbers).unwrap();
        assert_eq!(back, rows[0]);
        next.restore(Dimension::Identity, back);
        next.push(&call("ana", 8, 200));
        assert_eq!(row(&next, Dimension::Identity, "basic:ana").total.calls, 2);
        assert_eq!(next.ranking(Dimension::Identity).len(), 1);
        assert_eq!(Row::from_numbers("x", &numbers[1..]), None);
    }
}
