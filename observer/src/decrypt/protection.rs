//! Opens the records of one direction, under one key.

use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};

use super::key_log::Secret;
use super::keys::Keys;
use super::suite::{Aead, Suite};
use crate::stream::TlsVersion;

/// Bytes that authenticate a record, at its end.
const TAG: usize = 16;

/// Bytes of a nonce that a record of AES-GCM brings with it up to TLS 1.2 (RFC 5288 §3).
const EXPLICIT: usize = 8;

/// Bytes of a nonce.
const NONCE: usize = 12;

/// A key in use.
pub(super) struct Protection {
    cipher: Cipher,
    iv: Secret,
    suite: Suite,
    /// Number of the next record.
    sequence: u64,
}

enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    ChaCha(Box<ChaCha20Poly1305>),
}

impl Protection {
    /// Bytes that come from the secrets for each nonce.
    pub(super) const fn iv_len(suite: Suite) -> usize {
        if brings_nonce(suite) {
            NONCE - EXPLICIT
        } else {
            NONCE
        }
    }

    /// `None` if the keys do not have the length that the cipher needs.
    pub(super) fn new(suite: Suite, keys: Keys) -> Option<Self> {
        let Keys { key, iv } = keys;
        let cipher = match suite.aead {
            Aead::Aes128Gcm => Cipher::Aes128(Box::new(Aes128Gcm::new_from_slice(&key).ok()?)),
            Aead::Aes256Gcm => Cipher::Aes256(Box::new(Aes256Gcm::new_from_slice(&key).ok()?)),
            Aead::ChaCha20Poly1305 => {
                Cipher::ChaCha(Box::new(ChaCha20Poly1305::new_from_slice(&key).ok()?))
            }
        };
        (iv.len() == Self::iv_len(suite)).then_some(Self {
            cipher,
            iv,
            suite,
            sequence: 0,
        })
    }

    /// What a record holds, if it proves to be the next one.
    pub(super) fn open(&mut self, head: [u8; 5], payload: &[u8]) -> Option<Vec<u8>> {
        let (explicit, sealed) = if brings_nonce(self.suite) {
            payload.split_at_checked(EXPLICIT)?
        } else {
            (&[][..], payload)
        };
        let nonce = self.nonce(explicit)?;
        let len = u16::try_from(sealed.len().checked_sub(TAG)?).ok()?;
        let [kind, major, minor, ..] = head;
        let aad = if self.suite.version == TlsVersion::Tls13 {
            head.to_vec()
        } else {
            // RFC 5246 §6.2.3.3.
            let [high, low] = len.to_be_bytes();
            let rest = [kind, major, minor, high, low];
            [&self.sequence.to_be_bytes()[..], &rest].concat()
        };
        let sealed = Payload {
            msg: sealed,
            aad: &aad,
        };
        let nonce = nonce.into();
        let opened = match &self.cipher {
            Cipher::Aes128(cipher) => cipher.decrypt(&nonce, sealed),
            Cipher::Aes256(cipher) => cipher.decrypt(&nonce, sealed),
            Cipher::ChaCha(cipher) => cipher.decrypt(&nonce, sealed),
        };
        let opened = opened.ok()?;
        self.sequence = self.sequence.checked_add(1)?;
        Some(opened)
    }

    /// A record was not seen.
    pub(super) fn skip(&mut self) {
        self.sequence = self.sequence.saturating_add(1);
    }

    /// Bytes inside a record with a payload of so many, at most.
    pub(super) fn plain_len(&self, payload: usize) -> u64 {
        let around = if brings_nonce(self.suite) {
            EXPLICIT + TAG
        } else if self.suite.version == TlsVersion::Tls13 {
            // And what kind of record it is.
            TAG + 1
        } else {
            TAG
        };
        payload.saturating_sub(around) as u64
    }

    fn nonce(&self, explicit: &[u8]) -> Option<[u8; NONCE]> {
        if !explicit.is_empty() {
            return [&self.iv[..], explicit].concat().try_into().ok();
        }
        let mut nonce: [u8; NONCE] = self.iv[..].try_into().ok()?;
        let places = nonce.iter_mut().rev();
        for (place, byte) in places.zip(self.sequence.to_be_bytes().iter().rev()) {
            *place ^= byte;
        }
        Some(nonce)
    }
}

const fn brings_nonce(suite: Suite) -> bool {
    matches!(suite.version, TlsVersion::Tls12) && !matches!(suite.aead, Aead::ChaCha20Poly1305)
}
