//! Reads access logs, line by line: the common and combined formats with or without what servers
//! put in front, JSON objects as proxies write them, and lines that have a quoted request line
//! and the rest in some order (HAProxy, load balancers).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::json_log;
use super::timestamp;
use super::transcript::GZIP;
use crate::call::{ApiCall, Recorded};

/// Longest line taken, bytes; servers cut requests at 8 KiB, and a line holds little else.
const MAX_LINE: u64 = 64 << 10;
/// Lines looked at to tell what a file is.
const LOOK: usize = 20;

/// An access log, as calls.
#[derive(Debug)]
pub struct AccessLog<R> {
    reader: R,
    line: Vec<u8>,
    lines: u64,
    unread: u64,
}

/// Whether the file at `path` is an access log.
///
/// # Errors
/// Those of reading.
pub fn is_access_log(path: &Path) -> io::Result<bool> {
    let mut log = AccessLog::open(path)?;
    for _ in 0..LOOK {
        match log.next_line()? {
            None => break,
            Some(true) if access_line(&String::from_utf8_lossy(&log.line)).is_some() => {
                return Ok(true);
            }
            Some(_) => {}
        }
    }
    Ok(false)
}

impl AccessLog<Box<dyn BufRead>> {
    /// The log in a file, compressed with gzip or not.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let compressed = file.fill_buf()?.starts_with(&GZIP);
        Ok(Self::new(if compressed {
            Box::new(BufReader::new(MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        }))
    }
}

impl<R: BufRead> AccessLog<R> {
    /// The log that a reader gives.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            lines: 0,
            unread: 0,
        }
    }

    /// The next call; lines that hold none are passed over and counted. `None` at the end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_call(&mut self) -> io::Result<Option<ApiCall>> {
        while let Some(whole) = self.next_line()? {
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            self.lines += 1;
            if whole && let Some(call) = access_line(&String::from_utf8_lossy(&self.line)) {
                return Ok(Some(call));
            }
            self.unread += 1;
        }
        Ok(None)
    }

    /// Lines with something in them, so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Lines of them that hold no call.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Reads a line; `false` if it is too long, and its rest is passed over.
    fn next_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let read = (&mut self.reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == MAX_LINE && !self.line.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
            return Ok(Some(false));
        }
        Ok(Some(true))
    }
}

/// The call in one line of an access log; `None` if there is none.
pub fn access_line(line: &str) -> Option<ApiCall> {
    let line = line.trim();
    if let Some(start) = line.find('{')
        && line.ends_with('}')
        && let Some(call) = json_log::call(line.get(start..)?)
    {
        return Some(call);
    }
    common(line).or_else(|| quoted(line))
}

/// The common and combined formats (`host ident user [time] "request" status bytes "referrer"
/// "agent"`), whatever stands before and after.
fn common(line: &str) -> Option<ApiCall> {
    let open = line.match_indices('[').find_map(|(at, _)| {
        let rest = line.get(at + 1..)?;
        let time = timestamp::common(rest.get(..rest.find(']')?)?)?;
        Some((at, time))
    });
    let (open, time_unix_ns) = open?;
    let (before, rest) = line.split_at_checked(open)?;
    let rest = rest.get(rest.find(']')? + 1..)?.trim_start();
    let mut words = before.split_whitespace();
    let mut host = None;
    let client = loop {
        let word = words.next()?;
        if let Some(client) = address(word) {
            break client;
        }
        host = Some(word);
    };
    let user = words.next_back().filter(|user| *user != "-");
    // `host client request-id - [` of some has an id where others have the user.
    let user = user.filter(|_| before.split_whitespace().count() >= 3);
    let (request, rest) = take_quoted(rest)?;
    let mut fields = rest.split_whitespace();
    let status = fields.next()?.parse().ok()?;
    let response_bytes = fields
        .next()
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(0);
    let quotes = rest.get(rest.find('"').unwrap_or(rest.len())..)?;
    let (referrer, rest) = take_quoted(quotes).unwrap_or_default();
    let agent = rest
        .find('"')
        .and_then(|at| take_quoted(rest.get(at..)?))
        .map(|(agent, _)| agent);
    let (method, target) = request_line(&request);
    Some(
        Recorded {
            time_unix_ns,
            client: Some(client),
            user: user.filter(|user| !user.starts_with("req")),
            method,
            target,
            host,
            status: Some(status),
            response_bytes,
            agent: agent.as_deref().filter(|agent| *agent != "-"),
            referrer: Some(&referrer),
            duration_ns: None,
        }
        .into(),
    )
}

/// A line with a quoted request line, an address before it, and a status before or after.
fn quoted(line: &str) -> Option<ApiCall> {
    let start = line.match_indices('"').find_map(|(at, _)| {
        let (request, _) = take_quoted(line.get(at..)?)?;
        request
            .ends_with("/1.1")
            .then_some(at)
            .or_else(|| (request.contains(" HTTP/") && request.contains(' ')).then_some(at))
    })?;
    let (before, rest) = line.split_at_checked(start)?;
    let (request, rest) = take_quoted(rest)?;
    let words = || before.split(|c: char| c.is_whitespace() || matches!(c, '[' | ']'));
    let client = words().find_map(address)?;
    let time_unix_ns = words().find_map(|word| {
        timestamp::rfc3339(word).or_else(|| {
            // HAProxy: 14/Jan/2015:12:48:57.127
            timestamp::common(word)
        })
    })?;
    let status = |word: &str| {
        let number: u16 = word.parse().ok()?;
        (word.len() == 3 && (100..600).contains(&number)).then_some(number)
    };
    let status = words()
        .skip_while(|word| address(word).is_none())
        .find_map(status)
        .or_else(|| rest.split_whitespace().find_map(status))?;
    let agent = take_quoted(rest.trim_start()).map(|(agent, _)| agent);
    let (method, mut target) = request_line(&request);
    // Load balancers write the whole URL of every request.
    let balancer = before
        .split_whitespace()
        .next()
        .is_some_and(|word| matches!(word, "http" | "https" | "h2" | "ws" | "wss" | "grpcs"));
    if balancer && let Some((_, rest)) = target.split_once("://") {
        target = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    }
    Some(
        Recorded {
            time_unix_ns,
            client: Some(client),
            method,
            target,
            status: Some(status),
            agent: agent.as_deref(),
            ..Recorded::default()
        }
        .into(),
    )
}

