//! OpenSSL 3 inside a file that is stripped: its functions are found by the names that their errors
//! carry.
//!
//! In: an ELF image. Out: a plan, the reason why there is none, or nothing if OpenSSL 3 is not
//! inside. `ERR_set_debug(const char *file, int line, const char *func)` is called before each
//! error with the name of the function itself (`OPENSSL_FUNC`), and such texts survive stripping.
//! A name must be that of one function only, which must name `ssl/ssl_lib.c` too, and `SSL_read`
//! must pass its arguments on to what calls itself `ssl_read_internal`; else nothing is probed.

use std::collections::BTreeSet;
use std::sync::Arc;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use memchr::memmem;

use super::function_starts::FunctionStarts;
use crate::discover::candidate::{Finding, Refusal};
use crate::discover::elf_image::{ElfImage, Function, SEARCH_STEP};
use crate::discover::placement::{self, FoundBy, SharedCalls};
use crate::discover::version_text;

/// The source file of all that is sought.
const FILE: &str = "ssl/ssl_lib.c";
/// Functions by the names of their errors: read and write, what each goes on to, and where an
/// object begins.
const NAMES: [&str; 5] = [
    "SSL_read",
    "ssl_read_internal",
    "SSL_write",
    "ssl_write_internal",
    "SSL_do_handshake",
];
/// Constant data that is searched: 40 MiB in Node.
const MAX_DATA: u64 = 64 << 20;
/// Code that is searched: Chromium has 200 MiB.
const MAX_CODE: u64 = 256 << 20;
/// Places where one text is looked at: a linker shares the ends of texts.
const MAX_TEXTS: usize = 16;
/// Instructions that refer to one of the names: each is in some errors of one function.
const MAX_REFERENCES: usize = 256;
/// Bytes of a function that are decoded: 1 KiB is the largest seen.
const MAX_FUNCTION_BYTES: u64 = 16 << 10;
/// `lea rdx, [rip + …]`, the third argument.
const LEA_RDX: [u8; 3] = [0x48, 0x8d, 0x15];
/// Bytes of that instruction.
const LEA_LENGTH: usize = 7;
/// `mov edx, …`, in programs that are not position-independent.
const MOV_EDX: u8 = 0xba;

/// Looks for OpenSSL 3 in `image`.
pub(super) fn find(image: &ElfImage<'_>) -> Option<Finding> {
    let files = image.find_texts(".rodata", FILE, MAX_TEXTS);
    let files = BTreeSet::from_iter(files);
    let names = NAMES.map(|name| texts(image, name));
    let [read, _, write, _, _] = &names;
    if files.is_empty() || read.is_empty() || write.is_empty() {
        return None;
    }
    let library = image
        .search(
            ".rodata",
            MAX_DATA,
            version_text::OVERLAP,
            version_text::find,
        )
        .unwrap_or_else(|| "openssl 3".to_owned());
    let found = FunctionStarts::of(image)
        .ok_or("it has no table of unwind information (.eh_frame_hdr)")
        .and_then(|starts| {
            functions(image, &starts, &names, &files)
                .ok_or("no function alone carries the name of SSL_read, and of SSL_write")
        });
    let plan = match found {
        Ok(calls) => placement::plan_shared(image, library.clone(), FoundBy::Signature, calls)
            .map_err(|error| error.to_string()),
        Err(why) => Err(why.to_owned()),
    };
    Some(match plan {
        Ok(plan) => Finding::Plan(Arc::new(plan)),
        Err(why) => Finding::Refused(Arc::new(Refusal {
            library,
            reason: format!(
                "OpenSSL is inside without symbols, and {why}; its debug file below /usr/lib/debug, or a build that is not stripped, would show its calls"
            ),
        })),
    })
}

/// Addresses of a NUL-terminated text, the end of a longer one included.
fn texts(image: &ElfImage<'_>, text: &str) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let Some(extent) = image.extent(".rodata") else {
        return found;
    };
    let pattern = [text.as_bytes(), b"\0"].concat();
    let mut at = extent.address;
    image.pieces(".rodata", MAX_DATA, pattern.len(), |piece| {
        for place in memmem::find_iter(piece, &pattern) {
            found.insert(at.wrapping_add(place as u64));
        }
        at = at.wrapping_add(SEARCH_STEP as u64);
        found.len() < MAX_TEXTS
    });
    found
}

/// The functions, if each is beyond doubt.
fn functions(
    image: &ElfImage<'_>,
    starts: &FunctionStarts,
    names: &[BTreeSet<u64>; 5],
    files: &BTreeSet<u64>,
) -> Option<SharedCalls> {
    let places = references(image, names);
    let only = |places: &[u64]| {
        let mut functions: Vec<Function> = places
            .iter()
            .filter_map(|place| starts.around(*place))
            .filter(|function| names_one_of(image, *function, files))
            .collect();
        functions.dedup_by_key(|function| function.address);
        match functions.as_slice() {
            [function] => Some(*function),
            _ => None,
        }
    };
    let [read, read_internal, write, write_internal, handshake] =
        places.each_ref().map(|places| only(places));
    Some(SharedCalls {
        read: (read?, read_internal),
        write: (write?, write_internal),
        begins: handshake.map(|function| ("SSL_do_handshake", function)),
    })
}

