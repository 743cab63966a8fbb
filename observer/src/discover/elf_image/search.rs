//! What is looked for in an image by content or by name: texts, imported symbols.

use memchr::memmem;
use object::LittleEndian as LE;
use object::elf;

use super::{ElfImage, Function, MAX_RELOCATIONS, MAX_TABLE, SEARCH_STEP, items};

impl ElfImage<'_> {
    /// The place in the global offset table that the dynamic linker fills with the address of the
    /// imported symbol `name`.
    pub(in crate::discover) fn slot_of(&self, name: &str) -> Option<u64> {
        let tables = self.sections.iter().filter(|it| it.kind == elf::SHT_RELA);
        for section in tables {
            let symbols = self.sections.get(section.link as usize)?;
            let Ok(Some(strings)) = self.strings(symbols) else {
                continue;
            };
            let symbols = self.table(symbols.offset, symbols.size).ok()?;
            let symbols = items::<elf::Sym64<LE>>(&symbols);
            let bytes = self.table(section.offset, section.size).ok()?;
            let slot = items::<elf::Rela64<LE>>(&bytes)
                .iter()
                .take(MAX_RELOCATIONS)
                .find(|relocation| {
                    let symbol = symbols.get(relocation.r_sym(LE, false) as usize);
                    symbol.is_some_and(|symbol| text_is(&strings, symbol.st_name.get(LE), name))
                });
            if let Some(slot) = slot {
                return Some(slot.r_offset.get(LE));
            }
        }
        None
    }

    /// Functions defined here whose name `is` what is looked for, at most `most`, each place once.
    /// All such names have `part` in them: a file without it costs one search.
    pub(in crate::discover) fn functions_named(
        &self,
        part: &str,
        most: usize,
        is: impl Fn(&str) -> bool,
    ) -> Vec<Function> {
        let mut found: Vec<Function> = Vec::new();
        let tables = [elf::SHT_DYNSYM, elf::SHT_SYMTAB];
        let tables = self.sections.iter().filter(|it| tables.contains(&it.kind));
        for section in tables {
            let Ok(Some(strings)) = self.strings(section) else {
                continue;
            };
            if memmem::find(&strings, part.as_bytes()).is_none() {
                continue;
            }
            let symbols = self.table(section.offset, section.size).unwrap_or_default();
            for symbol in items::<elf::Sym64<LE>>(&symbols) {
                let (address, size) = (symbol.st_value.get(LE), symbol.st_size.get(LE));
                let function = Function { address, size };
                let defined = symbol.st_shndx.get(LE) != elf::SHN_UNDEF
                    && symbol.st_type() == elf::STT_FUNC
                    && address != 0;
                if found.len() < most
                    && defined
                    && name_has(&strings, symbol.st_name.get(LE), part).is_some_and(&is)
                    && !found.contains(&function)
                {
                    found.push(function);
                }
            }
        }
        found
    }

    /// The 64-bit words of a section as they are once the file is loaded at address 0, at most
    /// `limit` bytes: the dynamic linker writes some of them.
    pub(in crate::discover) fn words(&self, section: &str, limit: u64) -> Vec<u64> {
        let Some(extent) = self.extent(section) else {
            return Vec::new();
        };
        let bytes = self.bytes_at(extent.offset, extent.size.min(limit));
        let words = bytes.as_chunks::<8>().0;
        let mut words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        for section in self.sections.iter().filter(|it| it.kind == elf::SHT_RELA) {
            let table = self.table(section.offset, section.size).unwrap_or_default();
            for relocation in items::<elf::Rela64<LE>>(&table)
                .iter()
                .take(MAX_RELOCATIONS)
            {
                let at = relocation.r_offset.get(LE).checked_sub(extent.address);
                let at = at.and_then(|at| usize::try_from(at / 8).ok());
                if relocation.r_type(LE, false) == elf::R_X86_64_RELATIVE
                    && let Some(word) = at.and_then(|at| words.get_mut(at))
                {
                    *word = relocation.r_addend.get(LE).cast_unsigned();
                }
            }
        }
        words
    }

    /// Gives at most `limit` bytes of a section to `look` in pieces of [`SEARCH_STEP`] bytes, each
    /// with `overlap` bytes of the next; until it says `false`.
    pub(in crate::discover) fn pieces(
        &self,
        section: &str,
        limit: u64,
        overlap: usize,
        mut look: impl FnMut(&[u8]) -> bool,
    ) {
        self.search(section, limit, overlap, |piece| {
            (!look(piece)).then_some(())
        });
    }

    /// Addresses of NUL-terminated texts that end with `ending`, at most `most`.
    pub(in crate::discover) fn find_texts(
        &self,
        section: &str,
        ending: &str,
        most: usize,
    ) -> Vec<u64> {
        /// Longest text before `ending`: a path of the machine it was built on.
        const LONGEST: usize = 512;
        let mut found = Vec::new();
        let Some(extent) = self.extent(section) else {
            return found;
        };
        let pattern = [ending.as_bytes(), b"\0"].concat();
        let mut at = extent.address;
        self.pieces(section, MAX_TABLE, LONGEST + pattern.len(), |piece| {
            for place in memmem::find_iter(piece, &pattern) {
                let before = piece.get(place.saturating_sub(LONGEST)..place);
                let Some(length) =
                    before.and_then(|before| before.iter().rev().position(|byte| *byte == 0))
                else {
                    continue;
                };
                let address = at.wrapping_add((place - length) as u64);
                if found.len() < most && !found.contains(&address) {
                    found.push(address);
                }
            }
            at = at.wrapping_add(SEARCH_STEP as u64);
            found.len() < most
        });
        found
    }
}

/// The NUL-terminated text at `offset`, if it has `part` in it: at most 1 KiB, which is longer than
/// the mangled names that are looked for.
fn name_has<'a>(strings: &'a [u8], offset: u32, part: &str) -> Option<&'a str> {
    const LONGEST: usize = 1024;
    let rest = strings.get(offset as usize..)?;
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    let name = rest.get(..memchr::memchr(0, rest)?)?;
    memmem::find(name, part.as_bytes())?;
    std::str::from_utf8(name).ok()
}

/// Is `text` the NUL-terminated text at `offset`?
fn text_is(strings: &[u8], offset: u32, text: &str) -> bool {
    let there = strings.get(offset as usize..);
    there
        .and_then(|there| there.strip_prefix(text.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&0))
}
