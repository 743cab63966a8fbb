//! An ELF file read in bounded pieces: sections, function symbols, code bytes.
//!
//! In: an open file, which may come from a container and lie. Out: what was asked for, or nothing.
//! It never maps the file, never trusts a size it says of itself, and never reads it whole.

mod search;
mod source;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::rc::Rc;

use memchr::memmem;
use object::LittleEndian as LE;
use object::elf;
use object::pod::{Pod, from_bytes, slice_from_all_bytes};

use self::source::Source;

/// Section headers looked at; the largest executables have below a hundred, `ld -r` output more.
const MAX_SECTIONS: u16 = 4096;
/// Program headers looked at; linkers write about a dozen.
const MAX_SEGMENTS: u16 = 256;
/// Largest symbol, string or relocation table read: browsers and V8 stay under 32 MiB.
const MAX_TABLE: u64 = 64 << 20;
/// Places in a string table where one name is looked at: a name can be the tail of longer ones.
const MAX_NAME_PLACES: usize = 64;
/// Relocations looked at to name an imported function.
const MAX_RELOCATIONS: usize = 1 << 20;
/// Bytes read at once while searching a section.
pub(super) const SEARCH_STEP: usize = 1 << 20;

/// Why a file is not an image that can be probed.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It could not be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is no ELF file, or one cut short.
    #[error("not an ELF file: {0}")]
    NotElf(&'static str),
    /// It is for another machine.
    #[error("made for another processor than x86-64")]
    Machine,
    /// A table is larger than any real one.
    #[error("its {0} table is larger than the agent reads")]
    TooLarge(&'static str),
}

/// A function symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Virtual address of its first instruction, before relocation.
    pub address: u64,
    /// Its size in bytes; 0 if the symbol does not say.
    pub size: u64,
}

/// A part of the file by name.
#[derive(Clone, Debug)]
struct Section {
    name: String,
    kind: elf::SectionType,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
}

/// A part of the file that is mapped.
#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
    executable: bool,
}

/// Where a section lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Virtual address of its first byte, before relocation.
    pub address: u64,
    /// Its offset in the file, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// See the module.
#[derive(Debug)]
pub struct ElfImage<'a> {
    source: Source<'a>,
    length: u64,
    sections: Vec<Section>,
    segments: Vec<Segment>,
    /// String tables read before, by section: several libraries are looked for in one file.
    strings: RefCell<HashMap<u32, Rc<Vec<u8>>>>,
    /// An image of the same program that has the names of its functions.
    names: Option<Box<ElfImage<'static>>>,
}

impl<'a> ElfImage<'a> {
    /// Reads the headers of `file`, an x86-64 executable or shared object.
    ///
    /// # Errors
    /// [`ElfError`] if it cannot be read, is something else, or has headers no real file has.
    pub fn open(file: &'a File) -> Result<Self, ElfError> {
        Self::of(Source::File(file))
    }

    fn of(source: Source<'a>) -> Result<Self, ElfError> {
        let length = source.length()?;
        let mut image = Self {
            source,
            length,
            sections: Vec::new(),
            segments: Vec::new(),
            strings: RefCell::default(),
            names: None,
        };
        let bytes = image.read(0, size_of::<elf::FileHeader64<LE>>() as u64)?;
        let Ok((header, _)) = from_bytes::<elf::FileHeader64<LE>>(&bytes) else {
            return Err(ElfError::NotElf("too short"));
        };
        let ident = &header.e_ident;
        if ident.magic != elf::ELFMAG {
            return Err(ElfError::NotElf("no ELF magic"));
        }
        if ident.class != elf::ELFCLASS64
            || ident.data != elf::ELFDATA2LSB
            || header.e_machine.get(LE) != elf::EM_X86_64
        {
            return Err(ElfError::Machine);
        }
        image.read_segments(header)?;
        image.read_sections(header)?;
        Ok(image)
    }

