//! Public text from a credential, bounded and printable.

use std::borrow::Cow;
use std::sync::Arc;

use crate::call::secret;

/// Longest public name kept, bytes: longer than any address of a mailbox (RFC 5321 §4.5.3.1) or
/// SPIFFE id that people use.
pub(super) const MOST: usize = 256;

/// The text as a name to show: cut, and without control characters. `None` if it is empty, or a
/// secret itself.
pub(super) fn name(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    if text.is_empty() || secret::is_secret(text) && !text.contains('@') {
        return None;
    }
    Some(printable(text))
}

/// The text without control characters, cut.
pub(super) fn printable(text: &str) -> Arc<str> {
    clean(text).into()
}

/// The same for one owner.
pub(super) fn boxed(text: &str) -> Box<str> {
    clean(text).into()
}

fn clean(text: &str) -> Cow<'_, str> {
    let text = text
        .get(..text.floor_char_boundary(MOST))
        .unwrap_or_default();
    // Those of ASCII are told by their bytes, those of C1 begin so (U+0080 to U+009F).
    let suspect = |byte: u8| byte < b' ' || byte == 0x7f || byte == 0xc2;
    if text.bytes().any(suspect) && text.chars().any(char::is_control) {
        let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        text.chars().map(clean).collect::<String>().into()
    } else {
        text.into()
    }
}

/// Text that is UTF-8, or as servers read it if it is not (ISO 8859-1).
pub(super) fn decode(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().map(|byte| char::from(*byte)).collect(),
        str::to_owned,
    )
}
