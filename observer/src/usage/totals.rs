//! The counters.

use std::collections::HashMap;
use std::sync::Arc;

use crate::call::{ApiCall, AuthOutcome};
use crate::hashing::Seeded;

/// Rows that are kept if calls come without the catalog's bounds (500 services of 500 routes
/// would be more than a summary or a person needs). Further rows are added up in one.
const MAX_ROWS: usize = 20_000;

/// What was counted for one service and route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls.
    pub calls: u64,
    /// Body bytes of the requests.
    pub request_bytes: u64,
    /// Body bytes of the responses.
    pub response_bytes: u64,
    /// Answers with status 400 to 499.
    pub client_errors: u64,
    /// Answers with status 500 to 599.
    pub server_errors: u64,
    /// Calls whose answer was not seen.
    pub unanswered: u64,
    /// Credentials refused.
    pub auth_failures: u64,
}

impl Totals {
    fn add(&mut self, call: &ApiCall) {
        self.calls += 1;
        self.request_bytes = self.request_bytes.saturating_add(call.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(call.response_bytes);
        match call.status {
            Some(400..=499) => self.client_errors += 1,
            Some(500..=599) => self.server_errors += 1,
            None => self.unanswered += 1,
            Some(_) => {}
        }
        if call.auth.outcome == AuthOutcome::Failed {
            self.auth_failures += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        let Self {
            calls,
            request_bytes,
            response_bytes,
            client_errors,
            server_errors,
            unanswered,
            auth_failures,
        } = *other;
        self.calls += calls;
        self.request_bytes = self.request_bytes.saturating_add(request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(response_bytes);
        self.client_errors += client_errors;
        self.server_errors += server_errors;
        self.unanswered += unanswered;
        self.auth_failures += auth_failures;
    }
}

/// Usage of each service and route since the start.
#[derive(Debug, Default)]
pub struct Usage {
    services: HashMap<Arc<str>, HashMap<Arc<str>, Totals, Seeded>, Seeded>,
    rows: usize,
    folded: Totals,
}

impl Usage {
    /// Counts one call.
    pub fn record(&mut self, call: &ApiCall) {
        let service = call.service.as_deref().unwrap_or("unknown");
        let route = call.route.as_deref().unwrap_or("unknown");
        let known = self
            .services
            .get_mut(service)
            .and_then(|routes| routes.get_mut(route));
        if let Some(totals) = known {
            totals.add(call);
        } else if self.rows < MAX_ROWS {
            let shared = |given: &Option<Arc<str>>, text: &str| {
                given.clone().unwrap_or_else(|| Arc::from(text))
            };
            let routes = self
                .services
                .entry(shared(&call.service, service))
                .or_default();
            routes
                .entry(shared(&call.route, route))
                .or_default()
                .add(call);
            self.rows += 1;
        } else {
            self.folded.add(call);
        }
    }

    /// All rows: service, route, totals. In no order.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, &Totals)> {
        let named = self.services.iter().flat_map(|(service, routes)| {
            routes
                .iter()
                .map(move |(route, totals)| (&**service, &**route, totals))
        });
        let folded = (self.folded.calls > 0).then_some(("{other}", "{other}", &self.folded));
        named.chain(folded)
    }

    /// Everything added up.
    pub fn total(&self) -> Totals {
        let mut total = Totals::default();
        for (_, _, totals) in self.rows() {
            total.merge(totals);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ROWS, Usage};
    use crate::call::AuthOutcome;
    use crate::catalog::sample;

    #[test]
    fn calls_bytes_and_errors_are_counted_for_each_service_and_route() {
        let mut usage = Usage::default();
        for (route, status) in [
            ("/a", Some(200)),
            ("/a", Some(404)),
            ("/b", Some(503)),
            ("/b", None),
            ("/b", Some(401)),
        ] {
            let mut call = sample::call("GET", "/", status);
            call.service = Some("shop".into());
            call.route = Some(route.into());
            if status == Some(401) {
                call.auth.outcome = AuthOutcome::Failed;
            }
            usage.record(&call);
        }
        let mut rows: Vec<_> = usage.rows().collect();
        rows.sort_by_key(|(_, route, _)| *route);
        assert_eq!(rows.len(), 2);
        let (service, route, a) = rows[0];
        assert_eq!(
            (service, route, a.calls, a.client_errors),
            ("shop", "/a", 2, 1)
        );
        assert_eq!((a.request_bytes, a.response_bytes), (20, 4096));
        let (_, _, b) = rows[1];
        assert_eq!((b.server_errors, b.unanswered, b.auth_failures), (1, 1, 1));
        assert_eq!(usage.total().calls, 5);
    }

    #[test]
    fn rows_are_bounded_and_nothing_goes_uncounted() {
        let mut usage = Usage::default();
        let calls = MAX_ROWS + 50;
        for n in 0..calls {
            let mut call = sample::call("GET", "/", Some(200));
            call.route = Some(format!("/{n}").into());
            usage.record(&call);
        }
        assert_eq!(usage.rows().count(), MAX_ROWS + 1);
        assert_eq!(usage.total().calls, calls as u64);
    }
}
