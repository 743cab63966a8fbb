//! The version of Go that a program was built with.
//!
//! In: an ELF image. Out: the version. The layout is that of Go 1.18 and newer
//! (`debug/buildinfo` of the Go library): 32 bytes of head, then the version with its length.

use crate::discover::elf_image::ElfImage;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The version follows the head, and not two pointers.
const INLINE: u8 = 2;
/// Bytes before the version.
const HEAD: usize = 32;
/// Longest version taken for one: `1.27.3`, `1.22.1 X:boringcrypto`.
const LONGEST: usize = 48;

/// Such as `1.27.3`.
pub(super) fn version(image: &ElfImage<'_>) -> Option<String> {
    let at = image.extent(".go.buildinfo")?;
    let bytes = image.bytes_at(at.offset, at.size.min((HEAD + 1 + LONGEST) as u64));
    read(&bytes)
}

fn read(bytes: &[u8]) -> Option<String> {
    if !bytes.starts_with(MAGIC) || bytes.get(15)? & INLINE == 0 {
        return None;
    }
    // Below 128 the length is one byte.
    let length = usize::from(*bytes.get(HEAD)?);
    let text = bytes.get(HEAD + 1..)?.get(..length.min(LONGEST))?;
    let text = std::str::from_utf8(text).ok()?.strip_prefix("go")?;
    let version = text.split_whitespace().next()?;
    let shaped = version
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    shaped.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(flags: u8, version: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([8, flags]);
        bytes.resize(HEAD, 0);
        bytes.push(version.len() as u8);
        bytes.extend(version.as_bytes());
        bytes
    }

    #[test]
    fn the_version_is_read_where_it_follows_the_head() {
        assert_eq!(read(&info(2, "go1.27.3")).as_deref(), Some("1.27.3"));
        assert_eq!(
            read(&info(2, "go1.22.1 X:boringcrypto")).as_deref(),
            Some("1.22.1")
        );
        assert_eq!(read(&info(0, "go1.17")), None);
        assert_eq!(read(&info(2, "go1.\u{1b}[2J")), None);
        let whole = info(2, "go1.27.3");
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None);
        }
    }
}
