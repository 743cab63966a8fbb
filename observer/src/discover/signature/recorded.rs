//! The errors that each function of one source file records.
//!
//! In: an ELF image and the address of a source file's name. Out: each function that refers to it,
//! with the reasons it records, whom it calls and how often it writes to memory that is not its
//! own. `ERR_put_error(int library, int unused, int reason, const char *file, unsigned line)` has
//! the reason in `edx` and the file in `rcx`.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use memchr::memmem;

use super::function_starts::FunctionStarts;
use crate::discover::elf_image::{ElfImage, Function};

/// Code that is searched: Envoy has 68 MiB, Chromium 200 MiB.
const MAX_CODE: u64 = 256 << 20;
/// Functions that refer to one file: 46 in the builds looked at.
const MAX_REFERRERS: usize = 512;
/// Bytes of one of them that are decoded: 2.5 KiB is the largest seen.
const MAX_FUNCTION_BYTES: u64 = 16 << 10;
/// `lea rcx, [rip + …]`
const LEA_RCX: [u8; 3] = [0x48, 0x8d, 0x0d];
/// Bytes of that instruction.
const LEA_LENGTH: usize = 7;
/// `ERR_LIB_SSL`
const LIBRARY: u64 = 16;

/// One function.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) function: Function,
    /// Reasons of the errors it records.
    pub(super) reasons: BTreeSet<u32>,
    /// Targets of its direct calls.
    pub(super) calls: Vec<u64>,
    /// Writes to memory outside its own frame, other than of a constant.
    pub(super) writes: usize,
}

/// The functions of `image` that refer to the text at `file`.
pub(super) fn recorded(image: &ElfImage<'_>, starts: &FunctionStarts, file: u64) -> Vec<Recorded> {
    let mut functions: BTreeMap<u64, Function> = BTreeMap::new();
    for address in references(image, file) {
        if let Some(function) = starts.around(address) {
            functions.insert(function.address, function);
        }
        if functions.len() >= MAX_REFERRERS {
            break;
        }
    }
    functions
        .into_values()
        .map(|function| {
            let size = function.size.min(MAX_FUNCTION_BYTES);
            read(&image.code(function.address, size), function, file)
        })
        .collect()
}

/// Addresses of instructions that put the address `file` in `rcx`.
fn references(image: &ElfImage<'_>, file: u64) -> Vec<u64> {
    let mut found = Vec::new();
    let Some(text) = image.extent(".text") else {
        return found;
    };
    // `mov ecx, …` in programs that are not position-independent.
    let absolute = u32::try_from(file).map(|file| {
        let [a, b, c, d] = file.to_le_bytes();
        [0xb9, a, b, c, d]
    });
    let mut address = text.address;
    image.pieces(".text", MAX_CODE, LEA_LENGTH - 1, |piece| {
        for place in memmem::find_iter(piece, &LEA_RCX) {
            let Some(offset) = piece
                .get(place + LEA_RCX.len()..)
                .and_then(|rest| rest.first_chunk::<4>())
            else {
                continue;
            };
            let after = address.wrapping_add((place + LEA_LENGTH) as u64);
            let target = after.wrapping_add_signed(i64::from(i32::from_le_bytes(*offset)));
            if target == file {
                found.push(address.wrapping_add(place as u64));
            }
        }
        if let Ok(absolute) = &absolute {
            let places = memmem::find_iter(piece, absolute);
            found.extend(places.map(|place| address.wrapping_add(place as u64)));
        }
        address = address.wrapping_add(crate::discover::elf_image::SEARCH_STEP as u64);
        found.len() < MAX_REFERRERS * 8
    });
    found
}

fn read(bytes: &[u8], function: Function, file: u64) -> Recorded {
    let mut recorded = Recorded {
        function,
        ..Recorded::default()
    };
    let mut block = Block::default();
    let mut frame = false;
    for instruction in Decoder::with_ip(64, bytes, function.address, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            break;
        }
        block.take(&instruction, file);
        frame |= instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_register() == Register::RBP
            && instruction.op1_register() == Register::RSP;
        recorded.writes += usize::from(writes_elsewhere(&instruction, frame));
        match instruction.flow_control() {
            FlowControl::Next => continue,
            FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                recorded.calls.push(instruction.near_branch_target());
            }
            _ => {}
        }
        if let Block {
            library: true,
            file: true,
            reason: Some(reason),
        } = block
        {
            recorded.reasons.insert(reason);
        }
        block = Block::default();
    }
    recorded
}

/// What a run of instructions without a branch puts in the argument registers.
#[derive(Default)]
struct Block {
    library: bool,
    file: bool,
    reason: Option<u32>,
}

impl Block {
    fn take(&mut self, instruction: &Instruction, file: u64) {
        let constant = instruction.try_immediate(1).ok();
        match (instruction.mnemonic(), instruction.op0_register()) {
            (Mnemonic::Mov, Register::EDI) => self.library = constant == Some(LIBRARY),
            (Mnemonic::Mov, Register::EDX) => {
                self.reason = constant.and_then(|reason| u32::try_from(reason).ok());
            }
            (Mnemonic::Mov, Register::ECX) => self.file |= constant == Some(file),
            (Mnemonic::Lea, Register::RCX) if instruction.is_ip_rel_memory_operand() => {
                self.file |= instruction.ip_rel_memory_address() == file;
            }
            _ => {}
        }
    }
}

/// Does it write a register to memory outside the function's own frame?
fn writes_elsewhere(instruction: &Instruction, frame: bool) -> bool {
    let own = match instruction.memory_base() {
        Register::RSP | Register::RIP | Register::None => true,
        Register::RBP => frame,
        _ => false,
    };
    instruction.op0_kind() == OpKind::Memory
        && instruction.op_count() == 2
        && instruction.op1_kind() == OpKind::Register
        && matches!(
            instruction.mnemonic(),
            Mnemonic::Mov | Mnemonic::Add | Mnemonic::Sub | Mnemonic::Movups | Mnemonic::Movdqu
        )
        && !own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(hex: &str) -> Recorded {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")
            })
            .collect();
        let function = Function {
            address: 0x5000,
            size: bytes.len() as u64,
        };
        read(&bytes, function, 0x6000)
    }

    #[test]
    fn reasons_calls_and_writes_are_read() {
        // mov r8d, 1; lea rcx, [0x6000]; mov edx, 66; xor esi, esi; mov edi, 16; call 0x5100;
        // mov [rax+0x88], rdx; add [rax+0x80], rcx; mov [rsp+8], rcx; ret
        let read = function(
            "41b801000000 488d0df30f0000 ba42000000 31f6 bf10000000 e8e2000000
             48899088000000 48018880000000 48894c2408 c3",
        );
        assert_eq!(read.reasons, BTreeSet::from([66]));
        assert_eq!(read.calls, [0x5100]);
        assert_eq!(read.writes, 2);
    }

    #[test]
    fn errors_of_another_library_or_file_do_not_count() {
        // The same with mov edi, 4; and with another file.
        let other = "41b801000000 488d0df30f0000 ba42000000 31f6 bf04000000 e8e2000000 c3";
        assert!(function(other).reasons.is_empty());
        let other = "41b801000000 488d0df40f0000 ba42000000 31f6 bf10000000 e8e2000000 c3";
        assert!(function(other).reasons.is_empty());
    }
}
