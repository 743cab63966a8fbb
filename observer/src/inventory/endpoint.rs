//! What is known of one endpoint: a method with a route.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::call::{ApiCall, AuthOutcome, AuthScheme, write_ip_v4};

/// Statuses told apart; servers use a dozen.
const MOST_STATUSES: usize = 24;
/// Callers told apart; the calls of any further one are counted together.
const MOST_CALLERS: usize = 32;
/// Keys of queries kept.
const MOST_PARAMETERS: usize = 32;

/// Sums over the calls of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Unix time of the first call, milliseconds.
    pub first_seen_ms: u64,
    /// Unix time of the latest call, milliseconds.
    pub last_seen_ms: u64,
    /// Calls.
    pub calls: u64,
    /// Those answered 4xx.
    pub client_errors: u64,
    /// Those answered 5xx, or not at all, or that a gRPC status or a body says failed.
    pub server_errors: u64,
    /// Those whose credential was refused.
    pub auth_failures: u64,
    /// Those that sent a credential without TLS from another host.
    pub clear_text_credentials: u64,
    /// Those that came through a trusted proxy.
    pub through_proxies: u64,
    /// Those of other hosts that came past them, where there are any.
    pub past_proxies: u64,
    /// Body bytes of the requests.
    pub request_bytes: u64,
    /// Body bytes of the responses.
    pub response_bytes: u64,
    /// Time from first to last byte of all calls, microseconds.
    pub duration_us: u64,
    /// Calls by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Calls by kind of credential; `none` where there was none.
    pub schemes: BTreeMap<String, u64>,
    /// Calls by where a credential was sent, such as `header:x-api-key`.
    pub sources: BTreeMap<String, u64>,
    /// Calls by caller: kind and name, or address.
    pub callers: BTreeMap<String, u64>,
    /// Calls of callers that found no place in the list.
    pub other_callers: u64,
    /// Calls with this key in the query.
    pub parameters: BTreeMap<String, u64>,
    /// Operations inside the URL (gRPC, SOAP, GraphQL).
    pub operations: BTreeMap<String, u64>,
    /// Scopes that all tokens had that were accepted; `None` before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_scopes: Option<BTreeSet<String>>,
}

impl Endpoint {
    /// Adds a call. `scratch` saves allocations.
    pub(super) fn add(&mut self, call: &ApiCall, scratch: &mut String) {
        let time_ms = call.time_unix_ns / 1_000_000;
        self.seen(time_ms, time_ms);
        self.calls += 1;
        let grpc_failed = call.grpc_status.is_some_and(|status| status != 0);
        match call.status {
            Some(400..=499) => self.client_errors += 1,
            Some(500..) | None => self.server_errors += 1,
            Some(_) if grpc_failed || call.body_error.is_some() => self.server_errors += 1,
            Some(_) => {}
        }
        self.auth_failures += u64::from(call.auth.outcome == AuthOutcome::Failed);
        // What went in clear text was the connection: a proxy on this host may have had it by TLS.
        let elsewhere = call.peer.or(call.client);
        let elsewhere = elsewhere.is_some_and(|peer| !peer.ip().is_loopback());
        if call.auth.scheme != AuthScheme::None && call.scheme == "http" && elsewhere {
            self.clear_text_credentials += 1;
        }
        if call.peer.is_some() {
            self.through_proxies += 1;
        } else if elsewhere {
            self.past_proxies += 1;
        }
        self.request_bytes += call.request_bytes;
        self.response_bytes += call.response_bytes;
        self.duration_us += call.duration_ns.unwrap_or(0) / 1000;
        if let Some(status) = call.status {
            count_status(&mut self.statuses, status, 1);
        }
        count(&mut self.schemes, call.auth.scheme.as_str(), 1, usize::MAX);
        for identity in &call.identities {
            count(&mut self.sources, &identity.source, 1, MOST_PARAMETERS);
        }
        scratch.clear();
        if let Some(identity) = &call.identity {
            scratch.push_str(identity.kind.as_str());
            scratch.push(':');
            scratch.push_str(&identity.id);
        } else if let Some(client) = call.client {
            scratch.push_str("address:");
            match client.ip().to_canonical() {
                IpAddr::V4(address) => write_ip_v4(address, scratch),
                address @ IpAddr::V6(_) => {
                    use std::fmt::Write as _;
                    // Writing to a string does not fail.
                    let _ = write!(scratch, "{address}");
                }
            }
        }
        if !scratch.is_empty() && !count(&mut self.callers, scratch, 1, MOST_CALLERS) {
            self.other_callers += 1;
        }
        for part in call.query.iter().flat_map(|query| query.split('&')) {
            let key = part.split('=').next().unwrap_or_default();
            if !key.is_empty() && key != "*" {
                count(&mut self.parameters, key, 1, MOST_PARAMETERS);
            }
        }
        if call.auth.outcome == AuthOutcome::Success {
            let claims = call.identities.iter().find_map(|one| one.claims.as_deref());
            let scopes = claims
                .map(|claims| &claims.scopes)
                .filter(|it| !it.is_empty());
            match (&mut self.common_scopes, scopes) {
                (Some(common), Some(scopes)) => {
                    common.retain(|scope| scopes.iter().any(|other| **other == **scope));
                }
                (None, Some(scopes)) => {
                    let scopes = scopes.iter().take(MOST_PARAMETERS).map(ToString::to_string);
                    self.common_scopes = Some(scopes.collect());
                }
                (_, None) => {}
            }
        }
        if let Some(operation) = &call.operation {
            count(&mut self.operations, operation, 1, MOST_PARAMETERS);
        }
    }

