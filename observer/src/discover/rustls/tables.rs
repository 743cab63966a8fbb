//! Tables of methods of rustls's encrypters and decrypters, in a file without symbols.
//!
//! In: an ELF image. Out: pairs of functions. A table of methods holds the function that drops the
//! object (or nothing), its size, its alignment, and the methods in the order of the trait. The
//! second of an encrypter, `encrypted_payload_len`, adds a constant to its argument (17 in TLS 1.3;
//! 16 or 24 in TLS 1.2) and nothing else, and that is like no other table. The decrypter of the same
//! cipher has one method, and as it lies beside the encrypter in the source, so do the tables. Both
//! hold a key made in the same way, so they are aligned alike.

use std::ops::RangeInclusive;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use crate::discover::elf_image::ElfImage;

/// Where compilers put tables: programs that are loaded anywhere, and those that are not.
const SECTIONS: [&str; 2] = [".data.rel.ro", ".rodata"];
/// Bytes of a section that are searched: browsers' have 20 MiB.
const MAX_SECTION: u64 = 32 << 20;
/// What a record grows by: a tag of 16 bytes, and in some versions a nonce or a content type.
const ADDED: RangeInclusive<u64> = 16..=48;
/// Largest object that holds a key: 560 bytes with ring.
const MAX_OBJECT: u64 = 4096;
/// Words of an encrypter's table before its methods.
const HEAD: usize = 3;
/// How far apart the two tables are at most, in words: 7 to 10, places of panics between them.
const BESIDE: usize = 24;
/// Pairs of one file: three of each provider.
const MAX_PAIRS: usize = 16;
/// Longest code of `encrypted_payload_len`, with a frame.
const LONGEST_LENGTH: u64 = 24;

