//! TLS libraries whose read and write functions are found by their names: GnuTLS, wolfSSL,
//! Mbed TLS and s2n, as a shared library or inside a file that keeps its symbols.
//!
//! In: an ELF image. Out: a plan, the reason why there is none, or nothing if it holds none of
//! them. All have the shape `f(object, buffer, length, …)` and return the number of bytes.

use std::sync::Arc;

use super::candidate::{Finding, Refusal};
use super::elf_image::{ElfImage, Function};
use super::placement::{
    self, CallSpec, CountIn, FoundBy, PassedOver,
    TlsDirection::{self, Inbound, Outbound},
};
use super::version_text;

/// Bytes of constant data searched for a version.
const MAX_VERSION_SEARCH: u64 = 4 << 20;

/// A function that moves plaintext.
struct Moving {
    name: &'static str,
    direction: TlsDirection,
    count: CountIn,
    passed_over: PassedOver,
}

const fn moving(name: &'static str, direction: TlsDirection) -> Moving {
    Moving {
        name,
        direction,
        count: CountIn::ReturnValue,
        passed_over: PassedOver::None,
    }
}

/// One library.
struct Library {
    name: &'static str,
    /// What its shared object's name begins with.
    stem: &'static str,
    /// The first two are always there, one a direction.
    moving: &'static [Moving],
    free: &'static str,
    /// Name of the function that all reads go on to, with the type of records as second argument.
    inside: Option<&'static str>,
    /// Text in front of its version, and the version's major number if it is text by itself.
    version: (&'static str, &'static str),
}

const LIBRARIES: [Library; 4] = [
    Library {
        name: "gnutls",
        stem: "libgnutls",
        moving: &[
            moving("gnutls_record_recv", Inbound),
            Moving {
                passed_over: PassedOver::Inside,
                ..moving("gnutls_record_send", Outbound)
            },
            moving("gnutls_record_recv_seq", Inbound),
            // 3.6.3 and newer: what `gnutls_record_send` goes on to.
            Moving {
                passed_over: PassedOver::Inside,
                ..moving("gnutls_record_send2", Outbound)
            },
            // What was corked was counted when it was handed over.
            Moving {
                count: CountIn::Nothing,
                ..moving("gnutls_record_uncork", Outbound)
            },
        ],
        free: "gnutls_deinit",
        inside: Some("_gnutls_recv_int"),
        version: ("\0", "3."),
    },
    Library {
        name: "wolfssl",
        stem: "libwolfssl",
        moving: &[
            moving("wolfSSL_read", Inbound),
            moving("wolfSSL_write", Outbound),
        ],
        free: "wolfSSL_free",
        inside: None,
        version: ("wolfSSL ", ""),
    },
    Library {
        name: "mbedtls",
        stem: "libmbedtls",
        moving: &[
            moving("mbedtls_ssl_read", Inbound),
            moving("mbedtls_ssl_write", Outbound),
        ],
        free: "mbedtls_ssl_free",
        inside: None,
        // `mbed` or `Mbed`; most builds have it in libmbedcrypto only.
        version: ("bed TLS ", ""),
    },
    Library {
        name: "s2n",
        stem: "libs2n",
        moving: &[moving("s2n_recv", Inbound), moving("s2n_send", Outbound)],
        free: "s2n_connection_free",
        inside: None,
        version: ("s2n-tls ", ""),
    },
];

/// Looks for one of them in `image`, a file of this name.
pub(super) fn find(image: &ElfImage<'_>, base_name: &str) -> Option<Finding> {
    LIBRARIES
        .iter()
        .find_map(|library| library.find(image, base_name))
}

/// `libgnutls.so.30`, or `libgnutls-3a1b.so.30` as Python's wheels have it.
fn is_named(base_name: &str, stem: &str) -> bool {
    base_name
        .strip_prefix(stem)
        .is_some_and(|rest| rest.starts_with(".so") || rest.starts_with('-'))
}

/// The version in a name such as `libmbedtls.so.2.28.3`; where that is a number of the interface,
/// the library tells its version itself.
fn in_name(base_name: &str) -> Option<String> {
    let (_, version) = base_name.split_once("libmbedtls.so.")?;
    let numbers = version
        .split('.')
        .filter(|part| part.parse::<u16>().is_ok());
    (numbers.count() == 3).then(|| version.to_owned())
}

/// Could the name be one of these libraries, so that not finding its functions is worth a word?
pub(super) fn is_known(base_name: &str) -> bool {
    LIBRARIES
        .iter()
        .any(|library| is_named(base_name, library.stem))
}

