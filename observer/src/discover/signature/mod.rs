//! BoringSSL, or OpenSSL 3 (`openssl`), inside a file that is stripped: its functions are found by
//! what their code refers to.
//!
//! In: an ELF image. Out: a plan, the reason why there is none, or nothing if neither is inside.
//! Every error that BoringSSL records names the source file and a reason (`ssl_lib.cc`,
//! `include/openssl/ssl.h`), and these constants survive stripping. So a function is known by the
//! set of reasons it can record; each must be the only one of its kind, and they must call each
//! other as they do in the source, else nothing is probed.

mod function_starts;
mod openssl;
mod recorded;

use std::sync::Arc;

pub(super) use self::function_starts::FunctionStarts;
use self::recorded::{Recorded, recorded};
use super::candidate::{Finding, Refusal};
use super::elf_image::{ElfImage, Function};
use super::placement::{
    self, CallSpec, CountIn, FoundBy,
    TlsDirection::{Inbound, Outbound},
};

/// The source file of `SSL_read` and `SSL_write`, as the compiler writes its name: a C++ file since
/// 2017.
const FILE: &str = "ssl/ssl_lib.cc";
/// Copies of the name that are looked at: one linked unit has one.
const MAX_COPIES: usize = 4;

/// `SSL_do_handshake`, `SSL_connect`, `SSL_accept`, and early data's.
const MAX_HANDSHAKES: usize = 4;
/// A file with less code cannot hold the library: most shared objects are not searched.
const LEAST_CODE: u64 = 512 << 10;

/// `ERR_R_SHOULD_NOT_HAVE_BEEN_CALLED`: read or written with QUIC.
const QUIC: u32 = 66;
/// `SSL_R_BAD_LENGTH`
const BAD_LENGTH: u32 = 111;
/// `SSL_R_CONNECTION_TYPE_NOT_SET`
const NO_SIDE: u32 = 134;
/// `SSL_R_SSL_HANDSHAKE_FAILURE`
const HANDSHAKE: u32 = 215;
/// `SSL_R_UNINITIALIZED`
const UNINITIALIZED: u32 = 226;

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    read: Function,
    write: Function,
    /// `SSL_do_handshake`, and others that a compiler has put it into: an object begins anew there,
    /// where another may have lain whose end is not seen.
    handshakes: Vec<Function>,
}

/// Looks for BoringSSL, then for OpenSSL 3, in `image`.
pub(super) fn find(image: &ElfImage<'_>) -> Option<Finding> {
    if image.extent(".text")?.size < LEAST_CODE {
        return None;
    }
    boringssl(image).or_else(|| openssl::find(image))
}

fn boringssl(image: &ElfImage<'_>) -> Option<Finding> {
    let names = image.find_texts(".rodata", FILE, MAX_COPIES);
    if names.is_empty() {
        return None;
    }
    let library = "boringssl".to_owned();
    let refused = |reason: String| {
        let library = library.clone();
        Some(Finding::Refused(Arc::new(Refusal { library, reason })))
    };
    let found = FunctionStarts::of(image)
        .ok_or("it has no table of unwind information (.eh_frame_hdr)")
        .and_then(|starts| {
            names
                .iter()
                .find_map(|name| known(&recorded(image, &starts, *name)))
                .ok_or("no function records the errors that SSL_read and SSL_write do")
        });
    let Found {
        read,
        write,
        handshakes,
    } = match found {
        Ok(found) => found,
        Err(why) => {
            return refused(format!(
                "BoringSSL is inside without symbols, and {why}; a build that is not stripped would show its calls"
            ));
        }
    };
    let calls = [
        CallSpec::new("SSL_read", read, Inbound, CountIn::ReturnValue),
        CallSpec::new("SSL_write", write, Outbound, CountIn::ReturnValue),
    ];
    let ends: Vec<_> = handshakes
        .into_iter()
        .map(|function| ("SSL_do_handshake", function))
        .collect();
    match placement::plan_calls(image, library.clone(), FoundBy::Signature, &calls, &ends) {
        Ok(plan) => Some(Finding::Plan(Arc::new(plan))),
        Err(error) => refused(format!("{error}; not probed")),
    }
}

