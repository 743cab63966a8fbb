//! Where a field lies in a structure of the running kernel, from the kernel's own description.
//!
//! In: BTF as in `/sys/kernel/btf/vmlinux` (kernel `Documentation/bpf/btf.rst`). Out: byte offsets,
//! or nothing. It trusts no length in the data: what does not hold together is an error, never a
//! panic or a loop without end. It never guesses an offset.

use std::fs;

use super::error::KernelError;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// Bytes of `struct btf_type`.
const TYPE: usize = 12;
/// Bytes of `struct btf_member`.
const MEMBER: usize = 12;
/// Nesting of anonymous structures that is followed; the kernel's own goes to four.
const DEPTH: usize = 8;
/// Types that only name or qualify another, in a row; the kernel's own go to four.
const QUALIFIERS: usize = 16;

/// Fields looked at for one offset; the kernel's own structures need a few hundred.
const STEPS: u32 = 100_000;

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
/// Bytes of `struct btf_enum`.
const ENUMERATOR: usize = 8;

/// The kernel's types.
#[derive(Debug)]
pub struct KernelTypes {
    data: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Where type 1, 2, … begins.
    types: Vec<u32>,
}

/// Why a description cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfFault {
    /// It ends before what it announces.
    #[error("ends early, at byte {0}")]
    Short(usize),
    /// It does not begin as one.
    #[error("is no BTF of this machine's byte order")]
    Magic,
    /// A kind of type whose size is not known, so nothing behind it can be found.
    #[error("has a type of unknown kind {0}")]
    Kind(u32),
}

impl KernelTypes {
    /// Of the running kernel.
    pub fn of_this_kernel() -> Result<Self, KernelError> {
        let data = fs::read("/sys/kernel/btf/vmlinux").map_err(|source| KernelError::System {
            call: "read /sys/kernel/btf/vmlinux",
            source,
        })?;
        Self::parse(data).map_err(KernelError::Types)
    }

