//! From a request to the names of its caller.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use httparse::Header;

use super::carrier::{self, Carrier};
use super::fingerprint::Fingerprints;
use super::reading::Reading;
use super::{authorization, cookie, dpop, parameters, query, vouching, websocket};
use crate::call::client::Origin;
use crate::call::{AuthScheme, Identity, IdentityKind, TrustedProxies};
use crate::hashing::Keyed;
use crate::recent::RecentHashes;

/// Credentials whose reading is remembered: the busy ones. About 700 bytes each.
const REMEMBERED: usize = 4096;
/// Most names of one request; honest ones have three.
const MOST: usize = 8;
/// Longest name of a field or a query key in a source, bytes.
const LONGEST_SOURCE: usize = 64;

/// Who a request says it comes from.
#[derive(Debug)]
pub(in crate::call) struct Caller<'a> {
    /// Value of the first `Host`.
    pub host: Option<&'a [u8]>,
    /// The credential that counts: what is meant for the origin server before what is meant for
    /// a proxy, what is explicit before a cookie.
    pub scheme: AuthScheme,
    /// All names, the one to choose first.
    pub identities: Vec<Arc<Identity>>,
    /// What proxies in front may have said of the client.
    pub origin: Option<Box<Origin>>,
}

/// Reads callers. A credential that comes again is found by a keyed hash of 64 bits: that another
/// one has the same is not met by chance, and cannot be made without the key.
#[derive(Debug)]
pub(in crate::call) struct Callers {
    fingerprints: Fingerprints,
    known: RecentHashes<Option<Arc<Identity>>>,
    hasher: Keyed,
    scratch: Vec<u8>,
    /// `None`: no more than the usual fields.
    trusted: Option<Arc<TrustedProxies>>,
}

/// Which credential counts for the scheme, the first that was sent.
#[derive(Default)]
struct Sent {
    authorization: Option<AuthScheme>,
    key: bool,
    signature: bool,
    query: Option<AuthScheme>,
    proxy: bool,
    token: bool,
    cookie: bool,
}

impl Sent {
    fn scheme(&self) -> AuthScheme {
        let Self {
            authorization,
            key,
            signature,
            query,
            proxy,
            token,
            cookie,
        } = *self;
        match authorization.or(query) {
            Some(scheme) => scheme,
            None if key => AuthScheme::ApiKey,
            None if signature => AuthScheme::Signature,
            None if token => AuthScheme::Bearer,
            None if proxy => AuthScheme::Proxy,
            None if cookie => AuthScheme::Cookie,
            None => AuthScheme::None,
        }
    }
}

impl Callers {
    pub(in crate::call) fn new(fingerprints: Fingerprints) -> Self {
        Self {
            fingerprints,
            known: RecentHashes::of_hashes(REMEMBERED),
            hasher: Keyed::default(),
            scratch: Vec::new(),
            trusted: None,
        }
    }

    /// Reads the fields that these say are to be read, besides the usual ones.
    pub(in crate::call) fn set_trusted(&mut self, trusted: Arc<TrustedProxies>) {
        self.trusted = Some(trusted);
    }

