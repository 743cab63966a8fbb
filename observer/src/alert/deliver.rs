//! Sends one message. Blocking, with a time limit on every step.

use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;

use sha2::{Digest as _, Sha256};

use super::address::{HttpAddress, SyslogAddress};
use super::connection::{Stream, Trust, connect, first_address};

/// Block of SHA-256, bytes (FIPS 180-4).
const BLOCK: usize = 64;

/// What a request carries besides its body.
#[derive(Clone, Copy, Default)]
pub(super) struct Extras<'a> {
    /// Signs the body in `X-Observer-Signature`.
    pub(super) secret: Option<&'a [u8]>,
    /// Sent as `Authorization: Bearer` (RFC 6750 §2.1).
    pub(super) token: Option<&'a str>,
}

/// Posts JSON; the answer must be 2xx.
pub(super) fn post(
    to: &HttpAddress,
    path: &str,
    body: &str,
    extras: Extras<'_>,
    trust: Option<&Trust>,
) -> io::Result<()> {
    let signature = extras.secret.map_or(String::new(), |secret| {
        let sum: String = hmac(secret, body.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("X-Observer-Signature: sha256={sum}\r\n")
    });
    let token = extras.token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let stream = connect(&to.target())?;
    let mut stream: Box<dyn Stream> = if to.tls {
        let trust = trust.ok_or_else(|| io::Error::other("TLS is not set up"))?;
        Box::new(trust.start(to.host(), stream)?)
    } else {
        Box::new(stream)
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: observer\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{signature}{token}Connection: close\r\n\r\n",
        to.authority,
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()?;
    let mut start = [0_u8; 12];
    stream.read_exact(&mut start)?;
    let status = std::str::from_utf8(&start)
        .ok()
        .and_then(|start| start.get(9..));
    match status {
        Some(status) if status.starts_with('2') => Ok(()),
        Some(status) => Err(io::Error::other(format!(
            "it answered {}",
            status.escape_debug()
        ))),
        None => Err(io::Error::other("it does not speak HTTP")),
    }
}

/// Sends one syslog message.
pub(super) fn syslog(to: &SyslogAddress, message: &str) -> io::Result<()> {
    if to.tcp {
        let mut stream = connect(&to.authority)?;
        // Octet counting (RFC 6587 §3.4.1).
        return stream.write_all(format!("{} {message}", message.len()).as_bytes());
    }
    let address = first_address(&to.authority)?;
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    UdpSocket::bind(any)?
        .send_to(message.as_bytes(), address)
        .map(drop)
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    let hashed;
    let key = if key.len() > BLOCK {
        hashed = Sha256::digest(key);
        &hashed[..]
    } else {
        key
    };
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::hmac;

    #[test]
    fn the_sum_is_that_of_rfc_4231() {
        let sum = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(sum[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
