//! Where machine code comes from: an ELF file, or a few bytes in a test.

use crate::discover::elf_image::ElfImage;

/// Machine code by virtual address.
pub(in crate::discover) trait Code {
    /// Up to `size` bytes of code at `address`; fewer where it ends, none where there is none.
    fn bytes(&self, address: u64, size: u64) -> Vec<u8>;
    /// Offset in the file of the byte at `address`.
    fn file_offset(&self, address: u64) -> Option<u64>;
    /// Up to `size` bytes at an offset of the file.
    fn bytes_in_file(&self, offset: u64, size: u64) -> Vec<u8>;
    /// Name of the function that the dynamic linker writes to `slot`.
    fn imported(&self, slot: u64) -> Option<String>;
}

impl Code for ElfImage<'_> {
    fn bytes(&self, address: u64, size: u64) -> Vec<u8> {
        self.code(address, size)
    }

    fn file_offset(&self, address: u64) -> Option<u64> {
        ElfImage::file_offset(self, address)
    }

    fn bytes_in_file(&self, offset: u64, size: u64) -> Vec<u8> {
        self.bytes_at(offset, size)
    }

    fn imported(&self, slot: u64) -> Option<String> {
        ElfImage::imported(self, slot)
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use super::Code;

    /// Stretches of code; file offsets are addresses less [`SHIFT`].
    #[derive(Default)]
    pub(crate) struct Fixture {
        pub(crate) stretches: Vec<(u64, Vec<u8>)>,
        /// `(slot, name)` of imported functions.
        pub(crate) imports: Vec<(u64, &'static str)>,
    }

    /// How far file offsets lie below addresses in a [`Fixture`].
    pub(crate) const SHIFT: u64 = 0x1000;

    impl Fixture {
        pub(crate) fn with(mut self, address: u64, hex: &str) -> Self {
            let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
            let bytes = digits
                .chunks(2)
                .map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")
                })
                .collect();
            self.stretches.push((address, bytes));
            self
        }
    }

    impl Code for Fixture {
        fn bytes(&self, address: u64, size: u64) -> Vec<u8> {
            self.stretches
                .iter()
                .find_map(|(start, bytes)| {
                    let from = usize::try_from(address.checked_sub(*start)?).ok()?;
                    let rest = bytes.get(from..).filter(|rest| !rest.is_empty())?;
                    Some(rest.iter().take(size as usize).copied().collect())
                })
                .unwrap_or_default()
        }

        fn file_offset(&self, address: u64) -> Option<u64> {
            (!self.bytes(address, 1).is_empty()).then(|| address - SHIFT)
        }

        fn bytes_in_file(&self, offset: u64, size: u64) -> Vec<u8> {
            self.bytes(offset + SHIFT, size)
        }

        fn imported(&self, slot: u64) -> Option<String> {
            let (_, name) = self.imports.iter().find(|(at, _)| *at == slot)?;
            Some((*name).to_owned())
        }
    }
}
