//! Go's table of functions (`.gopclntab`): where each begins, and its name.
//!
//! In: an ELF image. Out: the functions of given names. The layout is that of Go 1.16, 1.18 and
//! 1.20 (`internal/abi.PCLnTabMagic`, `runtime.pcHeader`, `runtime.moduledata` of the Go library);
//! all sizes come from the file and are checked against it. It reads in pieces of a mebibyte: the
//! table of a large program has 100 MiB.

use memchr::memmem;

use crate::discover::elf_image::{ElfImage, Extent, Function};
use crate::discover::placement::{Code as _, growth_check};

/// Sections with the table, in ordinary and in position-independent programs.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Bytes of names that are searched: Kubernetes has 12 MiB.
const MAX_NAMES: u64 = 64 << 20;
/// Functions gone through: the largest programs have some hundred thousand.
const MAX_FUNCTIONS: u64 = 4 << 20;
/// Bytes read at once.
const PIECE: u64 = 1 << 20;
/// Bytes of a function that has no end in the table.
const LONGEST_FUNCTION: u64 = 1 << 20;

/// Where the parts of the table lie, by the magic number it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// The header says where the text begins, and function entries are 32-bit offsets from there.
    relative: bool,
    /// Words of 8 bytes from the 8-byte head to the offset of the names.
    names: u64,
    /// The same for the offset of the function table.
    functions: u64,
}

