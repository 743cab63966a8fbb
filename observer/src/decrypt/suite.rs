//! Cipher suites that are read: those with authenticated encryption by AES-GCM or ChaCha20.

use crate::stream::TlsVersion;

/// The cipher of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Aead {
    /// Bytes of its key.
    pub(super) const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// The hash of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

/// What of a suite is needed to open records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub version: TlsVersion,
    pub aead: Aead,
    pub hash: Hash,
}

impl Suite {
    /// The suite of a number (IANA, "TLS Cipher Suites"), if it is read.
    pub(super) fn of(version: TlsVersion, number: u16) -> Option<Self> {
        let aead = match (version, number) {
            (TlsVersion::Tls13, 0x1301) => Aead::Aes128Gcm,
            (TlsVersion::Tls13, 0x1302) => Aead::Aes256Gcm,
            (TlsVersion::Tls13, 0x1303) | (TlsVersion::Tls12, 0xcca8..=0xccae) => {
                Aead::ChaCha20Poly1305
            }
            // With AES-128 and SHA-256, and next to each the same with AES-256 and SHA-384
            // (RFC 5288, RFC 5289, RFC 5487).
            (TlsVersion::Tls12, 0x009c..=0x00ad) => gcm(number.is_multiple_of(2)),
            (TlsVersion::Tls12, 0xc02b..=0xc032) => gcm(!number.is_multiple_of(2)),
            (TlsVersion::Tls12, 0xd001 | 0xd002) => gcm(number == 0xd001),
            _ => return None,
        };
        let hash = if aead == Aead::Aes256Gcm {
            Hash::Sha384
        } else {
            Hash::Sha256
        };
        Some(Self {
            version,
            aead,
            hash,
        })
    }
}

const fn gcm(short: bool) -> Aead {
    if short {
        Aead::Aes128Gcm
    } else {
        Aead::Aes256Gcm
    }
}
