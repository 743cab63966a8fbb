//! One decoded instruction: does the kernel emulate it, what does it write, how is it called.

use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

/// Longest x86 instruction, in bytes.
pub(super) const LONGEST_INSTRUCTION: u64 = 15;

/// Decodes the instruction that `bytes` begin with; `None` if they are not one.
pub(super) fn decode(bytes: &[u8], address: u64) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// Does the kernel emulate the instruction under a uprobe?
///
/// `branch_setup_xol_ops` and `push_setup_xol_ops` in arch/x86/kernel/uprobes.c (Linux
/// 5.10 to 6.18) take: `jmp` rel8 and rel32, `call` rel32, `jcc` rel8 and rel32,
/// `nop`, and `push` of a 64-bit register with no prefix but REX.B. The operand-size prefix is
/// refused on branches; longer `nop`s are emulated by new kernels only and not counted here. All
/// else is copied and single-stepped.
pub(super) fn emulated(bytes: &[u8], length: usize) -> bool {
    matches!(
        (bytes, length),
        ([0x50..=0x57 | 0x90, ..], 1)
            | ([0x41, 0x50..=0x57, ..], 2)
            | ([0xeb | 0x70..=0x7f, ..], 2)
            | ([0xe8 | 0xe9, ..], 5)
            | ([0x0f, 0x80..=0x8f, ..], 6)
    )
}

/// Does the kernel refuse a uprobe on the instruction?
///
/// `uprobe_init_insn` in arch/x86/kernel/uprobes.c (Linux 5.10 to 6.18) takes none with a segment
/// (`cs` and `ds` pad code so that no branch crosses 32 bytes) or `lock` prefix, no VEX or EVEX,
/// nothing of the three-byte maps, and nothing that needs privileges or traps.
pub(super) fn refused(bytes: &[u8]) -> bool {
    let mut opcode = bytes.iter().copied();
    let first = loop {
        match opcode.next() {
            None | Some(0x26 | 0x2e | 0x36 | 0x3e | 0xf0) => return true,
            Some(0x40..=0x4f | 0x64..=0x67 | 0xf2 | 0xf3) => {}
            Some(first) => break first,
        }
    };
    match first {
        0x62 | 0xc4 | 0xc5 | 0xcc | 0xcd | 0xf4 | 0xfa | 0xfb => true,
        0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef => true,
        0x0f => matches!(
            opcode.next(),
            None | Some(0x04..=0x0a | 0x0c | 0x0e | 0x0f | 0x24..=0x27 | 0x30..=0x3f)
        ),
        _ => false,
    }
}

/// Full registers (`rax` for `al`) that the instruction writes, conditionally or in part included.
pub(super) fn written(
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
) -> Vec<Register> {
    factory
        .info(instruction)
        .used_registers()
        .iter()
        .filter(|used| {
            matches!(
                used.access(),
                OpAccess::Write
                    | OpAccess::CondWrite
                    | OpAccess::ReadWrite
                    | OpAccess::ReadCondWrite
            )
        })
        .map(|used| used.register().full_register())
        .collect()
}

/// The instruction for people: its name, and its operand where that is a register or a target.
pub(super) fn describe(instruction: &Instruction) -> String {
    let name = format!("{:?}", instruction.mnemonic()).to_ascii_lowercase();
    match instruction.op_count() {
        0 => name,
        _ if instruction.op0_kind() == OpKind::NearBranch64 => {
            format!("{name} {:#x}", instruction.near_branch_target())
        }
        count => {
            let operands: Vec<String> = (0..count)
                .map(|index| match instruction.op_kind(index) {
                    OpKind::Register => {
                        format!("{:?}", instruction.op_register(index)).to_ascii_lowercase()
                    }
                    OpKind::Memory => "[memory]".to_owned(),
                    _ => instruction
                        .try_immediate(index)
                        .map_or_else(|_| "?".to_owned(), |value| format!("{value:#x}")),
                })
                .collect();
            format!("{name} {}", operands.join(", "))
        }
    }
}

