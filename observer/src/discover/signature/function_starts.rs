//! Where functions begin, from the unwind table that stripped files keep.
//!
//! In: an ELF image. Out: the function around an address. The table is that of the Linux Standard
//! Base (`.eh_frame_hdr`), with entries of two signed 32-bit offsets, sorted, as all linkers write
//! it; another encoding is refused.

use crate::discover::elf_image::{ElfImage, Function};

/// Version, then the encodings of the frame pointer (any), of the count (`udata4`) and of the table
/// (`datarel | sdata4`).
const COUNT_ENCODING: u8 = 0x03;
const TABLE_ENCODING: u8 = 0x3b;
/// Functions that are kept: browsers have a million. 4 bytes each.
const MAX_FUNCTIONS: u64 = 4 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct FunctionStarts {
    base: u64,
    /// Offsets from `base`, sorted.
    offsets: Vec<i32>,
}

impl FunctionStarts {
    pub(super) fn of(image: &ElfImage<'_>) -> Option<Self> {
        let extent = image.extent(".eh_frame_hdr")?;
        let bytes = image.bytes_at(extent.offset, extent.size.min(12 + 8 * MAX_FUNCTIONS));
        Self::read(&bytes, extent.address)
    }

    fn read(bytes: &[u8], base: u64) -> Option<Self> {
        let [1, _, COUNT_ENCODING, TABLE_ENCODING, _, _, _, _, count @ ..] = bytes else {
            return None;
        };
        let (count, table) = count.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let entries = table.as_chunks::<8>().0.iter().take(count);
        let offsets: Vec<i32> = entries
            .map(|[a, b, c, d, ..]| i32::from_le_bytes([*a, *b, *c, *d]))
            .collect();
        (!offsets.is_empty() && offsets.is_sorted()).then_some(Self { base, offsets })
    }

    /// The function that holds `address`, up to where the next begins.
    pub(super) fn around(&self, address: u64) -> Option<Function> {
        let place = self
            .offsets
            .partition_point(|offset| self.at(*offset) <= address);
        let start = self.at(*self.offsets.get(place.checked_sub(1)?)?);
        let end = self.at(*self.offsets.get(place)?);
        Some(Function {
            address: start,
            size: end.checked_sub(start)?,
        })
    }

    fn at(&self, offset: i32) -> u64 {
        self.base.wrapping_add_signed(i64::from(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(offsets: &[i32]) -> Vec<u8> {
        let mut bytes = vec![1, 0x1b, COUNT_ENCODING, TABLE_ENCODING, 0, 0, 0, 0];
        bytes.extend((offsets.len() as u32).to_le_bytes());
        for offset in offsets {
            bytes.extend(offset.to_le_bytes());
            bytes.extend([0; 4]);
        }
        bytes
    }

    #[test]
    fn an_address_lies_in_the_function_that_begins_before_it() {
        let starts = FunctionStarts::read(&table(&[-0x100, 0, 0x40]), 0x1000).expect("a table");
        let around = |address| {
            let function = starts.around(address)?;
            Some((function.address, function.size))
        };
        assert_eq!(around(0xeff), None);
        assert_eq!(around(0xf00), Some((0xf00, 0x100)));
        assert_eq!(around(0x103f), Some((0x1000, 0x40)));
        assert_eq!(around(0x1040), None, "the last has no known end");
    }

    #[test]
    fn a_table_that_is_not_sorted_or_of_another_encoding_is_refused() {
        assert!(FunctionStarts::read(&table(&[5, 4]), 0).is_none());
        assert!(FunctionStarts::read(&table(&[]), 0).is_none());
        let mut other = table(&[1, 2]);
        other[3] = 0x1b;
        assert!(FunctionStarts::read(&other, 0).is_none());
        let mut many = table(&[1, 2]);
        many[8..12].fill(0xff);
        assert!(
            FunctionStarts::read(&many, 0).is_some(),
            "the count may lie"
        );
        for end in 0..12 {
            assert!(FunctionStarts::read(&table(&[1, 2])[..end], 0).is_none());
        }
    }
}
