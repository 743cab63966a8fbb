//! One request to a witness: blocking, with a limit on time and size.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// Bytes of an answer with its head: a few signature lines.
const MOST: usize = 64 << 10;
/// Heads of an answer.
const MAX_HEADERS: usize = 64;

/// Posts `body` to `path` at `authority`. Status and body of the answer. `limit` is the longest
/// time of connecting, of sending, and of the whole answer, each.
pub(super) fn post(
    authority: &str,
    path: &str,
    body: &str,
    limit: Duration,
) -> io::Result<(u16, Vec<u8>)> {
    let target = match authority.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|b| b.is_ascii_digit()) => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    let address = target
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    // HTTP/1.0: the answer ends with the connection, and is never in chunks.
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: observer\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    let began = Instant::now();
    // Byte by byte it could take for ever.
    while answer.len() < MOST && began.elapsed() < limit {
        let read = stream.read(&mut part)?;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(part.get(..read).unwrap_or_default());
    }
    parse(&answer).ok_or_else(|| io::Error::other("it does not speak HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer).ok()? else {
        return None;
    };
    Some((response.code?, answer.get(head..)?.to_vec()))
}
