//! Name and version of a TLS library, from the text that it carries of itself.

use memchr::memmem;

/// Longest version taken for one: `3.0.19`, `1.1.1w-fips`, `3.1.0+quic`.
const LONGEST_VERSION: usize = 24;

/// Bytes that two searched pieces must share so that no version text is cut.
pub(super) const OVERLAP: usize = 64;

/// The first `OpenSSL 3.0.19 27 Jan 2026` or `LibreSSL 3.8.2` in `bytes`, as `openssl 3.0.19`.
/// Texts without a version (`OpenSSL default`, `OpenSSL %s`) are passed over.
pub(super) fn find(bytes: &[u8]) -> Option<String> {
    [
        ("OpenSSL ", "openssl", true),
        ("LibreSSL ", "libressl", false),
    ]
    .iter()
    .find_map(|(marker, name, dated)| {
        memmem::find_iter(bytes, marker).find_map(|place| {
            let version = version(bytes.get(place + marker.len()..)?, *dated)?;
            Some(format!("{name} {version}"))
        })
    })
}

/// The first version of three numbers that follows `marker`; with `major` such as `3.`, one of
/// this major number that ends there, as text by itself does.
pub(super) fn after(bytes: &[u8], marker: &str, major: &str) -> Option<String> {
    let alone = !major.is_empty();
    memmem::find_iter(bytes, marker).find_map(|place| {
        let text = bytes.get(place + marker.len()..)?;
        let end = text
            .iter()
            .take(LONGEST_VERSION)
            .position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
        let version = std::str::from_utf8(text.get(..end)?).ok()?;
        let parts = version.split('.').filter(|part| !part.is_empty());
        let shaped =
            version.starts_with(major) && parts.count() == 3 && version.split('.').count() == 3;
        (shaped && (!alone || text.get(end) == Some(&0))).then(|| version.to_owned())
    })
}

fn version(text: &[u8], dated: bool) -> Option<&str> {
    let text = text.get(..LONGEST_VERSION + 3).unwrap_or(text);
    let end = text
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b".+-".contains(byte)))?;
    let version = std::str::from_utf8(text.get(..end)?).ok()?;
    let shaped = version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().filter(|byte| *byte == b'.').count() == 2;
    // A date follows in the library's own text, not in messages about versions.
    // 1.1.1 and older put two spaces before it.
    let date = matches!(
        text.get(end..).unwrap_or_default(),
        [b' ', b'0'..=b'9', ..] | [b' ', b' ', b'0'..=b'9', ..]
    );
    (shaped && (date || !dated)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_text_with_a_date() {
        let text = b"\0OpenSSL default\0OpenSSL 9.9.9 required\0OpenSSL 3.0.19 27 Jan 2026\0";
        assert_eq!(find(text).as_deref(), Some("openssl 3.0.19"));
        assert_eq!(
            find(b"OpenSSL 1.1.1w  11 Sep 2023").as_deref(),
            Some("openssl 1.1.1w")
        );
        assert_eq!(
            find(b"OpenSSL 1.1.1w-fips 11 Sep 2023").as_deref(),
            Some("openssl 1.1.1w-fips")
        );
        assert_eq!(
            find(b"x LibreSSL 3.8.2\0").as_deref(),
            Some("libressl 3.8.2")
        );
        assert_eq!(find(b"OpenSSL 3.0.1"), None);
        assert_eq!(find(b""), None);
    }

    #[test]
    fn a_version_follows_its_marker_or_stands_alone() {
        assert_eq!(
            after(b"x\0NSS 3.87.1\0", "NSS ", "").as_deref(),
            Some("3.87.1")
        );
        assert_eq!(
            after(b"1.2.3 \x000.3.4\x003.7.9\0", "\0", "3.").as_deref(),
            Some("3.7.9")
        );
        assert_eq!(after(b"\x003.7.9-rc\0\x001..2.3\0", "\0", "3."), None);
        assert_eq!(after(b"NSS ", "NSS ", ""), None);
    }
}
