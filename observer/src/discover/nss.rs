//! NSS: the read and write functions that its TLS layer registers with NSPR.
//!
//! In: an ELF image of `libssl3.so`. Out: a plan, or the reason why there is none. The functions
//! have no symbols. The layer puts them in a `PRIOMethods` table (`nspr/prio.h`), which a compiler
//! fills by code; among them it puts `PR_EmulateAcceptRead`, which is imported by name. So the code
//! that refers to that name is followed, and what it writes around it are the methods.

use std::collections::BTreeMap;
use std::sync::Arc;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind,
    Register,
};

use super::candidate::{Finding, Refusal};
use super::elf_image::{ElfImage, Function};
use super::placement::{
    self, CallSpec, CountIn, FoundBy, PassedOver,
    TlsDirection::{Inbound, Outbound},
};
use super::signature::FunctionStarts;
use super::version_text;

/// Code that is searched; the library has 250 KiB.
const MAX_CODE: u64 = 8 << 20;
/// Bytes of the function that fills the table: 700 in the build looked at.
const MAX_FUNCTION_BYTES: u64 = 8 << 10;
/// Places that refer to the name and are followed.
const MAX_REFERENCES: usize = 8;
const MAX_VERSION_SEARCH: u64 = 4 << 20;

/// The method that is imported by name.
const ANCHOR: &str = "PR_EmulateAcceptRead";
/// Offsets in `PRIOMethods`, in bytes.
const CLOSE: u64 = 8;
const READ: u64 = 2 * 8;
const WRITE: u64 = 3 * 8;
const RECV: u64 = 17 * 8;
const SEND: u64 = 18 * 8;
const ACCEPT_READ: u64 = 22 * 8;

/// Stands for the address of [`ANCHOR`], which is known at run time only.
const ANCHOR_VALUE: u64 = u64::MAX;

/// Is this NSS's TLS library? Others have names with `libssl.so`.
pub(super) fn is_nss(base_name: &str) -> bool {
    base_name == "libssl3.so"
}

/// Plans the probes of `image`, a file of this name.
pub(super) fn find(image: &ElfImage<'_>) -> Finding {
    let version = image.search(
        ".rodata",
        MAX_VERSION_SEARCH,
        version_text::OVERLAP,
        |piece| version_text::after(piece, "NSS ", ""),
    );
    let library = version.map_or_else(|| "nss".to_owned(), |version| format!("nss {version}"));
    let refused = |reason: String| {
        let library = library.clone();
        Finding::Refused(Arc::new(Refusal { library, reason }))
    };
    let Some(methods) = methods(image) else {
        return refused(
            "the code that registers its methods is not understood; the other end of the connection, if it is on this host, would show its calls".to_owned(),
        );
    };
    let at = |offset| {
        let address = *methods.get(&offset)?;
        image.file_offset(address)?;
        Some(Function { address, size: 0 })
    };
    let (Some(read), Some(write), Some(recv), Some(send)) =
        (at(READ), at(WRITE), at(RECV), at(SEND))
    else {
        return refused("its method table is not as NSPR has it; not probed".to_owned());
    };
    let returned = CountIn::ReturnValue;
    let calls = [
        CallSpec::new("ssl_Read", read, Inbound, returned),
        // `PR_MSG_PEEK`
        CallSpec::new("ssl_Recv", recv, Inbound, returned).passing_over(PassedOver::WithFlags),
        CallSpec::new("ssl_Write", write, Outbound, returned),
        CallSpec::new("ssl_Send", send, Outbound, returned),
    ];
    let close = at(CLOSE).map(|close| ("ssl_Close", close));
    match placement::plan_calls(
        image,
        library.clone(),
        FoundBy::MethodTable,
        &calls,
        close.as_slice(),
    ) {
        Ok(plan) => Finding::Plan(Arc::new(plan)),
        Err(error) => refused(format!("{error}; not probed")),
    }
}