    fn read_segments(&mut self, header: &elf::FileHeader64<LE>) -> Result<(), ElfError> {
        let count = header.e_phnum.get(LE);
        if count > MAX_SEGMENTS {
            return Err(ElfError::TooLarge("program header"));
        }
        if count == 0 {
            return Ok(());
        }
        if usize::from(header.e_phentsize.get(LE)) != size_of::<elf::ProgramHeader64<LE>>() {
            return Err(ElfError::NotElf("unknown program headers"));
        }
        let bytes = self.table(
            header.e_phoff.get(LE),
            header_bytes::<elf::ProgramHeader64<LE>>(count),
        )?;
        for segment in items::<elf::ProgramHeader64<LE>>(&bytes) {
            let executable = segment.p_flags.get(LE).contains(elf::PF_X);
            if segment.p_type.get(LE) == elf::PT_LOAD {
                self.segments.push(Segment {
                    address: segment.p_vaddr.get(LE),
                    offset: segment.p_offset.get(LE),
                    size: segment.p_filesz.get(LE),
                    executable,
                });
            }
        }
        Ok(())
    }

    fn read_sections(&mut self, header: &elf::FileHeader64<LE>) -> Result<(), ElfError> {
        let count = header.e_shnum.get(LE);
        if count > MAX_SECTIONS {
            return Err(ElfError::TooLarge("section header"));
        }
        // Without section headers there are no symbols to find: not an error, just nothing there.
        if count == 0 {
            return Ok(());
        }
        if usize::from(header.e_shentsize.get(LE)) != size_of::<elf::SectionHeader64<LE>>() {
            return Err(ElfError::NotElf("unknown section headers"));
        }
        let bytes = self.table(
            header.e_shoff.get(LE),
            header_bytes::<elf::SectionHeader64<LE>>(count),
        )?;
        let headers = items::<elf::SectionHeader64<LE>>(&bytes);
        let names = match headers.get(usize::from(header.e_shstrndx.get(LE).0)) {
            Some(names) => self.table(names.sh_offset.get(LE), names.sh_size.get(LE))?,
            None => Vec::new(),
        };
        self.sections = headers
            .iter()
            .map(|section| Section {
                name: text_at(&names, section.sh_name.get(LE)),
                kind: section.sh_type.get(LE),
                address: section.sh_addr.get(LE),
                offset: section.sh_offset.get(LE),
                size: section.sh_size.get(LE),
                link: section.sh_link.get(LE),
            })
            .collect();
        Ok(())
    }

