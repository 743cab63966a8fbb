//! TLS libraries that are recognised but not probed, so that the report can say why.
//!
//! In: a name, or an ELF file without `SSL_read` and `SSL_write`. Out: a [`Refusal`].

use memchr::memmem;

use super::candidate::Refusal;
use super::elf_image::ElfImage;

/// Bytes of a section that are searched: Go's largest programs stay below.
const MAX_SEARCH: u64 = 64 << 20;
/// Bytes that searched pieces share; longer than any marker.
const OVERLAP: usize = 64;
/// Sections with Go's table of function names, in ordinary and in position-independent programs.
const GO_TABLES: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// A method that is in every Go program that speaks TLS.
const GO_TLS: &str = "crypto/tls.(*Conn).Read";
/// Parts of names of shared objects that carry a TLS library of their own, without its symbols.
const CARRIERS: [&str; 4] = ["cygrpc", "tcnative", "conscrypt", "boringssl"];

fn refusal(library: &str, reason: &str) -> Refusal {
    Refusal {
        library: library.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Does the name look like OpenSSL's, or that of a library with its functions?
pub(super) fn is_libssl(base_name: &str) -> bool {
    base_name.starts_with("libssl") && base_name.contains(".so") && base_name != "libssl3.so"
}

/// A library known by its file name alone.
pub(super) fn by_name(base_name: &str) -> Option<Refusal> {
    if base_name == "libjvm.so" {
        Some(refusal(
            "jsse",
            "Java has its TLS in code made at run time, which has no place to probe; TLS ended by a proxy, or an OpenSSL provider (Conscrypt and netty-tcnative count only if their symbols are kept), would show its calls",
        ))
    } else {
        None
    }
}

/// A TLS library inside an executable, or inside a shared object known to carry one.
pub(super) fn inside(
    image: &ElfImage<'_>,
    base_name: &str,
    is_executable: bool,
) -> Option<Refusal> {
    if is_executable
        && GO_TABLES
            .iter()
            .any(|table| contains(image, table, &[GO_TLS]).is_some())
    {
        return Some(refusal(
            "go crypto/tls",
            "the program's table of functions is not of a layout that is known (Go 1.17 to 1.27); TLS ended by a proxy, or the other end of the connection if it is on this host, would show its calls",
        ));
    }
    let carrier = CARRIERS.iter().any(|carrier| base_name.contains(carrier));
    carrier.then(|| {
        refusal(
            "boringssl",
            "the name says that BoringSSL is inside, but nothing in the file does; not probed",
        )
    })
}

/// The first of `markers` in a section.
fn contains<'m>(image: &ElfImage<'_>, section: &str, markers: &[&'m str]) -> Option<&'m str> {
    image.search(section, MAX_SEARCH, OVERLAP, |piece| {
        markers
            .iter()
            .copied()
            .find(|marker| memmem::find(piece, marker.as_bytes()).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_is_known_by_name_in_packages_and_wheels() {
        for name in [
            "libssl.so.3",
            "libssl.so.1.1",
            "libssl-8bd944e8.so.3",
            "libssl_conda.so",
            "libssl.so",
        ] {
            assert!(is_libssl(name), "{name}");
        }
        for name in ["libssl3.so", "libsslcommon", "libxssl.so", "nginx"] {
            assert!(!is_libssl(name), "{name}");
        }
    }

    #[test]
    fn other_libraries_are_named_with_a_reason() {
        let library = |name| by_name(name).map(|refusal| refusal.library);
        assert_eq!(library("libjvm.so").as_deref(), Some("jsse"));
        assert_eq!(library("libgnutlsxx.so.30"), None);
        assert_eq!(library("libc.so.6"), None);
    }
}