    /// Reads the fields and the query of a request.
    pub(in crate::call) fn read<'a>(
        &mut self,
        fields: &[Header<'a>],
        query: Option<&str>,
    ) -> Caller<'a> {
        let mut host = None;
        let mut sent = Sent::default();
        let mut identities = Vec::new();
        let mut origin: Option<Box<Origin>> = None;
        // Out of its place for a moment: sharing it would cost every request two atomic steps.
        let trusted = self.trusted.take();
        for field in fields {
            let Some(carrier) = carrier_of(field.name, trusted.as_deref()) else {
                continue;
            };
            let value = field.value.trim_ascii();
            if value.is_empty() {
                continue;
            }
            match carrier {
                Carrier::Host => {
                    host = host.or(Some(field.value));
                    continue;
                }
                Carrier::Authorization => {
                    sent.authorization =
                        sent.authorization.or_else(|| authorization::scheme(value));
                }
                Carrier::ProxyAuthorization => sent.proxy = true,
                Carrier::Key => sent.key = true,
                Carrier::SignatureInput => sent.signature = true,
                // The draft names its key here; RFC 9421 does not.
                Carrier::Signature => sent.signature |= value.starts_with(b"keyId="),
                Carrier::Cookie => {
                    for (name, value) in cookie::credentials(value) {
                        sent.cookie = true;
                        let identity = self.of("cookie", name, value, |value, scratch| {
                            Reading::token(IdentityKind::Session, value, scratch)
                        });
                        add(&mut identities, identity);
                    }
                    continue;
                }
                Carrier::Dpop | Carrier::Subprotocol => {}
                Carrier::ForwardedFor => {
                    origin.get_or_insert_default().add_forwarded_for(value);
                    continue;
                }
                Carrier::Forwarded => {
                    origin.get_or_insert_default().add_forwarded(value);
                    continue;
                }
                Carrier::Client(rank) => {
                    origin.get_or_insert_default().add_single(rank, value);
                    continue;
                }
                Carrier::Certificate(vouching::Certificate::Result) => {
                    origin.get_or_insert_default().unverified |= vouching::denies(value);
                    continue;
                }
                Carrier::User | Carrier::Certificate(_) => {
                    let origin = origin.get_or_insert_default();
                    let identity = self.of("header", field.name, value, |value, scratch| {
                        of_field(carrier, value, scratch)
                    });
                    if let Some(identity) = identity {
                        origin.add_vouched(identity);
                    }
                    continue;
                }
            }
            let identity = self.of("header", field.name, value, |value, scratch| {
                of_field(carrier, value, scratch)
            });
            if carrier == Carrier::Subprotocol {
                sent.token |= identity.is_some();
            }
            add(&mut identities, identity);
        }
        self.trusted = trusted;
        if let Some(query) = query.filter(|query| query.contains('=')) {
            self.read_query(query, &mut sent, &mut identities);
        }
        if identities.len() > 1 {
            // Stable: of two of one kind, the one sent first.
            identities.sort_by_key(|identity| {
                (
                    &*identity.source == "header:proxy-authorization",
                    identity.kind,
                )
            });
        }
        Caller {
            host,
            scheme: sent.scheme(),
            identities,
            origin,
        }
    }

    fn read_query(&mut self, query: &str, sent: &mut Sent, identities: &mut Vec<Arc<Identity>>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        query::read(query, &mut scratch, &mut |key, scheme, reading| {
            sent.query = sent.query.or(Some(scheme));
            add(
                identities,
                Some(Arc::new(self.identity("query", key, reading))),
            );
        });
        self.scratch = scratch;
    }

    /// The identity in a value, remembered or read now.
    fn of<'a>(
        &mut self,
        place: &'static str,
        name: &str,
        value: &'a [u8],
        read: impl FnOnce(&'a [u8], &mut Vec<u8>) -> Option<Reading<'a>>,
    ) -> Option<Arc<Identity>> {
        let key = self.hasher.hash_one((place, name, value));
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let reading = read(value, &mut scratch);
        self.scratch = scratch;
        let identity = reading.map(|reading| Arc::new(self.identity(place, name, reading)));
        self.known.insert(key, identity.clone());
        identity
    }

    fn identity(&self, place: &str, name: &str, reading: Reading<'_>) -> Identity {
        let Reading {
            kind,
            id,
            secret,
            class,
            claims,
        } = reading;
        let (fingerprint, earlier) = match secret {
            Some(secret) => {
                let (fingerprint, earlier) = self.fingerprints.of(kind.as_str(), &secret);
                if let std::borrow::Cow::Owned(mut secret) = secret {
                    use zeroize::Zeroize as _;
                    secret.zeroize();
                }
                (Some(fingerprint), earlier)
            }
            None => (None, None),
        };
        let id = id.or_else(|| fingerprint.clone());
        let mut source = String::with_capacity(place.len() + 1 + name.len().min(LONGEST_SOURCE));
        source.push_str(place);
        source.push(':');
        let clean = |c: char| {
            if c.is_ascii_graphic() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        };
        source.extend(name.chars().take(LONGEST_SOURCE).map(clean));
        Identity {
            kind,
            id: id.unwrap_or_else(|| "unknown".into()),
            fingerprint,
            earlier,
            class,
            source: source.into(),
            verified: false,
            claims: claims.map(Arc::new),
        }
    }
}

fn add(identities: &mut Vec<Arc<Identity>>, identity: Option<Arc<Identity>>) {
    if let Some(identity) = identity
        && identities.len() < MOST
        && !identities.contains(&identity)
    {
        identities.push(identity);
    }
}

fn of_field<'a>(carrier: Carrier, value: &'a [u8], scratch: &mut Vec<u8>) -> Option<Reading<'a>> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    match carrier {
        Carrier::Authorization | Carrier::ProxyAuthorization => authorization::read(value, scratch),
        Carrier::Key => {
            // Some send a scheme there too.
            let (scheme, rest) = authorization::split(value);
            let token = if rest.is_empty() || !scheme.eq_ignore_ascii_case(b"bearer") {
                value
            } else {
                rest
            };
            Reading::token(IdentityKind::ApiKey, token, scratch)
        }
        Carrier::Dpop => {
            let thumbprint = dpop::thumbprint(value)?;
            authorization::access_key(&thumbprint)
        }
        // `sig1=("@method");created=1;keyid="key-1"`.
        Carrier::SignatureInput => {
            let (_, after) = text.split_once(')')?;
            authorization::access_key(parameters::find(after, "keyid")?)
        }
        Carrier::Signature => authorization::access_key(parameters::find(text, "keyId")?),
        Carrier::Subprotocol => {
            let token = websocket::token(text)?;
            Reading::token(IdentityKind::Token, bytes(token), scratch)
        }
        Carrier::User => vouching::user(value, scratch),
        Carrier::Certificate(form) => vouching::subject(form, value),
        Carrier::Host
        | Carrier::Cookie
        | Carrier::ForwardedFor
        | Carrier::Forwarded
        | Carrier::Client(_) => None,
    }
}

/// What the field is for, with the fields that were set.
fn carrier_of(name: &str, trusted: Option<&TrustedProxies>) -> Option<Carrier> {
    let Some(TrustedProxies {
        client_field,
        user_fields,
        networks: _,
        unix_sockets: _,
    }) = trusted
    else {
        return carrier::of(name);
    };
    if user_fields.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Some(Carrier::User);
    }
    let carrier = carrier::of(name);
    let Some(own) = client_field else {
        return carrier;
    };
    match carrier {
        Some(Carrier::ForwardedFor | Carrier::Forwarded | Carrier::Client(_)) => {
            carrier.filter(|_| own.eq_ignore_ascii_case(name))
        }
        // One that is not known names the client alone.
        _ if own.eq_ignore_ascii_case(name) => Some(Carrier::Client(0)),
        other => other,
    }
}

fn bytes(text: std::borrow::Cow<'_, str>) -> std::borrow::Cow<'_, [u8]> {
    use std::borrow::Cow;
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

#[cfg(test)]
mod tests;