impl Library {
    fn find(&self, image: &ElfImage<'_>, base_name: &str) -> Option<Finding> {
        let named = is_named(base_name, self.stem);
        if !named
            && !self
                .moving
                .first()
                .is_some_and(|it| image.has_name(it.name))
        {
            return None;
        }
        let names: Vec<&str> = self.moving.iter().map(|moving| moving.name).collect();
        let found = [&names[..], &[self.free]].concat();
        let found = image.functions(&found);
        let refused = |reason: String| {
            Some(Finding::Refused(Arc::new(Refusal {
                library: self.name.to_owned(),
                reason,
            })))
        };
        let found: Vec<Option<Function>> = match found {
            Ok(found) => found,
            Err(error) if named => return refused(format!("{error}; not probed")),
            Err(_) => return None,
        };
        if !found.iter().take(2).all(Option::is_some) {
            let missing = names.get(..2).unwrap_or_default().join(" and ");
            return named
                .then(|| refused(format!("it defines no {missing}; not probed")))
                .flatten();
        }
        let calls: Vec<CallSpec> = self
            .moving
            .iter()
            .zip(&found)
            .filter_map(|(moving, function)| {
                let spec = CallSpec::new(moving.name, (*function)?, moving.direction, moving.count);
                Some(spec.passing_over(moving.passed_over))
            })
            .collect();
        let free = found.last().copied().flatten();
        let version = self.own_version(image).or_else(|| in_name(base_name));
        let library = match version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.to_owned(),
        };
        let free = free.map(|function| (self.free, function));
        let plan = |calls: &[CallSpec]| {
            let library = library.clone();
            placement::plan_calls(image, library, FoundBy::Symbols, calls, free.as_slice())
        };
        let inside = self.inside.and_then(|name| inside(image, name, &calls));
        if let Some(Ok(better)) = inside.map(|calls| plan(&calls))
            && better.points.iter().all(|point| point.emulated)
        {
            return Some(Finding::Plan(Arc::new(better)));
        }
        match plan(&calls) {
            Ok(plan) => Some(Finding::Plan(Arc::new(plan))),
            Err(error) => refused(format!("{error}; not probed")),
        }
    }

    fn own_version(&self, image: &ElfImage<'_>) -> Option<String> {
        let (marker, major) = self.version;
        let look = |piece: &[u8]| version_text::after(piece, marker, major);
        image.search(".rodata", MAX_VERSION_SEARCH, version_text::OVERLAP, look)
    }
}

/// The same calls, but for reads those of the functions that all reads go on to.
fn inside(image: &ElfImage<'_>, name: &str, calls: &[CallSpec]) -> Option<Vec<CallSpec>> {
    let (reads, writes): (Vec<&CallSpec>, Vec<&CallSpec>) = calls
        .iter()
        .partition(|spec| spec.call.direction == Inbound);
    let reads: Vec<Function> = reads.iter().map(|spec| spec.function).collect();
    let readers = placement::record_readers(image, &reads)?;
    let readers = readers.into_iter().map(|function| {
        CallSpec::new(name, function, Inbound, CountIn::ReturnValue)
            .passing_over(PassedOver::OtherRecords)
    });
    Some(readers.chain(writes.into_iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn shared_objects_are_known_by_name_in_packages_and_wheels() {
        for name in [
            "libgnutls.so.30",
            "libgnutls-3a1b.so.30",
            "libwolfssl.so.35",
            "libmbedtls.so.14",
            "libs2n.so",
        ] {
            assert!(is_known(name), "{name}");
        }
        for name in ["libgnutlsxx.so.30", "libmbedtlscrypto.so", "libssl.so.3"] {
            assert!(!is_known(name), "{name}");
        }
    }

    #[test]
    fn gnutls_of_this_machine_is_probed_once_for_each_call() {
        let path = "/usr/lib/x86_64-linux-gnu/libgnutls.so.30";
        let Ok(file) = File::open(path) else {
            println!("skipped: there is no {path}");
            return;
        };
        let image = ElfImage::open(&file).expect("an image");
        let Some(Finding::Plan(plan)) = find(&image, "libgnutls.so.30") else {
            panic!("no plan");
        };
        println!("{plan:#?}");
        assert!(plan.library.starts_with("gnutls 3."), "{}", plan.library);
        let has = |name: &str| plan.points.iter().any(|point| point.function == name);
        assert!(has("_gnutls_recv_int") || has("gnutls_record_recv"));
        assert!(has("gnutls_deinit"));
        // One forwards to the other: probes on both would count a call twice.
        assert!(has("gnutls_record_send") != has("gnutls_record_send2"));
    }
}
