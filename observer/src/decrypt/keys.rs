//! Keys from secrets: RFC 8446 §7.1, RFC 5246 §5.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::key_log::{Random, Secret};
use super::suite::{Hash, Suite};

/// A key and what nonces are made from, of one direction.
pub(super) struct Keys {
    pub key: Secret,
    /// 12 bytes; of AES-GCM up to TLS 1.2 the first 4.
    pub iv: Secret,
}

fn code<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Secret {
    // A key of any length will do.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
        return Secret::default();
    };
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Secret {
    match hash {
        Hash::Sha256 => code::<Hmac<Sha256>>(key, parts),
        Hash::Sha384 => code::<Hmac<Sha384>>(key, parts),
    }
}

/// `HKDF-Expand-Label` without a context, for not more than one hash.
fn expand(hash: Hash, secret: &[u8], label: &str, len: usize) -> Secret {
    let label = [b"tls13 ", label.as_bytes()].concat();
    // Labels have less than 256 bytes, and a hash has less.
    let lengths = [0, len as u8, label.len() as u8];
    let mut key = hmac(hash, secret, &[&lengths, &label, &[0, 1]]);
    key.truncate(len);
    key
}

/// The keys of a secret of TLS 1.3 (RFC 8446 §7.3).
pub(super) fn of_secret(suite: Suite, secret: &[u8]) -> Keys {
    Keys {
        key: expand(suite.hash, secret, "key", suite.aead.key_len()),
        iv: expand(suite.hash, secret, "iv", 12),
    }
}

/// The secret that follows a key update (RFC 8446 §7.2).
pub(super) fn next_secret(suite: Suite, secret: &[u8]) -> Secret {
    expand(suite.hash, secret, "traffic upd", secret.len())
}

/// The keys of the client and of the server up to TLS 1.2 (RFC 5246 §6.3); `iv_len` bytes come
/// with each.
pub(super) fn of_master(
    suite: Suite,
    iv_len: usize,
    master: &[u8],
    server: &Random,
    client: &Random,
) -> [Keys; 2] {
    let hash = suite.hash;
    let seed = [b"key expansion", &server[..], &client[..]].concat();
    let key_len = suite.aead.key_len();
    let mut block = Secret::default();
    let mut round = hmac(hash, master, &[&seed]);
    while block.len() < 2 * (key_len + iv_len) {
        block.extend_from_slice(&hmac(hash, master, &[&round, &seed]));
        round = hmac(hash, master, &[&round]);
    }
    let mut rest = &block[..];
    let mut take = |len: usize| {
        let (head, tail) = rest.split_at(len.min(rest.len()));
        rest = tail;
        Zeroizing::new(head.to_vec())
    };
    let [client_key, server_key] = [take(key_len), take(key_len)];
    let [client_iv, server_iv] = [take(iv_len), take(iv_len)];
    [
        Keys {
            key: client_key,
            iv: client_iv,
        },
        Keys {
            key: server_key,
            iv: server_iv,
        },
    ]
}
