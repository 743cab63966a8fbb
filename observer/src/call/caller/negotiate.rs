//! The user in a `Negotiate` or `NTLM` message ([MS-NLMP] §2.2.1.3). Kerberos tickets name theirs
//! to the server only.

use base64::Engine as _;
use zeroize::Zeroizing;

use super::jwt::BASE64;
use super::text;

const SIGNATURE: &[u8] = b"NTLMSSP\0";
/// Longest message read, bytes, as base64.
const LONGEST: usize = 16 << 10;
/// `NTLMSSP_NEGOTIATE_UNICODE` ([MS-NLMP] §2.2.2.5).
const UNICODE: u32 = 1;

/// `DOMAIN\user` of an NTLM AUTHENTICATE message, also inside SPNEGO.
pub(super) fn user(blob: &str) -> Option<String> {
    if blob.len() > LONGEST {
        return None;
    }
    let message = Zeroizing::new(BASE64.decode(blob.trim()).ok()?);
    let start = message
        .windows(SIGNATURE.len())
        .position(|window| window == SIGNATURE)?;
    let message = message.get(start..)?;
    if number(message, 8)? != 3 {
        return None;
    }
    let unicode = number(message, 60).unwrap_or(0) & UNICODE != 0;
    let field = |at: usize| {
        let length = usize::from(u16::from_le_bytes(
            message.get(at..)?.first_chunk().copied()?,
        ));
        let from = usize::try_from(number(message, at + 4)?).ok()?;
        let bytes = message.get(from..from.checked_add(length)?)?;
        Some(if unicode {
            let (units, _) = bytes.as_chunks::<2>();
            char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
                .map(|c| c.unwrap_or('\u{fffd}'))
                .collect()
        } else {
            text::decode(bytes)
        })
    };
    let user = field(36).filter(|user: &String| !user.is_empty())?;
    Some(match field(28) {
        Some(domain) if !domain.is_empty() => format!("{domain}\\{user}"),
        _ => user,
    })
}

fn number(message: &[u8], at: usize) -> Option<u32> {
    message
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u32, unicode: bool) -> Vec<u8> {
        let text = |text: &str| -> Vec<u8> {
            if unicode {
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            } else {
                text.as_bytes().to_vec()
            }
        };
        let (domain, user) = (text("CORP"), text("ana"));
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(kind.to_le_bytes());
        bytes.extend([0; 16]);
        let mut at = 64;
        for part in [&domain, &user] {
            let length = u16::try_from(part.len()).unwrap().to_le_bytes();
            bytes.extend(length);
            bytes.extend(length);
            bytes.extend(u32::try_from(at).unwrap().to_le_bytes());
            at += part.len();
        }
        bytes.extend([0; 16]);
        bytes.extend(u32::from(unicode).to_le_bytes());
        bytes.extend(domain);
        bytes.extend(user);
        bytes
    }

    #[test]
    fn the_third_message_names_domain_and_user() {
        for unicode in [false, true] {
            let bytes = message(3, unicode);
            assert_eq!(user(&BASE64.encode(&bytes)).as_deref(), Some("CORP\\ana"));
            let wrapped = [b"\x60\x82spnego".as_slice(), &bytes].concat();
            assert_eq!(user(&BASE64.encode(wrapped)).as_deref(), Some("CORP\\ana"));
        }
        assert_eq!(user(&BASE64.encode(message(1, true))), None);
        assert_eq!(user("YII="), None);
    }

    proptest! {
        #[test]
        fn any_message_is_survived(rest in any::<Vec<u8>>()) {
            let bytes = [SIGNATURE, &[3, 0, 0, 0], &rest].concat();
            let _ = user(&BASE64.encode(bytes));
        }
    }
}