/// The methods, by their offset in the table.
fn methods(image: &ElfImage<'_>) -> Option<BTreeMap<u64, u64>> {
    let slot = image.slot_of(ANCHOR)?;
    let starts = FunctionStarts::of(image)?;
    let text = image.extent(".text")?;
    let code = image.code(text.address, text.size.min(MAX_CODE));
    let references = code.windows(4).enumerate().filter_map(|(place, offset)| {
        let offset = i32::from_le_bytes(offset.try_into().ok()?);
        let place = text.address.checked_add(place as u64)?;
        let target = place.wrapping_add(4).wrapping_add_signed(i64::from(offset));
        (target == slot).then_some(place)
    });
    references.take(MAX_REFERENCES).find_map(|place| {
        let function = starts.around(place)?;
        let bytes = image.code(function.address, function.size.min(MAX_FUNCTION_BYTES));
        let written = Machine::run(&bytes, function.address, slot);
        let anchor = written
            .iter()
            .find_map(|(address, value)| (*value == ANCHOR_VALUE).then_some(*address))?;
        let base = anchor.checked_sub(ACCEPT_READ)?;
        let methods = written.range(base..anchor);
        Some(methods.map(|(at, value)| (at - base, *value)).collect())
    })
}

/// What registers and memory hold while code without loops is followed from its start to its first
/// return. Only addresses are followed; everything else is not known.
#[derive(Default)]
struct Machine {
    slot: u64,
    general: [Option<u64>; 16],
    vector: [[Option<u64>; 2]; 16],
    /// By address.
    memory: BTreeMap<u64, u64>,
    /// By offset from the stack pointer.
    stack: BTreeMap<u64, u64>,
}

impl Machine {
    /// What the code wrote to fixed addresses.
    fn run(bytes: &[u8], start: u64, slot: u64) -> BTreeMap<u64, u64> {
        let mut machine = Self {
            slot,
            ..Self::default()
        };
        let mut factory = InstructionInfoFactory::new();
        for instruction in Decoder::with_ip(64, bytes, start, DecoderOptions::NONE) {
            if instruction.is_invalid() || instruction.flow_control() == FlowControl::Return {
                break;
            }
            machine.step(&instruction, &mut factory);
        }
        machine.memory
    }

    fn step(&mut self, it: &Instruction, factory: &mut InstructionInfoFactory) {
        use Mnemonic::{
            Lea, Mov, Movaps, Movdqa, Movdqu, Movhps, Movq, Movups, Pinsrq, Punpcklqdq,
        };
        let wide = matches!(it.mnemonic(), Movaps | Movups | Movdqa | Movdqu);
        let (to, from) = (it.op0_kind(), it.op1_kind());
        match (it.mnemonic(), to, from) {
            (Lea, OpKind::Register, _) if it.is_ip_rel_memory_operand() => {
                self.set(it.op0_register(), Some(it.ip_rel_memory_address()));
            }
            (Mov, OpKind::Register, OpKind::Memory) if it.op0_register().is_gpr64() => {
                let value = self.load(it, 0);
                self.set(it.op0_register(), value);
            }
            (Mov, OpKind::Register, OpKind::Register) if it.op0_register().is_gpr64() => {
                let value = self.get(it.op1_register());
                self.set(it.op0_register(), value);
            }
            (Mov, OpKind::Memory, OpKind::Register) if it.op1_register().is_gpr64() => {
                self.store(it, 0, self.get(it.op1_register()));
            }
            (Movq, OpKind::Register, OpKind::Register) if it.op1_register().is_gpr64() => {
                let lanes = [self.get(it.op1_register()), None];
                self.set_lanes(it.op0_register(), lanes);
            }
            (Movq | Movhps, OpKind::Register, OpKind::Memory) => {
                let [low, _] = self.lanes(it.op0_register());
                let loaded = self.load(it, 0);
                let lanes = if it.mnemonic() == Movq {
                    [loaded, None]
                } else {
                    [low, loaded]
                };
                self.set_lanes(it.op0_register(), lanes);
            }
            (Movq | Movhps, OpKind::Memory, OpKind::Register) => {
                let [low, high] = self.lanes(it.op1_register());
                self.store(it, 0, if it.mnemonic() == Movq { low } else { high });
            }
            (Pinsrq, OpKind::Register, OpKind::Register) => {
                let [low, _] = self.lanes(it.op0_register());
                let lanes = [low, self.get(it.op1_register())];
                self.set_lanes(it.op0_register(), lanes);
            }
            (Punpcklqdq, OpKind::Register, OpKind::Register) => {
                let ([low, _], [high, _]) =
                    (self.lanes(it.op0_register()), self.lanes(it.op1_register()));
                self.set_lanes(it.op0_register(), [low, high]);
            }
            (_, OpKind::Register, OpKind::Memory) if wide => {
                let lanes = [self.load(it, 0), self.load(it, 8)];
                self.set_lanes(it.op0_register(), lanes);
            }
            (_, OpKind::Register, OpKind::Register) if wide => {
                let lanes = self.lanes(it.op1_register());
                self.set_lanes(it.op0_register(), lanes);
            }
            (_, OpKind::Memory, OpKind::Register) if wide => {
                let [low, high] = self.lanes(it.op1_register());
                self.store(it, 0, low);
                self.store(it, 8, high);
            }
            _ => self.forget(it, factory),
        }
    }

