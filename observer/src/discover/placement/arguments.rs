//! What a function passes to the first function it calls.
//!
//! In: the flow of a function and what its argument registers hold. Out: each first call on any
//! path, with what the argument registers hold there. It follows registers, never memory: what
//! comes from memory is unknown.

use std::collections::BTreeMap;

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::flow::{Exit, Flow};
use super::instruction::written;

/// Rounds over a function until nothing changes: each register changes at most once per
/// instruction, so this only cuts short code made to be slow.
const MAX_ROUNDS: usize = 16_384;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Something else.
    Unknown,
    /// The argument of this number (0 is the first), possibly sign- or zero-extended.
    Argument(u8),
    /// An address in the function's stack frame.
    Stack,
    /// This number, as far as its lower half goes.
    Number(u32),
}

/// What the sixteen general registers hold, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers([Value; 16]);

/// Registers of the first five arguments, in order (System V x86-64 ABI, 3.2.3).
pub(super) const ARGUMENTS: [Register; 5] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
];

impl Registers {
    /// As a caller leaves them.
    pub(super) fn at_entry() -> Self {
        let mut registers = Self([Value::Unknown; 16]);
        registers.set(Register::RSP, Value::Stack);
        for (number, register) in (0..).zip(ARGUMENTS) {
            registers.set(register, Value::Argument(number));
        }
        registers
    }

    pub(super) fn get(&self, register: Register) -> Value {
        index(register)
            .and_then(|at| self.0.get(at).copied())
            .unwrap_or(Value::Unknown)
    }

    fn set(&mut self, register: Register, value: Value) {
        if let Some(slot) = index(register).and_then(|at| self.0.get_mut(at)) {
            *slot = value;
        }
    }

    /// Keeps what both agree on; `true` if that changed anything.
    fn join(&mut self, other: &Self) -> bool {
        let before = *self;
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            if *mine != theirs {
                *mine = Value::Unknown;
            }
        }
        *self != before
    }

    /// What they hold after `instruction`.
    fn after(mut self, factory: &mut InstructionInfoFactory, instruction: &Instruction) -> Self {
        let result = self.result(instruction);
        for register in written(factory, instruction) {
            // Pushes, pops and frame set-up move the stack pointer; it stays in the stack.
            if register != Register::RSP {
                self.set(register, Value::Unknown);
            }
        }
        if let Some((register, value)) = result
            && register != Register::RSP
        {
            self.set(register, value);
        }
        self
    }

    /// The register that gets a value worth following, and the value.
    fn result(&self, instruction: &Instruction) -> Option<(Register, Value)> {
        if instruction.op0_kind() != OpKind::Register {
            return None;
        }
        let to = instruction.op0_register();
        let value = match instruction.mnemonic() {
            Mnemonic::Mov if to.is_gpr64() && instruction.op1_kind() == OpKind::Register => {
                self.get(instruction.op1_register())
            }
            Mnemonic::Lea if to.is_gpr64() && instruction.memory_index() == Register::None => {
                match self.get(instruction.memory_base()) {
                    Value::Stack => Value::Stack,
                    _ => Value::Unknown,
                }
            }
            Mnemonic::Mov if to.is_gpr32() && instruction.op1_kind() == OpKind::Immediate32 => {
                Value::Number(instruction.immediate32())
            }
            // `int` length to `size_t`: the number stays the same, it was found not negative.
            Mnemonic::Movsxd | Mnemonic::Mov
                if instruction.op1_kind() == OpKind::Register
                    && instruction.op1_register().is_gpr32() =>
            {
                match self.get(instruction.op1_register().full_register()) {
                    argument @ Value::Argument(2) => argument,
                    _ => Value::Unknown,
                }
            }
            _ => return None,
        };
        Some((to.full_register(), value))
    }
}

fn index(register: Register) -> Option<usize> {
    register.is_gpr64().then(|| register.number())
}

/// A call, or a jump to another function, before which nothing else was called.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstCall {
    pub(super) target: u64,
    pub(super) registers: Registers,
}

impl FirstCall {
    /// What the argument of this number (0 to 4) is.
    pub(super) fn argument(&self, number: usize) -> Value {
        ARGUMENTS
            .get(number)
            .map_or(Value::Unknown, |register| self.registers.get(*register))
    }
}

/// The first direct calls on the paths of `flow`, entered with `registers`.
pub(super) fn first_calls(flow: &Flow, registers: Registers) -> Vec<FirstCall> {
    let mut factory = InstructionInfoFactory::new();
    let mut known: BTreeMap<u64, Registers> = BTreeMap::from([(flow.start, registers)]);
    let mut waiting = vec![flow.start];
    let mut rounds = 0;
    while let Some(address) = waiting.pop() {
        rounds += 1;
        if rounds > MAX_ROUNDS {
            return Vec::new();
        }
        let (Some(step), Some(before)) = (flow.steps.get(&address), known.get(&address).copied())
        else {
            continue;
        };
        if step.call_target().is_some() || step.through_pointer() {
            continue;
        }
        let after = before.after(&mut factory, &step.instruction);
        for next in &step.next {
            let changed = match known.get_mut(next) {
                Some(there) => there.join(&after),
                None => {
                    known.insert(*next, after);
                    true
                }
            };
            if changed {
                waiting.push(*next);
            }
        }
    }
    // Only now: what was known of an instruction may have shrunk after its first visit.
    known
        .into_iter()
        .filter_map(|(address, registers)| {
            let step = flow.steps.get(&address)?;
            let target = match step.exit {
                Exit::Leaves(target) => target,
                _ => step.call_target(),
            }?;
            Some(FirstCall { target, registers })
        })
        .collect()
}
