//! rustls inside an executable or a shared object, stripped or not.
//!
//! In: an ELF image. Out: a plan, the reason why there is none, or nothing if rustls is not inside.
//! Nothing of rustls has a fixed interface, and most of it is put into its callers. But every
//! provider of cryptography implements two traits, `MessageEncrypter` and `MessageDecrypter`, whose
//! methods are called through tables: those stay functions of their own in every build. They are
//! found by their names, or, where a file is stripped, by the shape of the tables
//! ([`tables`]); either way their code is read first ([`shape`]), because the compiler and not the
//! library says where a message keeps what.

mod shape;
mod tables;

use std::sync::Arc;

use memchr::memmem;

use super::candidate::{Finding, Refusal};
use super::elf_image::{ElfImage, Function};
use super::placement::{self, FoundBy};
use super::signature::FunctionStarts;

/// A file with less code cannot hold the library: most shared objects are not searched.
const LEAST_CODE: u64 = 256 << 10;
/// Bytes of constant data searched for the name of the library's source files.
const MAX_SEARCH: u64 = 64 << 20;
/// Bytes that searched pieces share; longer than the name and a version.
const OVERLAP: usize = 64;
/// Functions of each kind in one file: three of each provider, of which there may be two.
const MAX_FUNCTIONS: usize = 16;
/// Longest version taken for one: `0.23.46`, `0.24.0-dev.2`.
const LONGEST_VERSION: usize = 16;

/// Looks for rustls in `image`.
pub(super) fn find(image: &ElfImage<'_>) -> Option<Finding> {
    if image.extent(".text")?.size < LEAST_CODE {
        return None;
    }
    let version = image.search(".rodata", MAX_SEARCH, OVERLAP, version)?;
    let library = match version.as_str() {
        "" => "rustls".to_owned(),
        version => format!("rustls {version}"),
    };
    let refused = |reason: String| {
        let library = library.clone();
        Some(Finding::Refused(Arc::new(Refusal { library, reason })))
    };
    let advice = "TLS ended by a proxy, or the other end of the connection if it is on this host, would show its calls";
    let named = named(image);
    let (found, found_by) = if named.is_whole() {
        (named, FoundBy::Symbols)
    } else {
        (stripped(image), FoundBy::Signature)
    };
    if !found.is_whole() {
        return refused(format!(
            "rustls is inside, but no functions that encrypt and decrypt its records are found; {advice}"
        ));
    }
    let known = found.of_known_shape(image);
    if !known.is_whole() {
        return refused(format!(
            "the functions that encrypt and decrypt its records were found, but take their messages in a way that is not known (rustls 0.23 is); {advice}"
        ));
    }
    let Methods { encrypt, decrypt } = known;
    match placement::plan_records(image, library.clone(), found_by, &encrypt, &decrypt) {
        Ok(plan) => Some(Finding::Plan(Arc::new(plan))),
        Err(error) => refused(format!("{error}; not probed")),
    }
}

/// The methods of encrypters and decrypters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Methods {
    encrypt: Vec<Function>,
    decrypt: Vec<Function>,
}

impl Methods {
    fn is_whole(&self) -> bool {
        !self.encrypt.is_empty() && !self.decrypt.is_empty()
    }

    /// Those whose code handles messages as the probes do.
    fn of_known_shape(&self, image: &ElfImage<'_>) -> Self {
        let only = |functions: &[Function], is: fn(&ElfImage<'_>, Function) -> bool| {
            let known = functions.iter().filter(|function| is(image, **function));
            known.copied().take(MAX_FUNCTIONS).collect()
        };
        Self {
            encrypt: only(&self.encrypt, shape::encrypts),
            decrypt: only(&self.decrypt, shape::decrypts),
        }
    }
}