    fn forget(&mut self, it: &Instruction, factory: &mut InstructionInfoFactory) {
        if matches!(
            it.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        ) {
            // All vector registers, and the general ones that a function need not keep.
            self.vector = Default::default();
            for register in [
                Register::RAX,
                Register::RCX,
                Register::RDX,
                Register::RSI,
                Register::RDI,
                Register::R8,
                Register::R9,
                Register::R10,
                Register::R11,
            ] {
                self.set(register, None);
            }
            return;
        }
        for used in factory.info(it).used_registers() {
            let register = used.register().full_register();
            if register.is_gpr64() {
                self.set(register, None);
            } else if register.is_vector_register() {
                self.set_lanes(register, [None, None]);
            }
        }
    }

    fn get(&self, register: Register) -> Option<u64> {
        *self.general.get(register.number())?
    }

    fn set(&mut self, register: Register, value: Option<u64>) {
        if let Some(slot) = self.general.get_mut(register.number()) {
            *slot = value;
        }
    }

    fn lanes(&self, register: Register) -> [Option<u64>; 2] {
        self.vector
            .get(register.number())
            .copied()
            .unwrap_or_default()
    }

    fn set_lanes(&mut self, register: Register, lanes: [Option<u64>; 2]) {
        if let Some(slot) = self.vector.get_mut(register.number()) {
            *slot = lanes;
        }
    }

    fn load(&self, it: &Instruction, offset: u64) -> Option<u64> {
        if it.is_ip_rel_memory_operand() {
            let address = it.ip_rel_memory_address().wrapping_add(offset);
            if address == self.slot {
                return Some(ANCHOR_VALUE);
            }
            return self.memory.get(&address).copied();
        }
        if it.memory_base() != Register::RSP || it.memory_index() != Register::None {
            return None;
        }
        let place = it.memory_displacement64().wrapping_add(offset);
        self.stack.get(&place).copied()
    }

    fn store(&mut self, it: &Instruction, offset: u64, value: Option<u64>) {
        let (memory, place) = if it.is_ip_rel_memory_operand() {
            (&mut self.memory, it.ip_rel_memory_address())
        } else if it.memory_base() == Register::RSP && it.memory_index() == Register::None {
            (&mut self.stack, it.memory_displacement64())
        } else {
            return;
        };
        let place = place.wrapping_add(offset);
        match value {
            Some(value) => memory.insert(place, value),
            None => memory.remove(&place),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_vector_registers_carry_is_followed() {
        // lea rax, [rip+0x10]; sub rsp, 0x18; movq xmm0, rax; movhps xmm0, [rip+0x100];
        // movaps [rsp], xmm0; call +0; movdqa xmm1, [rsp]; movups [rip+0x200], xmm1; ret
        let code = [
            0x48, 0x8d, 0x05, 0x10, 0, 0, 0, 0x48, 0x83, 0xec, 0x18, 0x66, 0x48, 0x0f, 0x6e, 0xc0,
            0x0f, 0x16, 0x05, 0, 1, 0, 0, 0x0f, 0x29, 0x04, 0x24, 0xe8, 0, 0, 0, 0, 0x66, 0x0f,
            0x6f, 0x0c, 0x24, 0x0f, 0x11, 0x0d, 0, 2, 0, 0, 0xc3,
        ];
        let slot = 0x1000 + 23 + 0x100;
        let written = Machine::run(&code, 0x1000, slot);
        let table = 0x1000 + 44 + 0x200;
        assert_eq!(
            written.into_iter().collect::<Vec<_>>(),
            [(table, 0x1000 + 7 + 0x10), (table + 8, ANCHOR_VALUE)]
        );
    }

    #[test]
    fn nss_of_this_machine_has_its_methods() {
        let path = "/usr/lib/x86_64-linux-gnu/libssl3.so";
        let Ok(file) = File::open(path) else {
            println!("skipped: there is no {path}");
            return;
        };
        let image = ElfImage::open(&file).expect("an image");
        let Finding::Plan(plan) = find(&image) else {
            panic!("no plan");
        };
        println!("{plan:#?}");
        assert!(plan.library.starts_with("nss 3."), "{}", plan.library);
        assert!(plan.points.len() >= 9, "{plan:?}");
    }
}
