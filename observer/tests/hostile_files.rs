//! Files that lie about their functions, and files that change while they are looked at.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _};
use observer::discover::placement::LibraryPlan;
use observer::discover::{Finding, examine_file};

const SHARED_OBJECT: &[u8] = include_bytes!("../fuzz/seeds/elf/shared-object");
/// Used too where it is: it is larger, and its functions are real.
const REAL: &str = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
const NAME: &str = "libssl.so.3";
/// Bytes of an entry of a symbol table, and where its address and its size lie in it.
const ENTRY: usize = 24;
const VALUE: usize = 8;
const SIZE: usize = 16;

fn libraries() -> Vec<Vec<u8>> {
    let mut libraries = vec![SHARED_OBJECT.to_vec()];
    match fs::read(REAL) {
        Ok(real) => libraries.push(real),
        Err(error) => println!("skipped: {REAL}: {error}"),
    }
    libraries
}

fn planned(file: &File) -> Option<LibraryPlan> {
    match examine_file(file, NAME, false)? {
        Finding::Plan(plan) => Some(LibraryPlan::clone(&plan)),
        Finding::Refused(_) => None,
    }
}

fn planned_bytes(bytes: &[u8]) -> Option<LibraryPlan> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    planned(&file)
}

/// Where the entries of a function lie in the symbol tables of the file.
fn entries(bytes: &[u8], function: &str) -> Vec<usize> {
    let file = ElfFile64::<LittleEndian>::parse(bytes).expect("an ELF file");
    let mut found = Vec::new();
    for (table, names) in [(".dynsym", ".dynstr"), (".symtab", ".strtab")] {
        let section = |name| Some(file.section_by_name(name)?.file_range()?.0 as usize);
        let (Some(at), Some(names)) = (section(table), section(names)) else {
            continue;
        };
        let size = file.section_by_name(table).map_or(0, |it| it.size()) as usize;
        for entry in (at..at + size).step_by(ENTRY) {
            let name = u32::from_le_bytes(bytes[entry..entry + 4].try_into().expect("four bytes"));
            let text = &bytes[names + name as usize..];
            if text.starts_with(function.as_bytes()) && text.get(function.len()) == Some(&0) {
                found.push(entry);
            }
        }
    }
    found
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Is the place in the file within what is mapped to be run?
fn is_code(bytes: &[u8], place: u64) -> bool {
    let header = object::elf::FileHeader64::<LittleEndian>::parse(bytes).expect("a header");
    let segments = header
        .program_headers(LittleEndian, bytes)
        .expect("segments");
    segments.iter().any(|it| {
        let (start, size) = it.file_range(LittleEndian);
        it.p_type(LittleEndian) == PT_LOAD
            && it.p_flags(LittleEndian) & PF_X == PF_X
            && (start..start + size).contains(&place)
    })
}

#[test]
fn symbols_that_lie_give_places_in_code_or_none() {
    for library in libraries() {
        let read = entries(&library, "SSL_read");
        let write = entries(&library, "SSL_write");
        assert!(!read.is_empty() && !write.is_empty());
        assert!(
            planned_bytes(&library).is_some(),
            "without lies it is understood"
        );
        let (address, other) = (
            word(&library, read[0] + VALUE),
            word(&library, write[0] + VALUE),
        );
        let end = library.len() as u64;
        let addresses = [
            0,
            1,
            address + 1,
            address.wrapping_sub(1),
            other,
            end - 1,
            end,
            1 << 47,
            u64::MAX - 7,
            u64::MAX,
        ];
        let mut refused = 0;
        for value in addresses {
            for size in [0, 1, 15, 1 << 20, u64::MAX - address, u64::MAX] {
                let mut lying = library.clone();
                for entry in &read {
                    lying[entry + VALUE..entry + VALUE + 8].copy_from_slice(&value.to_le_bytes());
                    lying[entry + SIZE..entry + SIZE + 8].copy_from_slice(&size.to_le_bytes());
                }
                let Some(plan) = planned_bytes(&lying) else {
                    refused += 1;
                    continue;
                };
                for point in &plan.points {
                    assert!(
                        is_code(&library, point.file_offset),
                        "{value:#x} {size:#x}: {point:?}"
                    );
                }
            }
        }
        assert!(refused >= 12, "addresses without code are refused");
    }
}

/// Rewrites the file in place, shorter and longer and with other bytes, until it is told to end.
fn overwrite(path: &Path, bytes: &[u8], end: &AtomicBool) {
    let file = OpenOptions::new().write(true).open(path).expect("the file");
    let mut turn = 0_usize;
    while !end.load(Ordering::Relaxed) {
        turn = turn.wrapping_mul(31).wrapping_add(17);
        let at = turn % bytes.len();
        file.set_len(at as u64).expect("cut");
        let junk = [turn as u8; 64];
        file.write_all_at(&junk, (at / 2) as u64).expect("junk");
        file.set_len(bytes.len() as u64).expect("longer");
        file.write_all_at(bytes, 0).expect("as it was");
    }
}

#[test]
fn a_file_that_is_rewritten_while_it_is_looked_at_is_no_harm() {
    /// How long it is looked at.
    const FOR: Duration = Duration::from_millis(500);
    for library in libraries() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        fs::write(&path, &library).expect("written");
        let whole = planned(&File::open(&path).expect("opens")).expect("a plan");
        let end = AtomicBool::new(false);
        let other = std::thread::scope(|scope| {
            scope.spawn(|| overwrite(&path, &library, &end));
            let begun = Instant::now();
            let mut other = 0;
            while begun.elapsed() < FOR || other == 0 {
                let file = File::open(&path).expect("opens");
                match planned(&file) {
                    Some(plan) if plan.points == whole.points => {}
                    Some(plan) => {
                        other += 1;
                        let inside = |place| place < library.len() as u64;
                        assert!(plan.points.iter().all(|it| inside(it.file_offset)));
                    }
                    None => other += 1,
                }
                if begun.elapsed() > 20 * FOR {
                    break;
                }
            }
            end.store(true, Ordering::Relaxed);
            other
        });
        assert!(other > 0, "it was never caught while it changed");
        let again = planned(&File::open(&path).expect("opens"));
        assert_eq!(again.map(|plan| plan.points), Some(whole.points));
    }
}
