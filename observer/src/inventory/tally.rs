//! Sums of calls between two looks, on the thread of calls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::Arc;

use super::credential::{self, Credential};
use super::endpoint::Endpoint;
use crate::call::{ApiCall, Role};
use crate::discover::Process;
use crate::hashing::{AsIs, Keyed};
use crate::stream::{Tls, TlsVersion};

/// Endpoints called between two looks; about 1 KiB each.
const MOST: usize = 8192;

/// Credentials used between two looks; as many as are kept.
const MOST_CREDENTIALS: usize = 4096;

/// The calls of one endpoint, by the way they were served, since the last look.
#[derive(Clone, Debug)]
pub struct Sum {
    /// Name of the service.
    pub service: Arc<str>,
    /// Method; empty if it is not known.
    pub method: Box<str>,
    /// Route.
    pub route: Arc<str>,
    /// Protocol and version.
    pub protocol: &'static str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// TLS library.
    pub tls: Option<Arc<Tls>>,
    /// Version of the TLS protocol, if the library or the handshake told it.
    pub tls_version: Option<Box<str>>,
    /// The process that served the first of them.
    pub process: Option<Arc<Process>>,
    /// The address it served it at.
    pub server: Option<SocketAddr>,
    /// The sums.
    pub endpoint: Endpoint,
}

/// Sums up what is served here; calls that go out are not of this host's inventory.
#[derive(Debug, Default)]
pub struct Tally {
    sums: HashMap<u64, Sum, AsIs>,
    credentials: HashMap<String, Credential>,
    hasher: Keyed,
    scratch: String,
    dropped: u64,
}

impl Tally {
    /// Adds a call that has its service and route.
    pub fn push(&mut self, call: &ApiCall) {
        let Self {
            sums,
            credentials,
            hasher,
            scratch,
            dropped,
        } = self;
        let (Role::Server, Some(service), Some(route)) = (call.role, &call.service, &call.route)
        else {
            return;
        };
        let process = call.process.as_ref().map(|process| process.pid);
        let own = call.tls.as_deref().and_then(|tls| tls.version.as_deref());
        let hello = call.hello.as_deref().and_then(|hello| hello.version);
        let tls_version = call.tls.as_ref().and(own.or(hello.map(TlsVersion::as_str)));
        let key = hasher.hash_one((
            service,
            tls_version,
            &*call.method,
            route,
            call.protocol,
            call.scheme,
            process,
            call.server.map(|server| server.port()),
        ));
        let full = sums.len() >= MOST;
        let sum = match sums.entry(key) {
            Entry::Occupied(sum) => sum.into_mut(),
            Entry::Vacant(_) if full => {
                *dropped += 1;
                return;
            }
            Entry::Vacant(place) => place.insert(Sum {
                service: Arc::clone(service),
                method: call.method.as_str().into(),
                route: Arc::clone(route),
                protocol: call.protocol.as_str(),
                scheme: call.scheme,
                tls: call.tls.clone(),
                tls_version: tls_version.map(Into::into),
                process: call.process.clone(),
                server: call.server,
                endpoint: Endpoint::default(),
            }),
        };
        sum.endpoint.add(call, scratch);
        if let Some((key, identity)) = credential::of(call) {
            if let Some(known) = credentials.get_mut(&key) {
                known.add(call, identity);
            } else if credentials.len() < MOST_CREDENTIALS {
                credentials.entry(key).or_default().add(call, identity);
            } else {
                *dropped += 1;
            }
        }
    }

    /// The credentials used since the last look.
    pub fn take_credentials(&mut self) -> Vec<(String, Credential)> {
        self.credentials.drain().collect()
    }

    /// The sums since the last look.
    pub fn take(&mut self) -> Vec<Sum> {
        self.sums.drain().map(|(_, sum)| sum).collect()
    }

    /// Calls that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