    /// `size` bytes at `offset` of the file; an error if the file ends before.
    fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, ElfError> {
        let end = offset.checked_add(size);
        if end.is_none_or(|end| end > self.length) {
            return Err(ElfError::NotElf("cut short"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.source.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn table(&self, offset: u64, size: u64) -> Result<Vec<u8>, ElfError> {
        if size > MAX_TABLE {
            return Err(ElfError::TooLarge("symbol or string"));
        }
        self.read(offset, size)
    }

    /// Where the section of this name lies, if it has bytes in the file.
    pub fn extent(&self, name: &str) -> Option<Extent> {
        let section = self.section(name)?;
        Some(Extent {
            address: section.address,
            offset: section.offset,
            size: section.size.min(self.length.checked_sub(section.offset)?),
        })
    }

    fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name == name && section.kind != elf::SHT_NOBITS)
    }

    /// The functions of these names that the file defines, in the order of `names`: from the
    /// dynamic symbols, and from the full table for those that are not exported.
    ///
    /// # Errors
    /// [`ElfError`] if a table cannot be read or is larger than any real one.
    pub fn functions(&self, names: &[&str]) -> Result<Vec<Option<Function>>, ElfError> {
        let mut found = vec![None; names.len()];
        for kind in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
            if found.iter().all(Option::is_some) {
                break;
            }
            for section in self.sections.iter().filter(|section| section.kind == kind) {
                self.functions_in(section, names, &mut found)?;
            }
        }
        if let Some(beside) = &self.names {
            let beside = beside.functions(names)?;
            for (slot, function) in found.iter_mut().zip(beside) {
                *slot = slot.or(function);
            }
        }
        Ok(found)
    }

    fn functions_in(
        &self,
        section: &Section,
        names: &[&str],
        found: &mut [Option<Function>],
    ) -> Result<(), ElfError> {
        let Some(strings) = self.strings(section)? else {
            return Ok(());
        };
        // Names first, in one fast search: most files define none of them and cost no more.
        let mut places: Vec<(u32, usize)> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            for terminator in [&b"\0"[..], b"@@"] {
                let pattern = [name.as_bytes(), terminator].concat();
                let hits = memmem::find_iter(&strings, &pattern).take(MAX_NAME_PLACES);
                places.extend(hits.filter_map(|place| Some((u32::try_from(place).ok()?, index))));
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let bytes = self.table(section.offset, section.size)?;
        for symbol in items::<elf::Sym64<LE>>(&bytes) {
            let name = symbol.st_name.get(LE);
            let Some((_, index)) = places.iter().find(|(place, _)| *place == name) else {
                continue;
            };
            let defined = symbol.st_shndx.get(LE) != elf::SHN_UNDEF && symbol.st_value.get(LE) != 0;
            let function = symbol.st_type() == elf::STT_FUNC;
            if let Some(slot) = found.get_mut(*index)
                && slot.is_none()
                && defined
                && function
            {
                *slot = Some(Function {
                    address: symbol.st_value.get(LE),
                    size: symbol.st_size.get(LE),
                });
            }
        }
        Ok(())
    }

    /// The string table of a symbol table.
    fn strings(&self, section: &Section) -> Result<Option<Rc<Vec<u8>>>, ElfError> {
        if let Some(known) = self.strings.borrow().get(&section.link) {
            return Ok(Some(Rc::clone(known)));
        }
        let Some(strings) = self.sections.get(section.link as usize) else {
            return Ok(None);
        };
        let strings = Rc::new(self.table(strings.offset, strings.size)?);
        let known = Rc::clone(&strings);
        self.strings.borrow_mut().insert(section.link, known);
        Ok(Some(strings))
    }

    /// The same image, with names of functions from another image of the same program.
    pub(super) fn with_names(mut self, names: ElfImage<'static>) -> Self {
        self.names = Some(Box::new(names));
        self
    }

    /// Whether it has all names of its own functions, not only those that others need.
    pub(super) fn has_full_table(&self) -> bool {
        let mut sections = self.sections.iter();
        sections.any(|section| section.kind == elf::SHT_SYMTAB)
    }

    /// Does a symbol have this name, defined here or not? Faster than [`Self::functions`].
    pub(super) fn has_name(&self, name: &str) -> bool {
        if self.names.as_ref().is_some_and(|it| it.has_name(name)) {
            return true;
        }
        let tables = [elf::SHT_DYNSYM, elf::SHT_SYMTAB];
        let mut sections = self.sections.iter();
        sections.any(|section| {
            tables.contains(&section.kind)
                && matches!(self.strings(section), Ok(Some(strings))
                    if memmem::find(&strings, name.as_bytes()).is_some())
        })
    }

    /// File offset of a virtual address that is mapped executable.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        let (offset, _) = self.locate(address, true)?;
        Some(offset)
    }

    /// File offset of `address`, and the bytes that its segment still has from there.
    fn locate(&self, address: u64, code: bool) -> Option<(u64, u64)> {
        let mapped = self.segments.iter();
        mapped
            .filter(|it| it.executable || !code)
            .find_map(|segment| {
                let into = address.checked_sub(segment.address)?;
                let left = segment.size.checked_sub(into).filter(|left| *left > 0)?;
                Some((segment.offset.checked_add(into)?, left))
            })
    }

    /// Up to `size` bytes of code at `address`; fewer at the end of the segment, none outside.
    pub fn code(&self, address: u64, size: u64) -> Vec<u8> {
        let Some((offset, left)) = self.locate(address, true) else {
            return Vec::new();
        };
        self.table(offset, size.min(left)).unwrap_or_default()
    }

    /// Up to `size` bytes of the file that are mapped at `address`, code or data; fewer at the end
    /// of the segment, none outside.
    pub fn mapped(&self, address: u64, size: u64) -> Vec<u8> {
        let Some((offset, left)) = self.locate(address, false) else {
            return Vec::new();
        };
        self.table(offset, size.min(left)).unwrap_or_default()
    }

    /// Up to `size` bytes at a file offset, whatever is there.
    pub fn bytes_at(&self, offset: u64, size: u64) -> Vec<u8> {
        self.table(offset, size).unwrap_or_default()
    }

    /// Name of the function that the dynamic linker writes to `slot`, an address in the global
    /// offset table.
    pub fn imported(&self, slot: u64) -> Option<String> {
        for section in self
            .sections
            .iter()
            .filter(|section| section.kind == elf::SHT_RELA)
        {
            let bytes = self.table(section.offset, section.size).ok()?;
            let relocation = items::<elf::Rela64<LE>>(&bytes)
                .iter()
                .take(MAX_RELOCATIONS)
                .find(|relocation| relocation.r_offset.get(LE) == slot);
            let Some(relocation) = relocation else {
                continue;
            };
            let symbols = self.sections.get(section.link as usize)?;
            let size = size_of::<elf::Sym64<LE>>() as u64;
            let place = u64::from(relocation.r_sym(LE, false)).checked_mul(size)?;
            let place = symbols.offset.checked_add(place)?;
            let bytes = self.read(place, size).ok()?;
            let (symbol, _) = from_bytes::<elf::Sym64<LE>>(&bytes).ok()?;
            let strings = self.sections.get(symbols.link as usize)?;
            let strings = self.table(strings.offset, strings.size).ok()?;
            return Some(text_at(&strings, symbol.st_name.get(LE))).filter(|name| !name.is_empty());
        }
        None
    }

    /// Searches at most `limit` bytes of a section, giving each piece of up to a mebibyte to
    /// `look`; pieces overlap by `overlap` bytes so that no hit is cut. Stops at the first `Some`.
    pub fn search<T>(
        &self,
        section: &str,
        limit: u64,
        overlap: usize,
        mut look: impl FnMut(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let section = self.section(section)?;
        let end = section
            .offset
            .checked_add(section.size.min(limit))?
            .min(self.length);
        let mut at = section.offset;
        let mut buffer = vec![0; SEARCH_STEP + overlap];
        while at < end {
            let want = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let piece = buffer.get_mut(..want)?;
            self.source.read_exact_at(piece, at).ok()?;
            if let Some(hit) = look(piece) {
                return Some(hit);
            }
            at = at.checked_add(SEARCH_STEP as u64)?;
        }
        None
    }
}

impl ElfImage<'static> {
    /// As [`ElfImage::open`], of a file that is kept.
    pub(super) fn of_file(file: File) -> Result<Self, ElfError> {
        Self::of(Source::Owned(file))
    }

    /// As [`ElfImage::open`], of bytes in memory.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Result<Self, ElfError> {
        Self::of(Source::Memory(bytes))
    }
}

fn header_bytes<T>(count: u16) -> u64 {
    u64::from(count) * size_of::<T>() as u64
}

/// All whole items in `bytes`.
fn items<T: Pod>(bytes: &[u8]) -> &[T] {
    let whole = bytes.len() - bytes.len() % size_of::<T>().max(1);
    bytes
        .get(..whole)
        .and_then(|bytes| slice_from_all_bytes(bytes).ok())
        .unwrap_or_default()
}

/// The NUL-terminated text at `offset`, at most 256 bytes of it.
fn text_at(strings: &[u8], offset: u32) -> String {
    const LONGEST: usize = 256;
    let rest = strings.get(offset as usize..).unwrap_or_default();
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    let end = memchr::memchr(0, rest).unwrap_or(rest.len());
    String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned()
}
