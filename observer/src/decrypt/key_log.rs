//! A file of TLS secrets, as browsers, curl and OpenSSL write it where `SSLKEYLOGFILE` is set
//! (RFC 9850).

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};

use zeroize::Zeroizing;

/// Longest file taken, bytes: a connection of TLS 1.3 takes about a thousand, and a capture has at
/// most 65,536 that are told apart.
pub const MAX_KEY_LOG: u64 = 64 << 20;

/// A random of a hello, by which secrets are found (RFC 8446 §4.1.2).
pub(super) type Random = [u8; 32];

/// A secret, wiped when it is no longer needed.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// The secrets of connections.
#[derive(Default)]
pub struct KeyLog {
    sessions: HashMap<Random, Secrets>,
    /// Lines of a known kind that hold no secret.
    bad_lines: u64,
}

/// The secrets of one connection.
#[derive(Default)]
pub(super) struct Secrets {
    /// The master secret, up to TLS 1.2.
    pub master: Option<Secret>,
    /// Those of TLS 1.3 that the client sends with: for early data, the handshake, and after.
    pub client: [Option<Secret>; 3],
    /// Those that the server sends with; the first stays empty.
    pub server: [Option<Secret>; 3],
}

impl KeyLog {
    /// Reads a file, as far as it is not longer than [`MAX_KEY_LOG`].
    pub fn read(reader: impl Read) -> io::Result<Self> {
        let mut text = Zeroizing::new(Vec::new());
        reader.take(MAX_KEY_LOG).read_to_end(&mut text)?;
        Ok(Self::parse(&text))
    }

    /// Reads lines of a label, a random and a secret. Other lines are passed over.
    pub fn parse(text: &[u8]) -> Self {
        let mut log = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut words = line
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            let label = words.next().unwrap_or_default();
            let mut place = Secrets::default();
            if place.of(label).is_none() {
                continue;
            }
            let random = words.next().and_then(bytes);
            let random = random.and_then(|random| Random::try_from(&random[..]).ok());
            let secret = words.next().and_then(bytes);
            match (random, secret) {
                // As long as a hash of the cipher suites, or a master secret.
                (Some(random), Some(secret)) if matches!(secret.len(), 32 | 48) => {
                    let secrets = log.sessions.entry(random).or_default();
                    if let Some(place) = secrets.of(label) {
                        *place = Some(secret);
                    }
                }
                _ => log.bad_lines += 1,
            }
        }
        log
    }

    /// Connections whose secrets are known.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// No secret is known.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Lines of a known kind that hold no secret.
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Those of the connection whose client said this.
    pub(super) fn of(&self, client_random: &Random) -> Option<&Secrets> {
        self.sessions.get(client_random)
    }
}

impl Secrets {
    /// Where the secret with this label goes.
    fn of(&mut self, label: &[u8]) -> Option<&mut Option<Secret>> {
        let [client_early, client_handshake, client_after] = &mut self.client;
        let [_, server_handshake, server_after] = &mut self.server;
        Some(match label {
            b"CLIENT_RANDOM" => &mut self.master,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => client_early,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => client_handshake,
            b"CLIENT_TRAFFIC_SECRET_0" => client_after,
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => server_handshake,
            b"SERVER_TRAFFIC_SECRET_0" => server_after,
            _ => return None,
        })
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sessions,
            bad_lines,
        } = self;
        f.debug_struct("KeyLog")
            .field("sessions", &sessions.len())
            .field("bad_lines", bad_lines)
            .finish()
    }
}

/// Bytes in base 16.
fn bytes(hex: &[u8]) -> Option<Secret> {
    let (pairs, rest) = hex.as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| u8::try_from(digit(high)? << 4 | digit(low)?).ok();
    let bytes = pairs.iter().map(byte).collect::<Option<Vec<_>>>()?;
    rest.is_empty().then(|| Zeroizing::new(bytes))
}