    /// Of a description in memory.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfFault> {
        if u16_at(&data, 0)? != MAGIC {
            return Err(BtfFault::Magic);
        }
        let header = u32_at(&data, 4)? as usize;
        let part = |offset: usize, length: usize| -> Result<std::ops::Range<usize>, BtfFault> {
            let from = header.saturating_add(u32_at(&data, offset)? as usize);
            let to = from.saturating_add(u32_at(&data, length)? as usize);
            if to > data.len() {
                return Err(BtfFault::Short(data.len()));
            }
            Ok(from..to)
        };
        let (described, strings) = (part(8, 12)?, part(16, 20)?);
        let mut types = Vec::new();
        let mut at = described.start;
        while at < described.end {
            types.push(u32::try_from(at).map_err(|_| BtfFault::Short(at))?);
            let info = u32_at(&data, at + 4)?;
            let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let more = match kind {
                // Integer, variable, declaration tag.
                1 | 14 | 17 => 4,
                // Array.
                3 => 12,
                // Structure, union, data section, 64-bit enumeration.
                KIND_STRUCT | KIND_UNION | 15 | 19 => members * 12,
                // Enumeration, function prototype.
                6 | 13 => members * 8,
                // Pointer, forward, names and qualifiers, function, float, type tag.
                2 | 7..=12 | 16 | 18 => 0,
                other => return Err(BtfFault::Kind(other)),
            };
            at += TYPE + more;
        }
        if at > data.len() {
            return Err(BtfFault::Short(data.len()));
        }
        Ok(Self {
            data,
            strings,
            types,
        })
    }

    /// Bytes from the beginning of `structure` to the field at the end of `path`, through named and
    /// anonymous structures inside it. `None` if this kernel has no such field, or it is a bit field.
    pub fn offset(&self, structure: &str, path: &[&str]) -> Option<u32> {
        let mut found =
            self.types.iter().map(|&at| at as usize).find(|&at| {
                self.kind(at) == Some(KIND_STRUCT) && self.name(at) == Some(structure)
            })?;
        let mut bits = 0_u32;
        let mut steps = STEPS;
        let mut fields = path.iter().peekable();
        while let Some(field) = fields.next() {
            let (at, id) = self.field(found, field, DEPTH, &mut steps)?;
            bits = bits.checked_add(at)?;
            if fields.peek().is_some() {
                found = self.resolve(id)?;
            }
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Value of a name in an enumeration of 32 bits. `None` if this kernel has no such name.
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        let at =
            self.types.iter().map(|&at| at as usize).find(|&at| {
                self.kind(at) == Some(KIND_ENUM) && self.name(at) == Some(enumeration)
            })?;
        let members = u32_at(&self.data, at + 4).ok()? & 0xffff;
        (0..members as usize)
            .map(|member| at + TYPE + member * ENUMERATOR)
            .find(|&at| self.name(at) == Some(name))
            .and_then(|at| u32_at(&self.data, at + 4).ok())
    }

    /// Bit offset and type of a field, also of an anonymous structure inside.
    fn field(&self, at: usize, name: &str, depth: usize, steps: &mut u32) -> Option<(u32, u32)> {
        if depth == 0 || !matches!(self.kind(at)?, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        let info = u32_at(&self.data, at + 4).ok()?;
        let packs_bit_fields = info >> 31 != 0;
        for member in 0..(info & 0xffff) as usize {
            *steps = steps.checked_sub(1)?;
            let at = at + TYPE + member * MEMBER;
            let id = u32_at(&self.data, at + 4).ok()?;
            let mut offset = u32_at(&self.data, at + 8).ok()?;
            if packs_bit_fields {
                let size = offset >> 24;
                offset &= 0x00ff_ffff;
                if size != 0 {
                    continue;
                }
            }
            match self.name(at)? {
                found if found == name => return Some((offset, id)),
                "" => {
                    let inner = self
                        .resolve(id)
                        .and_then(|at| self.field(at, name, depth - 1, steps));
                    if let Some((inside, id)) = inner {
                        return Some((offset.checked_add(inside)?, id));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The type behind names and qualifiers.
    fn resolve(&self, id: u32) -> Option<usize> {
        let mut id = id;
        for _ in 0..QUALIFIERS {
            let at = *self.types.get((id as usize).checked_sub(1)?)? as usize;
            match self.kind(at)? {
                // Type definition, volatile, const, restrict, type tag.
                8..=11 | 18 => id = u32_at(&self.data, at + 8).ok()?,
                _ => return Some(at),
            }
        }
        None
    }

    fn kind(&self, at: usize) -> Option<u32> {
        Some(u32_at(&self.data, at + 4).ok()? >> 24 & 0x1f)
    }

    fn name(&self, at: usize) -> Option<&str> {
        let strings = self.data.get(self.strings.clone())?;
        let text = strings.get(u32_at(&self.data, at).ok()? as usize..)?;
        let end = memchr::memchr(0, text)?;
        std::str::from_utf8(text.get(..end)?).ok()
    }
}

fn u16_at(data: &[u8], at: usize) -> Result<u16, BtfFault> {
    let bytes = data.get(at..).and_then(|rest| rest.first_chunk());
    bytes
        .map(|bytes| u16::from_le_bytes(*bytes))
        .ok_or(BtfFault::Short(at))
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, BtfFault> {
    let bytes = data.get(at..).and_then(|rest| rest.first_chunk());
    bytes
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or(BtfFault::Short(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types and names as they would lie in a file.
    #[derive(Default)]
    struct Description {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Description {
        fn words(&mut self, words: &[u32]) {
            for word in words {
                self.types.extend(word.to_le_bytes());
            }
        }

        fn text(&mut self, text: &str) -> u32 {
            let at = self.strings.len() as u32;
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
            at
        }

        fn structure(&mut self, name: &str, kind: u32, members: &[(&str, u32, u32)]) {
            let name = self.text(name);
            self.words(&[name, kind << 24 | members.len() as u32, 64]);
            for &(name, id, bits) in members {
                let name = self.text(name);
                self.words(&[name, id, bits]);
            }
        }

        fn finish(self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            let mut data = vec![0x9f, 0xeb, 1, 0];
            for word in [24, 0, types, types, strings] {
                data.extend(u32::to_le_bytes(word));
            }
            data.extend(self.types);
            data.extend(self.strings);
            data
        }
    }

    fn sample() -> Vec<u8> {
        let mut all = Description::default();
        // 1: an integer. 2: an anonymous union. 3: a structure with it. 4: a name for 3. 5: outer.
        let int = all.text("int");
        all.words(&[int, 1 << 24, 4, 32]);
        all.structure("", KIND_UNION, &[("a", 1, 0), ("b", 1, 0)]);
        all.structure("inner", KIND_STRUCT, &[("x", 1, 0), ("", 2, 64)]);
        let name = all.text("inner_t");
        all.words(&[name, 8 << 24, 3]);
        all.structure("outer", KIND_STRUCT, &[("first", 1, 0), ("in", 4, 128)]);
        let (name, one, two) = (all.text("color"), all.text("RED"), all.text("GREEN"));
        all.words(&[name, KIND_ENUM << 24 | 2, 4, one, 7, two, 9]);
        all.finish()
    }

    #[test]
    fn fields_are_found_through_names_and_anonymous_unions() {
        let types = KernelTypes::parse(sample()).unwrap();
        assert_eq!(types.offset("outer", &["first"]), Some(0));
        assert_eq!(types.offset("outer", &["in"]), Some(16));
        assert_eq!(types.offset("outer", &["in", "b"]), Some(24));
        assert_eq!(types.offset("inner", &["x"]), Some(0));
    }

    #[test]
    fn names_of_an_enumeration_have_their_values() {
        let types = KernelTypes::parse(sample()).unwrap();
        assert_eq!(types.enumerator("color", "RED"), Some(7));
        assert_eq!(types.enumerator("color", "GREEN"), Some(9));
        assert_eq!(types.enumerator("color", "BLUE"), None);
        assert_eq!(types.enumerator("outer", "first"), None, "no enumeration");
    }

    #[test]
    fn what_is_not_there_has_no_offset() {
        let types = KernelTypes::parse(sample()).unwrap();
        assert_eq!(types.offset("outer", &["absent"]), None);
        assert_eq!(types.offset("absent", &["first"]), None);
        assert_eq!(types.offset("outer", &["first", "b"]), None, "no structure");
        assert_eq!(types.offset("inner_t", &["x"]), None, "a name only");
    }

    #[test]
    fn a_description_cut_or_changed_anywhere_does_no_harm() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(KernelTypes::parse(whole[..length].to_vec()).is_err());
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                if let Ok(types) = KernelTypes::parse(changed) {
                    let _ = types.offset("outer", &["in", "b"]);
                    let _ = types.enumerator("color", "GREEN");
                }
            }
        }
    }

    #[test]
    fn a_structure_that_holds_itself_ends() {
        let mut all = Description::default();
        all.structure("loop", KIND_STRUCT, &[("", 1, 0); 1000]);
        // A name for itself.
        all.words(&[0, 8 << 24, 2]);
        let types = KernelTypes::parse(all.finish()).unwrap();
        assert_eq!(types.offset("loop", &["x"]), None);
    }

    #[test]
    fn this_kernels_own_description_is_read() {
        let Ok(types) = KernelTypes::of_this_kernel() else {
            eprintln!("SKIPPED: this kernel has no /sys/kernel/btf/vmlinux");
            return;
        };
        assert_eq!(
            types.offset("sock", &["__sk_common", "skc_family"]),
            Some(16)
        );
        let cookie = types.offset("sock", &["__sk_common", "skc_cookie"]);
        assert!(
            cookie.is_some_and(|at| at > 16 && at.is_multiple_of(8)),
            "{cookie:?}"
        );
        assert!(types.offset("socket", &["sk"]).is_some());
    }
}
