//! Whether an answer asks for a credential.

use httparse::Header;

/// The response asks for a credential (RFC 9110 §11.6.1, §11.7.1).
pub(super) fn challenges(fields: &[Header<'_>]) -> bool {
    fields.iter().any(|field| match field.name.len() {
        16 => field.name.eq_ignore_ascii_case("www-authenticate"),
        18 => field.name.eq_ignore_ascii_case("proxy-authenticate"),
        _ => false,
    })
}
