//! The form of TLS records (RFC 8446 §5.1, RFC 5246 §6.2).

/// Longest payload of a record (RFC 5246 §6.2.3).
pub(super) const MAX_RECORD: usize = (1 << 14) + 2048;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// Kind and length of a record, if there is such a one.
pub(super) fn header([kind, major, _, l0, l1]: [u8; 5]) -> Option<(u8, usize)> {
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let fits = (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) && major == 3 && len <= MAX_RECORD;
    fits.then_some((kind, len))
}

/// The first bytes are those of a handshake record (RFC 8446 §5.1), as far as they are there.
pub(super) fn begins_tls(bytes: &[u8]) -> bool {
    let fits = |at: usize, fits: fn(u8) -> bool| bytes.get(at).is_none_or(|byte| fits(*byte));
    fits(0, |kind| kind == HANDSHAKE) && fits(1, |major| major == 3) && fits(2, |minor| minor <= 4)
}

/// The handshake messages in the records at the start of `bytes`, as far as they are there.
pub(super) fn clear_messages(mut bytes: &[u8]) -> Vec<u8> {
    let mut messages = Vec::new();
    while let Some((&[kind, _, _, l0, l1], after)) = bytes.split_first_chunk::<5>() {
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if kind != HANDSHAKE {
            break;
        }
        messages.extend_from_slice(after.get(..len).unwrap_or(after));
        bytes = after.get(len..).unwrap_or_default();
    }
    messages
}