impl Layout {
    const fn of(magic: u32) -> Option<Self> {
        Some(match magic {
            // Go 1.18 and 1.20: nfunc, nfiles, textStart, names, cu, files, pc, functions.
            0xffff_fff1 | 0xffff_fff0 => Self {
                relative: true,
                names: 3,
                functions: 7,
            },
            // Go 1.16: without textStart.
            0xffff_fffa => Self {
                relative: false,
                names: 2,
                functions: 6,
            },
            _ => return None,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct FunctionTable<'a> {
    image: &'a ElfImage<'a>,
    extent: Extent,
    layout: Layout,
    count: u64,
    text: u64,
    names: u64,
    functions: u64,
}

impl<'a> FunctionTable<'a> {
    /// The table of `image`; `None` if it has none that is understood.
    pub(super) fn of(image: &'a ElfImage<'a>) -> Option<Self> {
        let extent = SECTIONS.iter().find_map(|name| image.extent(name))?;
        let head = image.bytes_at(extent.offset, 80.min(extent.size));
        let layout = Layout::of(u32_at(&head, 0)?)?;
        // Instructions of one byte (x86), pointers of eight.
        if head.get(6) != Some(&1) || head.get(7) != Some(&8) {
            return None;
        }
        let word = |index: u64| u64_at(&head, 8 + 8 * index);
        Some(Self {
            image,
            extent,
            layout,
            count: word(0)?.min(MAX_FUNCTIONS),
            text: if layout.relative { word(2)? } else { 0 },
            names: word(layout.names)?,
            functions: word(layout.functions)?,
        })
    }

    /// The functions of these names, each once; `None` if there is none of the first.
    pub(super) fn functions<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Option<[Option<Function>; N]> {
        let wanted = names.map(|name| self.name_offset(name));
        // Most Go programs speak no TLS: their functions are not looked at.
        if N == 0 || wanted.first()?.is_none() {
            return None;
        }
        let mut found = [None; N];
        let mut entries = Window::new(self, self.functions);
        let mut records = Window::new(self, self.functions);
        let (size, width) = if self.layout.relative {
            (8, 4)
        } else {
            (16, 8)
        };
        for index in 0..self.count {
            let at = self.functions.checked_add(index * size)?;
            let start = entries.number(at, width)?;
            let record = self
                .functions
                .checked_add(entries.number(at + width, width)?)?;
            // `_func`: the entry again, then the offset of the name.
            let name = records.number(record.checked_add(width)?, 4)?;
            let Some(slot) = wanted.iter().position(|offset| *offset == Some(name)) else {
                continue;
            };
            // Behind the last function stands its end.
            let end = entries.number(at + size, width).unwrap_or(start);
            if let Some(place) = found.get_mut(slot) {
                *place = Some((start, end.saturating_sub(start).min(LONGEST_FUNCTION)));
            }
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        let first = (*found.first()?)?;
        let text = self.text_start(first.0)?;
        Some(found.map(|function| {
            let (start, size) = function?;
            Some(Function {
                address: text.checked_add(start)?,
                size,
            })
        }))
    }

    /// Place of a name in the table of names.
    fn name_offset(&self, name: &str) -> Option<u64> {
        let pattern = [b"\0", name.as_bytes(), b"\0"].concat();
        let end = self.extent.size.min(self.names.checked_add(MAX_NAMES)?);
        let mut at = self.names;
        while at < end {
            let piece = self.bytes(at, PIECE + pattern.len() as u64);
            if piece.is_empty() {
                return None;
            }
            if let Some(place) = memmem::find(&piece, &pattern) {
                return (at - self.names).checked_add(place as u64 + 1);
            }
            at = at.checked_add(PIECE)?;
        }
        None
    }

    /// What entries are relative to. The header's own word is not relocated in the file, and newer
    /// versions leave it 0: then it is where the text section begins. Only a place that makes the
    /// function begin as Go's functions do is believed.
    fn text_start(&self, entry: u64) -> Option<u64> {
        if !self.layout.relative {
            return Some(0);
        }
        let section = self.image.extent(".text").map(|text| text.address);
        let module = self.module_text();
        [Some(self.text), module, section]
            .into_iter()
            .flatten()
            .find(|text| {
                text.checked_add(entry)
                    .is_some_and(|address| growth_check(self.image, address).is_some())
            })
    }

    /// `runtime.text` as the linker wrote it in `runtime.moduledata`, which begins with the address
    /// of this table: in an externally linked program the text section begins with C.
    fn module_text(&self) -> Option<u64> {
        /// `text` in `runtime.moduledata`: a pointer, six slices and three pointers come before.
        const TEXT: usize = 8 + 6 * 24 + 3 * 8;
        let section = [
            "go.module",
            ".go.module",
            ".noptrdata",
            ".data.rel.ro",
            ".data",
        ]
        .iter()
        .filter_map(|name| self.image.extent(name));
        for extent in section {
            let bytes = self
                .image
                .bytes_at(extent.offset, extent.size.min(4 * PIECE));
            let address = self.extent.address.to_le_bytes();
            for place in memmem::find_iter(&bytes, &address).filter(|place| place % 8 == 0) {
                if let Some(text) = u64_at(&bytes, (place + TEXT) as u64)
                    && self.image.file_offset(text).is_some()
                {
                    return Some(text);
                }
            }
        }
        None
    }

    /// Up to `size` bytes at an offset of the table.
    fn bytes(&self, offset: u64, size: u64) -> Vec<u8> {
        let left = self.extent.size.saturating_sub(offset);
        match self.extent.offset.checked_add(offset) {
            Some(at) => self.image.bytes_in_file(at, size.min(left)),
            None => Vec::new(),
        }
    }
}

/// Reads numbers at places that mostly grow, a piece of the table at a time.
struct Window<'a, 't> {
    table: &'a FunctionTable<'t>,
    start: u64,
    bytes: Vec<u8>,
    /// Pieces read: places that jump about cost no more than going through once.
    left: u64,
}

impl<'a, 't> Window<'a, 't> {
    fn new(table: &'a FunctionTable<'t>, start: u64) -> Self {
        Self {
            table,
            start,
            bytes: Vec::new(),
            left: 2 * table.extent.size / PIECE + 8,
        }
    }

    fn number(&mut self, offset: u64, width: u64) -> Option<u64> {
        let inside = offset >= self.start
            && offset.checked_add(width)? <= self.start.checked_add(self.bytes.len() as u64)?;
        if !inside {
            self.left = self.left.checked_sub(1)?;
            self.start = offset;
            self.bytes = self.table.bytes(offset, PIECE);
        }
        let at = offset - self.start;
        if width == 4 {
            u32_at(&self.bytes, at).map(u64::from)
        } else {
            u64_at(&self.bytes, at)
        }
    }
}

fn u32_at(bytes: &[u8], at: u64) -> Option<u32> {
    let at = usize::try_from(at).ok()?;
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: u64) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