/// `encrypt` and `decrypt` of each cipher.
pub(super) fn pairs(image: &ElfImage<'_>) -> Vec<(u64, u64)> {
    SECTIONS
        .iter()
        .map(|section| in_section(image, section))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn in_section(image: &ElfImage<'_>, section: &str) -> Vec<(u64, u64)> {
    let words = image.words(section, MAX_SECTION);
    let Some(text) = image.extent(".text") else {
        return Vec::new();
    };
    let code = text.address..text.address.saturating_add(text.size);
    let tables = Tables { words, code };
    let encrypters = (0..tables.words.len()).filter(|at| {
        tables.begins(*at).is_some()
            && tables.method(*at, 0).is_some()
            && tables.method(*at, 1).is_some_and(|length| {
                let bytes = image.code(length, LONGEST_LENGTH);
                added(&bytes, length).is_some_and(|added| ADDED.contains(&added))
            })
    });
    encrypters
        .filter_map(|at| Some((tables.method(at, 0)?, tables.decrypter_beside(at)?)))
        .take(MAX_PAIRS)
        .collect()
}

/// The words of a section, and where code lies.
struct Tables {
    words: Vec<u64>,
    code: std::ops::Range<u64>,
}

impl Tables {
    fn word(&self, at: usize) -> Option<u64> {
        self.words.get(at).copied()
    }

    /// The alignment of the objects of the table at `at`, if there may be one of objects with a key.
    fn begins(&self, at: usize) -> Option<u64> {
        let (drop, size, align) = (self.word(at)?, self.word(at + 1)?, self.word(at + 2)?);
        let may = (drop == 0 || self.code.contains(&drop))
            && (16..=MAX_OBJECT).contains(&size)
            && align.is_power_of_two()
            && align <= 64
            && size.is_multiple_of(align);
        may.then_some(align)
    }

    /// The method of this number.
    fn method(&self, at: usize, number: usize) -> Option<u64> {
        let word = self.word(at + HEAD + number)?;
        self.code.contains(&word).then_some(word)
    }

    /// The one method of the table nearest to the encrypter's at `at`, before it, else after it.
    fn decrypter_beside(&self, at: usize) -> Option<u64> {
        let align = self.begins(at)?;
        let has_one = |other: &usize| {
            self.begins(*other) == Some(align)
                && self.method(*other, 0).is_some()
                // The next word may be the head of a table, and so a function that drops.
                && (self.method(*other, 1).is_none() || self.begins(*other + HEAD + 1).is_some())
        };
        let before = (at.saturating_sub(BESIDE)..=at.saturating_sub(HEAD + 1))
            .rev()
            .find(has_one);
        let after = || (at + HEAD + 2..=at + BESIDE).find(has_one);
        self.method(before.or_else(after)?, 0)
    }
}

/// What a function of two arguments adds to its second, if it does only that.
fn added(bytes: &[u8], address: u64) -> Option<u64> {
    let mut result = None;
    let mut instruction = Instruction::default();
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let is = |to: Register, from: Register| {
            instruction.op0_register() == to && instruction.op1_register() == from
        };
        match instruction.mnemonic() {
            Mnemonic::Endbr64 => {}
            Mnemonic::Push | Mnemonic::Pop if instruction.op0_register() == Register::RBP => {}
            Mnemonic::Mov if is(Register::RBP, Register::RSP) => {}
            Mnemonic::Mov if is(Register::RAX, Register::RSI) => result = Some(0),
            Mnemonic::Lea
                if instruction.op0_register() == Register::RAX
                    && instruction.memory_base() == Register::RSI
                    && instruction.memory_index() == Register::None =>
            {
                result = Some(instruction.memory_displacement64());
            }
            Mnemonic::Add
                if instruction.op0_register() == Register::RAX
                    && instruction.op1_kind() != OpKind::Memory =>
            {
                result = result?.checked_add(instruction.try_immediate(1).ok()?);
            }
            Mnemonic::Ret => return result,
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_grows_by_is_read() {
        let read = |bytes: &[u8]| added(bytes, 0x1000);
        assert_eq!(read(&[0x48, 0x8d, 0x46, 0x11, 0xc3]), Some(17));
        // With a frame, and with a landing pad.
        let framed = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x46, 0x18, 0x5d, 0xc3];
        assert_eq!(read(&framed), Some(24));
        let pad = [
            0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x89, 0xf0, 0x48, 0x83, 0xc0, 0x10, 0xc3,
        ];
        assert_eq!(read(&pad), Some(16));
        // mov rax, rsi; ret adds nothing; a call, a load or an end in the middle is something else.
        assert_eq!(read(&[0x48, 0x89, 0xf0, 0xc3]), Some(0));
        assert_eq!(read(&[0x48, 0x8b, 0x46, 0x11, 0xc3]), None);
        assert_eq!(read(&[0xe8, 0, 0, 0, 0, 0xc3]), None);
        assert_eq!(read(&[0x48, 0x8d, 0x46, 0x11]), None);
        assert_eq!(read(&[]), None);
    }

    fn tables(words: &[u64]) -> Tables {
        Tables {
            words: words.to_vec(),
            code: 0x1000..0x2000,
        }
    }

    #[test]
    fn the_decrypter_is_the_nearest_table_with_one_method() {
        // Decrypter, the place of a panic, encrypter.
        let words = [
            0, 0x230, 16, 0x1100, 0x9000, 0x62, 0x59, 0, 0x230, 16, 0x1200, 0x1300,
        ];
        assert_eq!(tables(&words).decrypter_beside(7), Some(0x1100));
        // Of another alignment, or with two methods, it is another's.
        let mut other = words;
        other[2] = 8;
        assert_eq!(tables(&other).decrypter_beside(7), None);
        let mut other = words;
        other[4] = 0x1180;
        assert_eq!(tables(&other).decrypter_beside(7), None);
        // Behind it.
        let words = [
            0, 0x230, 16, 0x1200, 0x1300, 0x1010, 0x30, 16, 0x1100, 0x9000,
        ];
        assert_eq!(tables(&words).decrypter_beside(0), Some(0x1100));
        for end in 0..words.len() {
            let _ = tables(&words[..end]).decrypter_beside(0);
        }
    }
}
