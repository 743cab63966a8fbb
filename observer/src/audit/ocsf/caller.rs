//! Who made a call: the actor of a record, and every name that the request gave.

use std::fmt::Write as _;

use super::Ocsf;
use crate::audit::claims::{MAX_NAME, push_claims};
use crate::audit::json_text::push_text;
use crate::call::{ApiCall, Claims, Identity, IdentityKind, Role};

/// Names of a caller in a record besides the one chosen. A request with more is hostile.
const MAX_IDENTITIES: usize = 8;

impl Ocsf {
    /// `actor`: the user or the session; for outgoing calls the program; else the connection is
    /// all that is known.
    pub(super) fn actor(&mut self, call: &ApiCall) {
        self.raw(",\"actor\":{");
        let mut comma = "";
        if let Some(identity) = &call.identity {
            if identity.kind != IdentityKind::Address && identity.kind != IdentityKind::Session {
                self.user(identity);
                comma = ",";
            }
            let claims = identity.claims.as_deref();
            if identity.kind == IdentityKind::Session || claims.is_some() {
                self.raw(comma);
                self.session(identity, claims);
                comma = ",";
            }
        }
        match &call.process {
            Some(process) if call.role == Role::Client => {
                let _ = write!(self.out, "{comma}\"process\":{{\"pid\":{}", process.pid);
                self.text(",\"name\":", &process.name);
                self.raw("}");
            }
            _ if comma.is_empty() => {
                let _ = write!(self.out, "\"session\":{{\"uid\":\"conn-{}\"}}", call.conn.0);
            }
            _ => {}
        }
        self.raw("}");
    }

    /// `"user":{…}`: a name where people gave one, else a public id, and the fingerprint of the
    /// credential.
    pub(super) fn user(&mut self, identity: &Identity) {
        let key = match identity.kind {
            IdentityKind::Gateway
            | IdentityKind::Certificate
            | IdentityKind::Basic
            | IdentityKind::Digest
            | IdentityKind::Negotiate => "\"user\":{\"name\":",
            _ => "\"user\":{\"uid\":",
        };
        self.name(key, &identity.id);
        if let Some(fingerprint) = &identity.fingerprint {
            self.name(",\"programmatic_credentials\":[{\"uid\":", fingerprint);
            self.text(",\"type\":", identity.kind.as_str());
            self.raw("}]");
        }
        self.raw("}");
    }

    fn session(&mut self, identity: &Identity, claims: Option<&Claims>) {
        self.name(
            "\"session\":{\"uid\":",
            identity.fingerprint.as_deref().unwrap_or(&identity.id),
        );
        if let Some(claims) = claims {
            if let Some(issuer) = &claims.issuer {
                self.name(",\"issuer\":", issuer);
            }
            for (key, seconds) in [
                ("created_time", claims.issued_s),
                ("expiration_time", claims.expires_s),
            ] {
                if let Some(ms) = seconds.and_then(|s| s.checked_mul(1000)) {
                    let _ = write!(self.out, ",\"{key}\":{ms}");
                }
            }
        }
        self.raw("}");
    }

    /// Inside `unmapped`: the name chosen, the others, and what a token claims.
    pub(super) fn identities(&mut self, call: &ApiCall) {
        if let Some(identity) = &call.identity {
            self.raw(",\"identity\":");
            self.identity(identity, true);
        }
        let others = call
            .identities
            .iter()
            .filter(|other| call.identity.as_ref() != Some(other));
        let mut opened = false;
        for (at, other) in others.enumerate() {
            if at == MAX_IDENTITIES {
                self.cut = true;
                break;
            }
            self.raw(if opened { "," } else { ",\"identities\":[" });
            opened = true;
            self.identity(other, false);
        }
        if opened {
            self.raw("]");
        }
    }

    fn identity(&mut self, identity: &Identity, with_claims: bool) {
        let Identity {
            kind,
            id,
            fingerprint,
            earlier,
            class,
            source,
            verified,
            claims,
        } = identity;
        self.text("{\"kind\":", kind.as_str());
        self.name(",\"id\":", id);
        self.name(",\"source\":", source);
        let _ = write!(self.out, ",\"verified\":{verified}");
        if let Some(fingerprint) = fingerprint {
            self.name(",\"fingerprint\":", fingerprint);
        }
        if let Some(earlier) = earlier {
            self.name(",\"fingerprint_before\":", earlier);
        }
        if let Some(class) = class {
            self.name(",\"class\":", class);
        }
        if let Some(claims) = claims.as_deref().filter(|_| with_claims) {
            self.raw(",\"claims\":");
            self.cut |= push_claims(&mut self.out, claims, push_text);
        }
        self.raw("}");
    }

    /// A text of bounded length.
    fn name(&mut self, key: &str, value: &str) {
        let most = std::mem::replace(&mut self.most, MAX_NAME);
        self.text(key, value);
        self.most = most;
    }
}