/// Method and target; what is no request line is a target without method.
fn request_line(request: &str) -> (&str, &str) {
    let mut words = request.splitn(2, ' ');
    let (Some(method), Some(rest)) = (words.next(), words.next()) else {
        return ("", request);
    };
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
        return ("", request);
    }
    let target = rest
        .rsplit_once(" HTTP/")
        .map_or(rest, |(target, _)| target);
    (method, target)
}

/// A quoted field at the start, with its escapes undone, and what follows.
fn take_quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut out = Vec::new();
    let mut bytes = inner.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let text = String::from_utf8_lossy(&out).into_owned();
                return Some((text, inner.get(at + 1..)?));
            }
            b'\\' => match bytes.next() {
                Some((_, b'x')) => {
                    let hex = inner
                        .get(at + 2..at + 4)
                        .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    if let Some(byte) = hex {
                        out.push(byte);
                        bytes.next();
                        bytes.next();
                    } else {
                        out.extend_from_slice(b"\\x");
                    }
                }
                Some((_, escaped)) => out.push(escaped),
                None => return None,
            },
            other => out.push(other),
        }
    }
    None
}

/// An address with or without port.
pub(super) fn address(word: &str) -> Option<SocketAddr> {
    let word = word.trim_end_matches(',');
    if let Ok(socket) = word.parse() {
        return Some(socket);
    }
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0))
}

#[cfg(test)]
mod tests {
    use super::{AccessLog, access_line};
    use crate::call::Signs;
    use proptest::prelude::*;

    #[test]
    fn the_common_formats_are_read() {
        for (line, client, method, path, status) in [
            (
                "192.0.2.7 - - [17/May/2015:10:05:03 +0000] \"GET /a?b=c HTTP/1.1\" 200 12 \"-\" \"curl/8\"",
                "192.0.2.7:0",
                "GET",
                "/a",
                200,
            ),
            (
                "shop.example 192.0.2.7 - bob [17/May/2015:10:05:03 +0000] \"POST /login HTTP/1.0\" 401 0",
                "192.0.2.7:0",
                "POST",
                "/login",
                401,
            ),
            (
                "Jul  8 11:07:07 host nginx[2869]: 2001:db8::7 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/2.0\" 304 0 \"\" \"\"",
                "[2001:db8::7]:0",
                "GET",
                "/",
                304,
            ),
            (
                "192.0.2.7 - - [17/May/2015:10:05:03 +0000] \"\\x16\\x03\\x01\" 400 226 \"-\" \"-\"",
                "192.0.2.7:0",
                "",
                "\u{16}\u{3}\u{1}",
                400,
            ),
            (
                "192.0.2.7:123 [14/Jan/2015:12:48:57.127] https~ b/s 170/0/0/3/173 503 739 - - --NN 0/0/0/0/0 0/0 \"GET /x HTTP/1.1\"",
                "192.0.2.7:123",
                "GET",
                "/x",
                503,
            ),
            (
                "https 2023-04-26T12:23:00.186641Z app/x/1 192.0.2.7:44 10.0.0.1:80 0.0 0.0 0.0 204 204 0 57 \"GET https://h:443/r.txt HTTP/1.1\" \"nikto\" X TLS",
                "192.0.2.7:44",
                "GET",
                "/r.txt",
                204,
            ),
            (
                "{\"ClientHost\":\"192.0.2.7\",\"RequestMethod\":\"PUT\",\"RequestPath\":\"/o/1?x=y\",\"DownstreamStatus\":404,\"StartUTC\":\"2021-12-08T14:02:43Z\"}",
                "192.0.2.7:0",
                "PUT",
                "/o/1",
                404,
            ),
        ] {
            let call = access_line(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(call.client.unwrap().to_string(), client, "{line}");
            assert_eq!(
                (call.method.as_str(), call.path.as_str(), call.status),
                (method, path, Some(status)),
                "{line}"
            );
        }
        let call = access_line("192.0.2.7 - bob [17/May/2015:10:05:03 +0000] \"GET /?t=s3cret HTTP/1.1\" 200 12 \"-\" \"Nikto\"").unwrap();
        assert_eq!(call.identity.as_ref().map(|one| &*one.id), Some("bob"));
        assert_eq!(call.query.as_deref(), Some("t=*"));
        assert!(call.signs.has(Signs::SCANNER));
    }

    #[test]
    fn lines_that_hold_no_call_are_counted() {
        let text = "what\n\n192.0.2.7 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1\n";
        let mut log = AccessLog::new(text.as_bytes());
        assert!(log.next_call().unwrap().is_some());
        assert!(log.next_call().unwrap().is_none());
        assert_eq!((log.lines(), log.unread()), (2, 1));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,200}", near in "[0-9.:a-f]{0,12} - - \\[[0-9A-Za-z/: +]{0,30}\\] \"[ -~]{0,30}\"? [0-9]{0,4}.{0,20}") {
            let _ = (access_line(&line), access_line(&near));
        }
    }
}
