//! Passes over the opening of SOCKS 4 (and 4a) and SOCKS 5 (RFC 1928, RFC 1929), after which a
//! connection speaks whatever its client wants, HTTP as a rule.

/// Longest opening of either side: name and password of 255 bytes each, then an address.
const MAX_OPENING: usize = 1100;

/// What the first bytes of a side are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socks {
    /// Not an opening of SOCKS.
    No,
    /// Possibly one, of which more is to come.
    Incomplete,
    /// One of so many bytes.
    Opening(usize),
}

/// Looks at the first bytes of a side. Both sides begin with the version; what follows tells
/// which of them it is.
pub(super) fn socks(bytes: &[u8]) -> Socks {
    let parsed = match bytes.first() {
        Some(5) => version5(bytes),
        Some(4) => version4(bytes),
        Some(0) => answer4(bytes),
        _ => return Socks::No,
    };
    match parsed {
        Ok(len) => Socks::Opening(len),
        Err(Short::More) if bytes.len() < MAX_OPENING => Socks::Incomplete,
        Err(_) => Socks::No,
    }
}

/// Why there is no whole message.
enum Short {
    More,
    Other,
}

fn at(bytes: &[u8], at: usize) -> Result<u8, Short> {
    bytes.get(at).copied().ok_or(Short::More)
}

fn must(fulfilled: bool) -> Result<(), Short> {
    if fulfilled { Ok(()) } else { Err(Short::Other) }
}

/// Length of an address with its port, by its type.
fn address(bytes: &[u8], start: usize) -> Result<usize, Short> {
    match at(bytes, start)? {
        1 => Ok(start + 7),
        3 => Ok(start + 4 + usize::from(at(bytes, start + 1)?)),
        4 => Ok(start + 19),
        _ => Err(Short::Other),
    }
}

fn whole(bytes: &[u8], len: usize) -> Result<usize, Short> {
    if bytes.len() < len {
        return Err(Short::More);
    }
    Ok(len)
}

/// Client: methods, perhaps name and password, request. Server: method, perhaps a status, reply.
/// The server's method and the client's count of methods stand in the same place, so both are
/// tried.
fn version5(bytes: &[u8]) -> Result<usize, Short> {
    match client5(bytes) {
        Err(Short::Other) => server5(bytes),
        parsed => parsed.or_else(|short| match server5(bytes) {
            Ok(len) => Ok(len),
            Err(_) => Err(short),
        }),
    }
}

fn client5(bytes: &[u8]) -> Result<usize, Short> {
    let methods = usize::from(at(bytes, 1)?);
    must((1..=16).contains(&methods))?;
    let mut next = whole(bytes, 2 + methods)?;
    if at(bytes, next)? == 1 {
        let name = usize::from(at(bytes, next + 1)?);
        let password = usize::from(at(bytes, next + 2 + name)?);
        next = whole(bytes, next + 3 + name + password)?;
    }
    must(at(bytes, next)? == 5)?;
    must((1..=3).contains(&at(bytes, next + 1)?))?;
    must(at(bytes, next + 2)? == 0)?;
    whole(bytes, address(bytes, next + 3)?)
}

fn server5(bytes: &[u8]) -> Result<usize, Short> {
    must(matches!(at(bytes, 1)?, 0 | 2))?;
    let mut next = 2;
    if at(bytes, next)? == 1 {
        must(at(bytes, next + 1)? == 0)?;
        next += 2;
    }
    must(at(bytes, next)? == 5)?;
    must(at(bytes, next + 1)? == 0)?;
    must(at(bytes, next + 2)? == 0)?;
    whole(bytes, address(bytes, next + 3)?)
}

fn version4(bytes: &[u8]) -> Result<usize, Short> {
    must(matches!(at(bytes, 1)?, 1 | 2))?;
    let user = bytes.get(8..).ok_or(Short::More)?;
    let end = user.iter().position(|byte| *byte == 0).ok_or(Short::More)?;
    let mut len = 8 + end + 1;
    // 0.0.0.x with x not 0: a name follows (4a).
    if bytes.get(4..7) == Some(&[0, 0, 0]) && bytes.get(7) != Some(&0) {
        let name = bytes.get(len..).ok_or(Short::More)?;
        let end = name.iter().position(|byte| *byte == 0).ok_or(Short::More)?;
        len += end + 1;
    }
    Ok(len)
}

fn answer4(bytes: &[u8]) -> Result<usize, Short> {
    must(at(bytes, 1)? == 0x5a)?;
    whole(bytes, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_of_either_side_are_measured_whatever_comes_after() {
        for opening in [
            &b"\x05\x01\x00\x05\x01\x00\x03\x09localhost\x00\x50"[..],
            b"\x05\x02\x00\x02\x01\x03ann\x03pwd\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
            b"\x05\x00\x05\x00\x00\x01\x0a\x00\x00\x01\x12\x34",
            b"\x05\x02\x01\x00\x05\x00\x00\x01\x0a\x00\x00\x01\x12\x34",
            b"\x04\x01\x00\x50\x0a\x00\x00\x01ann\x00",
            b"\x04\x01\x00\x50\x00\x00\x00\x01\x00host.example\x00",
            b"\x00\x5a\x00\x00\x00\x00\x00\x00",
        ] {
            let text = [opening, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(socks(&text), Socks::Opening(opening.len()), "{opening:?}");
            for end in 1..opening.len() {
                assert_eq!(
                    socks(&opening[..end]),
                    Socks::Incomplete,
                    "{opening:?} {end}"
                );
            }
        }
    }

    #[test]
    fn other_protocols_are_none() {
        for text in [
            &b"GET /"[..],
            b"\x05hello",
            b"\x04\x09",
            b"\x00\x00\x00\x04",
            b"\x05\x01\x00\x09",
        ] {
            assert_eq!(socks(text), Socks::No, "{text:?}");
        }
        assert_eq!(
            socks(
                &[4, 1, 0, 80]
                    .iter()
                    .chain(&[9; 2000])
                    .copied()
                    .collect::<Vec<_>>()
            ),
            Socks::No
        );
    }
}
