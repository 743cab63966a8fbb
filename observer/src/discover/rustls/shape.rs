//! Does a function handle messages of rustls in the way that the probes read them?
//!
//! In: a function's code. Out: yes or no. Where a message keeps its plaintext is the compiler's choice
//! and differs between versions of rustls, so nothing is read at a place that the function itself does
//! not read or write. The places are those of the kernel half's `tls_rustls.rs`.

use std::collections::BTreeSet;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, MemorySize, Mnemonic, OpKind, Register,
};

use crate::discover::elf_image::{ElfImage, Function};

/// Bytes of a function that are decoded: 1.5 KiB in the builds looked at.
const MAX_FUNCTION_BYTES: u64 = 8 << 10;
/// The same where its size is not known: what follows it is not its own.
const UNSIZED_FUNCTION_BYTES: u64 = 256;

/// Functions that one goes on to whose code is looked at as well: the end of `decrypt` is one of its
/// own in some builds.
const MAX_GOES_TO: usize = 16;

/// Words of a message to encrypt that every call reads: pieces or none, length or start.
const BEGINNING: [u64; 2] = [0, 0x10];
/// The end of what is meant of pieces.
const END: u64 = 0x18;
/// Its content type.
const KIND: u64 = 0x20;
/// Length of a message to decrypt.
const CIPHERTEXT_LENGTH: u64 = 8;
/// Words of the result: address and length of the plaintext.
const PLAINTEXT: [u64; 2] = [8, 0x10];
/// Its content type.
const RESULT_KIND: u64 = 0x18;

/// An `encrypt`?
pub(super) fn encrypts(image: &ElfImage<'_>, function: Function) -> bool {
    let seen = look(image, function);
    BEGINNING.iter().all(|at| seen.message_words.contains(at))
        && seen.word_loads.contains(&END)
        && seen.byte_loads.contains(&KIND)
}

/// A `decrypt`?
pub(super) fn decrypts(image: &ElfImage<'_>, function: Function) -> bool {
    let seen = look(image, function);
    let gives = |seen: &Seen| {
        PLAINTEXT.iter().all(|at| seen.word_stores.contains(at))
            && seen.byte_stores.contains(&RESULT_KIND)
    };
    let goes_to = || {
        let targets = seen.goes_to.iter().take(MAX_GOES_TO);
        targets.map(|address| Function {
            address: *address,
            size: 0,
        })
    };
    seen.message_words.contains(&CIPHERTEXT_LENGTH)
        && (gives(&seen) || goes_to().any(|next| gives(&look(image, next))))
}

/// Offsets from registers other than the stack pointer that a function's code reads and writes.
#[derive(Debug, Default)]
struct Seen {
    /// Words read of its third argument, before anything else is called.
    message_words: BTreeSet<u64>,
    word_loads: BTreeSet<u64>,
    byte_loads: BTreeSet<u64>,
    word_stores: BTreeSet<u64>,
    /// Of one byte, or of two that are next to each other.
    byte_stores: BTreeSet<u64>,
    /// Calls, and jumps to other functions.
    goes_to: BTreeSet<u64>,
}

fn look(image: &ElfImage<'_>, function: Function) -> Seen {
    let size = match function.size {
        0 => UNSIZED_FUNCTION_BYTES,
        size => size.min(MAX_FUNCTION_BYTES),
    };
    read(&image.code(function.address, size), function.address)
}

fn read(bytes: &[u8], address: u64) -> Seen {
    let mut seen = Seen::default();
    // Registers that hold the third argument. Only up to the first call, which may change them.
    let mut message = vec![Register::RDX];
    let mut before_calls = true;
    let range = address..address.saturating_add(bytes.len() as u64);
    for instruction in Decoder::with_ip(64, bytes, address, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            break;
        }
        let flow = instruction.flow_control();
        if instruction.op0_kind() == OpKind::NearBranch64
            && !range.contains(&instruction.near_branch_target())
        {
            seen.goes_to.insert(instruction.near_branch_target());
        }
        before_calls &= !matches!(flow, FlowControl::Call | FlowControl::IndirectCall);
        if let Some(at) = memory(&instruction) {
            let size = instruction.memory_size();
            let stores = instruction.op0_kind() == OpKind::Memory
                && matches!(instruction.mnemonic(), Mnemonic::Mov);
            match size {
                MemorySize::UInt64 | MemorySize::Int64 if stores => {
                    seen.word_stores.insert(at);
                }
                MemorySize::UInt8 | MemorySize::UInt16 if stores => {
                    seen.byte_stores.insert(at);
                }
                MemorySize::UInt8 | MemorySize::Int8 => {
                    seen.byte_loads.insert(at);
                }
                MemorySize::UInt64 | MemorySize::Int64 => {
                    seen.word_loads.insert(at);
                    if before_calls && message.contains(&instruction.memory_base()) {
                        seen.message_words.insert(at);
                    }
                }
                _ => {}
            }
        }
        follow(&instruction, &mut message);
    }
    seen
}

/// The offset from a register, other than the stack pointer, of the memory that is used.
fn memory(instruction: &Instruction) -> Option<u64> {
    let uses = (0..instruction.op_count()).any(|at| instruction.op_kind(at) == OpKind::Memory);
    let plain = instruction.memory_index() == Register::None
        && instruction.memory_base().is_gpr64()
        && instruction.memory_base() != Register::RSP;
    (uses && plain).then(|| instruction.memory_displacement64())
}

/// Keeps account of the registers that hold the message.
fn follow(instruction: &Instruction, message: &mut Vec<Register>) {
    if instruction.op0_kind() != OpKind::Register {
        return;
    }
    let to = instruction.op0_register().full_register();
    let copies = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op1_kind() == OpKind::Register
        && message.contains(&instruction.op1_register());
    let compares = matches!(
        instruction.mnemonic(),
        Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push
    );
    if copies && !message.contains(&to) {
        message.push(to);
    } else if !copies && !compares {
        message.retain(|register| *register != to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_message_are_read_through_copies_of_its_address() {
        // mov r12, rdx; mov rax, [rdx+0x10]; mov rdx, rax; mov rcx, [rdx+8]; cmp qword [r12], 0;
        // movzx eax, byte [r12+0x20]; mov [rbx+8], rcx; mov byte [rbx+0x18], cl; ret
        let code = [
            0x49, 0x89, 0xd4, 0x48, 0x8b, 0x42, 0x10, 0x48, 0x89, 0xc2, 0x48, 0x8b, 0x4a, 0x08,
            0x49, 0x83, 0x3c, 0x24, 0x00, 0x41, 0x0f, 0xb6, 0x44, 0x24, 0x20, 0x48, 0x89, 0x4b,
            0x08, 0x88, 0x4b, 0x18, 0xc3,
        ];
        let seen = read(&code, 0x1000);
        let list = |set: &BTreeSet<u64>| set.iter().copied().collect::<Vec<_>>();
        assert_eq!(list(&seen.message_words), [0, 0x10]);
        assert_eq!(list(&seen.byte_loads), [0x20]);
        assert_eq!(list(&seen.word_stores), [8]);
        assert_eq!(list(&seen.byte_stores), [0x18]);
        for end in 0..code.len() {
            let _ = read(&code[..end], 0x1000);
        }
    }
}