/// Addresses of the instructions that make each of these texts a third argument.
fn references(image: &ElfImage<'_>, names: &[BTreeSet<u64>; 5]) -> [Vec<u64>; 5] {
    let mut found: [Vec<u64>; 5] = Default::default();
    let Some(text) = image.extent(".text") else {
        return found;
    };
    let mut note = |target: u64, place: u64| {
        for (texts, places) in names.iter().zip(&mut found) {
            if texts.contains(&target) && places.len() < MAX_REFERENCES {
                places.push(place);
            }
        }
    };
    let absolute: BTreeSet<u64> = names.iter().flatten().copied().collect();
    let absolute: Vec<(u64, [u8; 5])> = absolute
        .into_iter()
        .filter_map(|address| {
            let [a, b, c, d] = u32::try_from(address).ok()?.to_le_bytes();
            Some((address, [MOV_EDX, a, b, c, d]))
        })
        .collect();
    let mut address = text.address;
    image.pieces(".text", MAX_CODE, LEA_LENGTH - 1, |piece| {
        for place in memmem::find_iter(piece, &LEA_RDX) {
            let offset = piece.get(place + LEA_RDX.len()..);
            let Some(offset) = offset.and_then(|rest| rest.first_chunk::<4>()) else {
                continue;
            };
            let after = address.wrapping_add((place + LEA_LENGTH) as u64);
            let target = after.wrapping_add_signed(i64::from(i32::from_le_bytes(*offset)));
            note(target, address.wrapping_add(place as u64));
        }
        for (target, pattern) in &absolute {
            for place in memmem::find_iter(piece, pattern) {
                note(*target, address.wrapping_add(place as u64));
            }
        }
        address = address.wrapping_add(SEARCH_STEP as u64);
        true
    });
    found
}

/// Does the function put the address of one of these texts in `rdi`, the first argument?
fn names_one_of(image: &ElfImage<'_>, function: Function, files: &BTreeSet<u64>) -> bool {
    let size = function.size.min(MAX_FUNCTION_BYTES);
    let bytes = image.code(function.address, size);
    Decoder::with_ip(64, &bytes, function.address, DecoderOptions::NONE)
        .into_iter()
        .take_while(|instruction| !instruction.is_invalid())
        .any(|instruction| first_argument(&instruction).is_some_and(|it| files.contains(&it)))
}

fn first_argument(instruction: &Instruction) -> Option<u64> {
    match (instruction.mnemonic(), instruction.op0_register()) {
        (Mnemonic::Lea, Register::RDI) if instruction.is_ip_rel_memory_operand() => {
            Some(instruction.ip_rel_memory_address())
        }
        (Mnemonic::Mov, Register::EDI) if instruction.op1_kind() == OpKind::Immediate32 => {
            Some(u64::from(instruction.immediate32()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::process::Command;

    use super::*;

    const SOURCE: &str = "
#include <openssl/ssl.h>
int main(int argc, char **argv) {
    SSL *s = SSL_new(SSL_CTX_new(TLS_method()));
    size_t n;
    SSL_do_handshake(s);
    SSL_write(s, argv, argc);
    SSL_write_ex(s, argv, argc, &n);
    return SSL_read(s, argv, argc) + SSL_read_ex(s, argv, argc, &n);
}
";

    /// A program with OpenSSL inside, stripped and not; `None`, with the reason, if it cannot be
    /// built here.
    fn build(folder: &Path, more: &[&str]) -> Option<(File, File)> {
        let source = folder.join("main.c");
        fs::write(&source, SOURCE).expect("written");
        for (name, strip) in [("whole", "-g0"), ("stripped", "-s")] {
            let built = Command::new("cc")
                .args(["-O2", strip, "-o"])
                .arg(folder.join(name))
                .arg(&source)
                .args(more)
                .args(["-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread"])
                .output();
            if !built.is_ok_and(|output| output.status.success()) {
                println!("skipped: no C compiler, or no static OpenSSL (libssl-dev)");
                return None;
            }
        }
        let open = |name: &str| File::open(folder.join(name)).expect("opens");
        Some((open("whole"), open("stripped")))
    }

    #[test]
    fn a_stripped_program_is_probed_where_one_with_symbols_is() {
        for more in [&[][..], &["-no-pie"]] {
            let folder = tempfile::tempdir().expect("a folder");
            let Some((whole, stripped)) = build(folder.path(), more) else {
                return;
            };
            let whole = ElfImage::open(&whole).expect("an image");
            let by_symbols = placement::plan(&whole, "openssl".to_owned()).expect("a plan");
            let stripped = ElfImage::open(&stripped).expect("an image");
            let Some(Finding::Plan(found)) = find(&stripped) else {
                panic!("{:?}", find(&stripped));
            };
            let moving = |plan: &placement::LibraryPlan| -> Vec<_> {
                let points = plan.points.iter().filter(|point| point.call.is_some());
                points.cloned().collect()
            };
            assert_eq!(moving(&found), moving(&by_symbols), "{more:?}");
            assert_eq!(found.found_by, FoundBy::Signature);
        }
    }

    #[test]
    fn a_program_without_openssl_has_none() {
        let own = File::open("/proc/self/exe").expect("opens");
        let own = ElfImage::open(&own).expect("an image");
        let found = find(&own);
        assert!(!matches!(found, Some(Finding::Plan(_))), "{found:?}");
    }
}
