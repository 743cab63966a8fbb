//! What is looked for in an image by content or by name: texts, imported symbols.

use memchr::memmem;
use object::LittleEndian as LE;
use object::elf;

use super::{ElfImage, MAX_RELOCATIONS, MAX_TABLE, SEARCH_STEP, items};

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

/// Is `text` the NUL-terminated text at `offset`?
fn text_is(strings: &[u8], offset: u32, text: &str) -> bool {
    let there = strings.get(offset as usize..);
    there
        .and_then(|there| there.strip_prefix(text.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&0))
}