/// Is it a no-operation that marks a valid indirect target?
pub(super) fn is_landing_pad(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Endbr64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulates(bytes: &[u8]) -> bool {
        let instruction = decode(bytes, 0x1000).expect("decodes");
        emulated(bytes, instruction.len())
    }

    #[test]
    fn push_branches_calls_and_plain_nop_are_emulated() {
        for bytes in [
            &[0x55][..],
            &[0x41, 0x55],
            &[0x90],
            &[0xeb, 0x05],
            &[0x78, 0x2f],
            &[0xe8, 1, 0, 0, 0],
            &[0xe9, 1, 0, 0, 0],
            &[0x0f, 0x84, 1, 0, 0, 0],
        ] {
            assert!(emulates(bytes), "{bytes:02x?}");
        }
    }

    #[test]
    fn everything_else_is_single_stepped() {
        for bytes in [
            &[0xf3, 0x0f, 0x1e, 0xfa][..],   // endbr64
            &[0x48, 0x83, 0xec, 0x18],       // sub rsp
            &[0x89, 0xf8],                   // mov
            &[0xc3],                         // ret
            &[0xff, 0xd0],                   // call *rax
            &[0xff, 0x30],                   // push [rax]
            &[0x6a, 0x01],                   // push 1
            &[0x66, 0x55],                   // push bp
            &[0x48, 0x55],                   // push rbp with a REX the kernel does not take
            &[0x66, 0x90],                   // two-byte nop
            &[0xf3, 0x90],                   // pause
            &[0x0f, 0x1f, 0x44, 0x00, 0x00], // nop5
            &[0xf2, 0xe9, 1, 0, 0, 0],       // bnd jmp
            &[0x2e, 0x75, 0x05],             // jne with a hint
            &[0xe3, 0x05],                   // jrcxz
            &[0xe2, 0x05],                   // loop
            &[0x5d],                         // pop
        ] {
            assert!(!emulates(bytes), "{bytes:02x?}");
        }
    }

    #[test]
    fn padded_and_vector_instructions_are_refused() {
        for bytes in [
            &[0x2e, 0x2e, 0x41, 0x54][..],   // cs cs push r12
            &[0x3e, 0xff, 0xe0],             // notrack jmp rax
            &[0xf0, 0xff, 0x07],             // lock inc
            &[0xc5, 0xf8, 0x77],             // vzeroupper
            &[0x66, 0x0f, 0x38, 0x00, 0xc1], // pshufb
            &[0x0f, 0x05],                   // syscall
        ] {
            assert!(refused(bytes), "{bytes:02x?}");
        }
        for bytes in [
            &[0xf3, 0x0f, 0x1e, 0xfa][..],
            &[0x48, 0x83, 0xec, 0x18],
            &[0x41, 0x54],
            &[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], // mov rax, fs:[0x28]
            &[0x66, 0x0f, 0x6f, 0x07],                      // movdqa
            &[0xc3],
            &[0xe8, 1, 0, 0, 0],
        ] {
            assert!(!refused(bytes), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_write_to_a_part_of_a_register_counts() {
        let mut factory = InstructionInfoFactory::new();
        let instruction = decode(&[0xb1, 0x01], 0).expect("mov cl, 1");
        assert_eq!(written(&mut factory, &instruction), [Register::RCX]);
    }

    #[test]
    fn instructions_read_well() {
        let text = |bytes: &[u8]| describe(&decode(bytes, 0x1000).expect("decodes"));
        assert_eq!(text(&[0x41, 0x55]), "push r13");
        assert_eq!(text(&[0x75, 0x44]), "jne 0x1046");
        assert_eq!(text(&[0x48, 0x83, 0xec, 0x18]), "sub rsp, 0x18");
        assert_eq!(text(&[0xf3, 0x0f, 0x1e, 0xfa]), "endbr64");
    }
}
