//! Names of functions of a stripped program, from what stripping set aside.
//!
//! In: an ELF image without a full symbol table. Out: an image of the same program that has one:
//! its own `.gnu_debugdata` (a small ELF file packed with xz), or a file below `/usr/lib/debug`
//! whose build id is the same. Only that folder is searched, which root alone can write to: a file
//! of symbols that lie would put probes into the middle of instructions, and programs share the
//! files that probes go on.

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use xz4rust::{XzDecoder, XzReader};

use super::candidate::open_if;
use super::elf_image::ElfImage;
use super::placement::FoundBy;

/// Packed bytes that are read: 30 KiB for a shell, 2 MiB for the largest programs.
const MAX_PACKED: u64 = 8 << 20;
/// Unpacked bytes that are kept.
const MAX_UNPACKED: usize = 64 << 20;
/// Memory that a packed stream may ask for: the most that `xz -9` does.
const MAX_DICTIONARY: usize = 64 << 20;
const READ_BUFFER: NonZeroUsize = NonZeroUsize::MIN.saturating_add((64 << 10) - 1);
/// A shared object with less code holds no TLS library, and is not unpacked.
const LEAST_CODE: u64 = 512 << 10;
/// Bytes of a note that are read.
const MAX_NOTE: u64 = 1024;
/// Bytes of a build id: 20 (SHA-1), or 8 and 16 of other linkers.
const BUILD_ID_BYTES: std::ops::RangeInclusive<usize> = 8..=32;
/// `NT_GNU_BUILD_ID` (elf.h).
const NOTE_BUILD_ID: u32 = 3;
const DEBUG_FOLDER: &str = "/usr/lib/debug/.build-id";

/// Looks for the names of `image`.
pub(super) fn find(
    image: &ElfImage<'_>,
    is_executable: bool,
) -> Option<(ElfImage<'static>, FoundBy)> {
    find_below(Path::new(DEBUG_FOLDER), image, is_executable)
}

fn find_below(
    folder: &Path,
    image: &ElfImage<'_>,
    is_executable: bool,
) -> Option<(ElfImage<'static>, FoundBy)> {
    if image.has_full_table() {
        return None;
    }
    if let Some(names) = debug_file(folder, image) {
        return Some((names, FoundBy::DebugFile));
    }
    let large = image.extent(".text")?.size >= LEAST_CODE;
    if !(is_executable || large) {
        return None;
    }
    let packed = image.extent(".gnu_debugdata")?;
    if packed.size > MAX_PACKED {
        return None;
    }
    let unpacked = unpack(image.bytes_at(packed.offset, packed.size))?;
    let names = ElfImage::of_bytes(unpacked).ok()?;
    Some((names, FoundBy::DebugData))
}

/// The debug file of the same build.
fn debug_file(folder: &Path, image: &ElfImage<'_>) -> Option<ElfImage<'static>> {
    let id = build_id(image)?;
    let file: File = open_if(&path_of(folder, &id)?, |_| true).ok()?;
    let names = ElfImage::of_file(file).ok()?;
    (build_id(&names)? == id).then_some(names)
}

/// `ab/cdef….debug`
fn path_of(folder: &Path, id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = id.split_first()?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(
        folder
            .join(format!("{first:02x}"))
            .join(format!("{rest}.debug")),
    )
}

/// What the linker calls this build (`.note.gnu.build-id`).
fn build_id(image: &ElfImage<'_>) -> Option<Vec<u8>> {
    let extent = image.extent(".note.gnu.build-id")?;
    let note = image.bytes_at(extent.offset, extent.size.min(MAX_NOTE));
    let (name_bytes, rest) = note.split_first_chunk::<4>()?;
    let (id_bytes, rest) = rest.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*id_bytes)).ok()?;
    let shaped = u32::from_le_bytes(*name_bytes) == 4
        && u32::from_le_bytes(*kind) == NOTE_BUILD_ID
        && BUILD_ID_BYTES.contains(&length);
    let id = rest.strip_prefix(b"GNU\0")?.get(..length)?;
    shaped.then(|| id.to_vec())
}