/// By their names.
fn named(image: &ElfImage<'_>) -> Methods {
    let methods = |kind: &str, method: &str| -> Vec<Function> {
        // As the two manglings of Rust have it.
        let legacy = format!("{kind}$GT$7{method}17h");
        let current = format!("16{kind}7{method}");
        image.functions_named(kind, MAX_FUNCTIONS, |name| {
            let is_current = name.starts_with("_RNvX")
                && name
                    .rsplit_once(&current)
                    .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('.'));
            // The one that stands for "no key yet".
            (is_current || name.contains(&legacy)) && !name.contains("InvalidMessage")
        })
    };
    Methods {
        encrypt: methods("MessageEncrypter", "encrypt"),
        decrypt: methods("MessageDecrypter", "decrypt"),
    }
}

/// By their tables.
fn stripped(image: &ElfImage<'_>) -> Methods {
    let Some(starts) = FunctionStarts::of(image) else {
        return Methods::default();
    };
    let mut methods = Methods::default();
    for (encrypt, decrypt) in tables::pairs(image) {
        let function = |address| starts.around(address).filter(|it| it.address == address);
        if let (Some(encrypt), Some(decrypt)) = (function(encrypt), function(decrypt)) {
            methods.encrypt.push(encrypt);
            methods.decrypt.push(decrypt);
        }
    }
    methods
}

/// The version of rustls that the names of its source files tell, as panics have them:
/// `/rustls-0.23.46/src/`; empty where they come from a folder without a version.
fn version(bytes: &[u8]) -> Option<String> {
    // In two parts, so that the agent does not find itself.
    let marker = ["/rust", "ls"].concat();
    memmem::find_iter(bytes, &marker).find_map(|place| {
        let rest = bytes.get(place + marker.len()..)?;
        if rest.starts_with(b"/src/") {
            return Some(String::new());
        }
        let rest = rest.strip_prefix(b"-")?;
        let end = rest
            .iter()
            .take(LONGEST_VERSION)
            .position(|it| *it == b'/')?;
        let version = std::str::from_utf8(rest.get(..end)?).ok()?;
        let shaped = version.starts_with(|first: char| first.is_ascii_digit())
            && version.split('.').count() >= 3
            && version
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || b".-".contains(&it));
        (shaped && rest.get(end..)?.starts_with(b"/src/")).then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_library_itself() {
        let text = |text: &str| version(text.as_bytes());
        let path = "x/index.crates.io-1949cf8c6b5b557f/rustls-0.23.46/src/conn.rs";
        assert_eq!(text(path).as_deref(), Some("0.23.46"));
        assert_eq!(
            text("y/rustls-0.24.0-dev.2/src/lib.rs").as_deref(),
            Some("0.24.0-dev.2")
        );
        assert_eq!(text("vendor/rustls/src/conn.rs").as_deref(), Some(""));
        for other in [
            "/tokio-rustls-0.26.6/src/server.rs",
            "/rustls-pki-types-1.16.0/src/lib.rs",
            "/rustls-native-certs-0.8.5/src/unix.rs",
            "/rustls-0.23.46/README",
            "/rustls-",
            "",
        ] {
            assert_eq!(text(other), None, "{other}");
        }
    }

    #[test]
    fn a_release_build_has_the_same_functions_by_name_and_by_its_tables() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/programs/release/rustls-row"
        );
        let Ok(file) = std::fs::File::open(path) else {
            println!("skipped: there is no {path} (cargo xtask test builds it)");
            return;
        };
        let image = ElfImage::open(&file).expect("an image");
        let sorted = |methods: Methods| {
            let addresses = |functions: &[Function]| {
                let mut addresses: Vec<u64> = functions.iter().map(|it| it.address).collect();
                addresses.sort_unstable();
                addresses
            };
            (addresses(&methods.encrypt), addresses(&methods.decrypt))
        };
        let named = named(&image);
        assert_eq!(named.encrypt.len(), 3, "{named:x?}");
        assert_eq!(sorted(named.clone()), sorted(stripped(&image)));
        assert_eq!(sorted(named.clone()), sorted(named.of_known_shape(&image)));
        let Some(Finding::Plan(plan)) = find(&image) else {
            panic!("no plan");
        };
        assert!(plan.library.starts_with("rustls 0.23."), "{}", plan.library);
        assert!(plan.points.iter().all(|point| point.emulated), "{plan:#?}");
    }
}
