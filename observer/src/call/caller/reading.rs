//! What one carrier holds.

use std::borrow::Cow;
use std::sync::Arc;

use super::{jwt, text};
use crate::call::{Claims, IdentityKind, secret};

/// Read, and not yet an identity: the secret is still in it.
pub(super) struct Reading<'a> {
    pub kind: IdentityKind,
    /// The public name; `None` if there is none but the fingerprint.
    pub id: Option<Arc<str>>,
    /// What the fingerprint is made of; `None` if nothing in it is secret.
    pub secret: Option<Cow<'a, [u8]>>,
    pub class: Option<&'static str>,
    pub claims: Option<Claims>,
}

impl<'a> Reading<'a> {
    /// A name that is public, with the secret that came with it.
    pub(super) fn named(kind: IdentityKind, name: &str, secret: &'a [u8]) -> Self {
        Self {
            kind,
            id: text::name(name),
            secret: Some(Cow::Borrowed(secret)),
            class: None,
            claims: None,
        }
    }

    /// A name with nothing secret about it.
    pub(super) fn public(kind: IdentityKind, name: &str) -> Option<Self> {
        let id = Some(text::printable(name.trim())).filter(|id| !id.is_empty())?;
        Some(Self {
            kind,
            id: Some(id),
            secret: None,
            class: None,
            claims: None,
        })
    }

    /// A name that somebody else vouches for.
    pub(super) fn known(kind: IdentityKind, id: Arc<str>) -> Self {
        Self {
            kind,
            id: Some(id),
            secret: None,
            class: None,
            claims: None,
        }
    }

    /// A token: a JSON Web Token, or one that says nothing of itself, of this kind then.
    pub(super) fn token(
        kind: IdentityKind,
        token: impl Into<Cow<'a, [u8]>>,
        scratch: &mut Vec<u8>,
    ) -> Option<Self> {
        let token: Cow<'a, [u8]> = token.into();
        if token.is_empty() {
            return None;
        }
        if let Some(jwt::Token { principal, claims }) = jwt::read(&token, scratch) {
            return Some(Self {
                kind: IdentityKind::Jwt,
                id: principal,
                secret: Some(token),
                class: None,
                claims: Some(claims),
            });
        }
        let class = std::str::from_utf8(&token).ok().and_then(secret::vendor);
        Some(Self {
            kind,
            id: None,
            secret: Some(token),
            class,
            claims: None,
        })
    }
}