/// What is in an xz stream, if it is whole and not too much.
fn unpack(packed: Vec<u8>) -> Option<Vec<u8>> {
    let decoder = XzDecoder::in_heap_with_alloc_dict_size(0, MAX_DICTIONARY);
    let reader =
        XzReader::new_with_buffer_size_and_decoder(Cursor::new(packed), READ_BUFFER, decoder);
    let mut unpacked = Vec::new();
    let most = MAX_UNPACKED as u64 + 1;
    reader.take(most).read_to_end(&mut unpacked).ok()?;
    (unpacked.len() <= MAX_UNPACKED).then_some(unpacked)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    const SOURCE: &str = "
static int inner(int n) { return n + 1; }
__attribute__((noinline)) int mbedtls_ssl_read(int n) { return inner(n); }
int main(int argc, char **argv) { (void)argv; return mbedtls_ssl_read(argc); }
";

    /// Runs a tool; `None`, with the reason, if it is not there.
    fn run(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
        match Command::new(program).args(arguments).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{program}: {said}");
                Some(output.stdout)
            }
            Err(error) => {
                println!("skipped: {program}: {error}");
                None
            }
        }
    }

    /// A program in `folder`, `whole` and `stripped`, and its debug file, `debug`.
    fn build(folder: &Path) -> Option<()> {
        let at = |name: &str| folder.join(name).display().to_string();
        fs::write(at("main.c"), SOURCE).expect("written");
        run(
            "cc",
            &["-O1", "-Wl,--build-id", "-o", &at("whole"), &at("main.c")],
        )?;
        run(
            "objcopy",
            &["--only-keep-debug", &at("whole"), &at("debug")],
        )?;
        run("objcopy", &["--strip-all", &at("whole"), &at("stripped")])?;
        Some(())
    }

    fn read_function(image: &ElfImage<'_>) -> Option<u64> {
        let found = image.functions(&["mbedtls_ssl_read"]).expect("read");
        Some(found.first().copied().flatten()?.address)
    }

    #[test]
    fn a_stripped_program_gets_its_names_from_the_debug_file_of_its_build_only() {
        let folder = tempfile::tempdir().expect("a folder");
        if build(folder.path()).is_none() {
            return;
        }
        let whole = File::open(folder.path().join("whole")).expect("opens");
        let whole = ElfImage::open(&whole).expect("an image");
        let address = read_function(&whole).expect("a function");
        assert!(find_below(folder.path(), &whole, true).is_none());

        let stripped = File::open(folder.path().join("stripped")).expect("opens");
        let image = ElfImage::open(&stripped).expect("an image");
        assert_eq!(read_function(&image), None);
        assert!(find_below(folder.path(), &image, true).is_none());

        let id = build_id(&image).expect("a build id");
        let path = path_of(folder.path(), &id).expect("a path");
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::copy(folder.path().join("debug"), &path).expect("copied");
        let (names, by) = find_below(folder.path(), &image, true).expect("names");
        assert_eq!(by, FoundBy::DebugFile);
        let image = ElfImage::open(&stripped)
            .expect("an image")
            .with_names(names);
        assert_eq!(read_function(&image), Some(address));

        // One of another build in its place is not believed.
        let mut other = fs::read(&path).expect("read");
        let place = memchr::memmem::find(&other, &id).expect("the id is there");
        other[place] ^= 1;
        fs::write(&path, other).expect("written");
        let image = ElfImage::open(&stripped).expect("an image");
        assert!(find_below(folder.path(), &image, true).is_none());
    }

    #[test]
    fn names_packed_in_the_file_are_unpacked_and_damage_is_no_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        if build(folder.path()).is_none() {
            return;
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        // As distributions do it: the full table alone, packed.
        run("objcopy", &["--strip-debug", &at("debug"), &at("mini")]);
        let Some(packed) = run("xz", &["-c", &at("mini")]) else {
            return;
        };
        let with = |packed: &[u8]| {
            fs::write(at("mini.xz"), packed).expect("written");
            let section = format!(".gnu_debugdata={}", at("mini.xz"));
            run(
                "objcopy",
                &["--add-section", &section, &at("stripped"), &at("packed")],
            );
            File::open(at("packed")).expect("opens")
        };
        let whole = File::open(at("whole")).expect("opens");
        let address = read_function(&ElfImage::open(&whole).expect("an image"));
        let file = with(&packed);
        let image = ElfImage::open(&file).expect("an image");
        let (names, by) = find_below(folder.path(), &image, true).expect("names");
        assert_eq!(by, FoundBy::DebugData);
        let image = ElfImage::open(&file).expect("an image").with_names(names);
        assert_eq!(read_function(&image), address);

        for cut in [0, 1, 12, packed.len() / 2, packed.len() - 1] {
            assert_eq!(unpack(packed[..cut].to_vec()), None, "cut at {cut}");
        }
        let good = unpack(packed.clone()).expect("whole");
        for place in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[place] ^= 0x55;
            // What cannot be told from the whole is the whole.
            if let Some(bytes) = unpack(damaged) {
                assert_eq!(bytes, good, "byte {place}");
            }
        }
    }
}