/// The functions, if each is beyond doubt.
fn known(functions: &[Recorded]) -> Option<Found> {
    let has = |it: &Recorded, all: &[u32], none: &[u32]| {
        all.iter().all(|reason| it.reasons.contains(reason))
            && none.iter().all(|reason| !it.reasons.contains(reason))
    };
    let write = only(functions, |it| {
        has(it, &[QUIC, UNINITIALIZED, BAD_LENGTH, HANDSHAKE], &[])
    })?;
    // `ssl_read_impl`, which both `SSL_read` and `SSL_peek` call.
    let inner = only(functions, |it| {
        has(it, &[UNINITIALIZED, HANDSHAKE], &[BAD_LENGTH])
    })?;
    let callers = |it: &Recorded| {
        it.reasons.len() == 1 && has(it, &[QUIC], &[]) && it.calls.contains(&inner.function.address)
    };
    // What was read is taken out of the connection's buffer; what was peeked at is not.
    let read = only(functions, |it| callers(it) && it.writes >= 2)?;
    // A linker drops `SSL_peek` where nobody calls it.
    let others = functions.iter().filter(|it| callers(it) && it.writes < 2);
    if others.clone().count() > 1 || others.clone().any(|it| it.writes > 0) {
        return None;
    }
    let handshakes: Vec<Function> = functions
        .iter()
        .filter(|it| it.reasons.len() == 1 && has(it, &[NO_SIDE], &[]))
        .map(|it| it.function)
        .collect();
    // A write completes the handshake first, if that is not done.
    let called = |it: &Function| write.calls.contains(&it.address);
    if handshakes.len() > MAX_HANDSHAKES || !handshakes.iter().any(called) {
        return None;
    }
    Some(Found {
        read: read.function,
        write: write.function,
        handshakes,
    })
}

fn only(functions: &[Recorded], is: impl Fn(&Recorded) -> bool) -> Option<&Recorded> {
    let mut found = functions.iter().filter(|it| is(it));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: u64, reasons: &[u32], calls: &[u64], writes: usize) -> Recorded {
        Recorded {
            function: Function { address, size: 16 },
            reasons: reasons.iter().copied().collect(),
            calls: calls.to_vec(),
            writes,
        }
    }

    fn library() -> Vec<Recorded> {
        vec![
            function(0x100, &[QUIC], &[0x300], 0),
            function(0x200, &[QUIC], &[0x300, 0x900], 2),
            function(0x300, &[UNINITIALIZED, HANDSHAKE, 100], &[], 5),
            function(
                0x400,
                &[QUIC, UNINITIALIZED, BAD_LENGTH, HANDSHAKE],
                &[0x500],
                3,
            ),
            function(0x500, &[NO_SIDE], &[], 0),
            function(0x600, &[QUIC], &[0x900], 1),
        ]
    }

    #[test]
    fn functions_are_known_by_the_errors_they_record_and_whom_they_call() {
        let found = known(&library()).expect("found");
        assert_eq!((found.read.address, found.write.address), (0x200, 0x400));
        assert_eq!(found.handshakes.len(), 1);
    }

    #[test]
    fn two_that_fit_or_none_are_no_answer() {
        for index in [0, 1, 2, 3] {
            let mut less = library();
            less.remove(index);
            // A linker may have dropped the first, `SSL_peek`.
            assert_eq!(known(&less).is_some(), index == 0, "without {index}");
            let mut more = library();
            let mut again = function(0x700, &[], &[], 0);
            if let Some(first) = more.get(index) {
                again.reasons.clone_from(&first.reasons);
                again.calls.clone_from(&first.calls);
                again.writes = first.writes;
            }
            more.push(again);
            assert_eq!(known(&more), None, "two of {index}");
        }
        assert_eq!(known(&[]), None);
    }
}