    /// Adds the sums of another.
    pub(super) fn merge(&mut self, other: &Self) {
        let Self {
            first_seen_ms,
            last_seen_ms,
            calls,
            client_errors,
            server_errors,
            auth_failures,
            clear_text_credentials,
            through_proxies,
            past_proxies,
            request_bytes,
            response_bytes,
            duration_us,
            statuses,
            schemes,
            sources,
            callers,
            other_callers,
            parameters,
            operations,
            common_scopes,
        } = other;
        self.seen(*first_seen_ms, *last_seen_ms);
        for (own, more) in [
            (&mut self.calls, calls),
            (&mut self.client_errors, client_errors),
            (&mut self.server_errors, server_errors),
            (&mut self.auth_failures, auth_failures),
            (&mut self.clear_text_credentials, clear_text_credentials),
            (&mut self.through_proxies, through_proxies),
            (&mut self.past_proxies, past_proxies),
            (&mut self.request_bytes, request_bytes),
            (&mut self.response_bytes, response_bytes),
            (&mut self.duration_us, duration_us),
            (&mut self.other_callers, other_callers),
        ] {
            *own = own.saturating_add(*more);
        }
        match (&mut self.common_scopes, common_scopes) {
            (Some(own), Some(more)) => own.retain(|scope| more.contains(scope)),
            (own @ None, Some(more)) => *own = Some(more.clone()),
            (_, None) => {}
        }
        for (status, calls) in statuses {
            count_status(&mut self.statuses, *status, *calls);
        }
        for (scheme, calls) in schemes {
            count(&mut self.schemes, scheme, *calls, usize::MAX);
        }
        for (source, calls) in sources {
            count(&mut self.sources, source, *calls, MOST_PARAMETERS);
        }
        for (caller, calls) in callers {
            if !count(&mut self.callers, caller, *calls, MOST_CALLERS) {
                self.other_callers += calls;
            }
        }
        for (name, calls) in parameters {
            count(&mut self.parameters, name, *calls, MOST_PARAMETERS);
        }
        for (name, calls) in operations {
            count(&mut self.operations, name, *calls, MOST_PARAMETERS);
        }
    }

    fn seen(&mut self, first_ms: u64, last_ms: u64) {
        if self.calls == 0 || first_ms < self.first_seen_ms {
            self.first_seen_ms = first_ms;
        }
        self.last_seen_ms = self.last_seen_ms.max(last_ms);
    }
}

fn count_status(statuses: &mut BTreeMap<u16, u64>, status: u16, calls: u64) {
    if let Some(own) = statuses.get_mut(&status) {
        *own += calls;
    } else if statuses.len() < MOST_STATUSES {
        statuses.insert(status, calls);
    }
}

/// Adds to a name; false if there is no room for it.
pub(super) fn count(
    names: &mut BTreeMap<String, u64>,
    name: &str,
    calls: u64,
    most: usize,
) -> bool {
    if let Some(own) = names.get_mut(name) {
        *own = own.saturating_add(calls);
    } else if names.len() < most {
        names.insert(name.to_owned(), calls);
    } else {
        return false;
    }
    true
}
