//! The instructions of one function and where each leads.
//!
//! In: code and a function's address and size. Out: every instruction that can be reached from its
//! start. It never guesses: code that leaves the function, that cannot be decoded, or that is
//! larger than the functions sought makes the flow not `whole`.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{FlowControl, Instruction, OpKind};

use super::code::Code;
use super::instruction::{LONGEST_INSTRUCTION, decode, emulated, is_landing_pad, refused};
use crate::discover::elf_image::Function;

/// Bytes of a function that are decoded: `SSL_read` takes 131 to 443 in the builds looked at.
const MAX_FUNCTION_BYTES: u64 = 8192;
/// Bytes taken for a function whose symbol has no size.
const UNSIZED_FUNCTION_BYTES: u64 = 2048;
/// Instructions of a function that are decoded.
const MAX_INSTRUCTIONS: usize = 2048;
/// Functions that do not come back, as the C library names them.
const NO_RETURN: [&str; 4] = [
    "__stack_chk_fail",
    "abort",
    "__fortify_fail",
    "__assert_fail",
];

/// Where control goes when an instruction ends the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It goes on inside.
    None,
    /// A `ret`.
    Return,
    /// A jump to another function, or one whose target is not known.
    Leaves(Option<u64>),
    /// Nowhere: a trap, or a call that does not come back.
    Dead,
}

/// One reachable instruction.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) instruction: Instruction,
    /// The kernel emulates it.
    pub(super) emulated: bool,
    /// The kernel takes no probe there.
    pub(super) refused: bool,
    /// Addresses inside the function that may come next.
    pub(super) next: Vec<u64>,
    pub(super) exit: Exit,
}

impl Step {
    /// Target of a direct call.
    pub(super) fn call_target(&self) -> Option<u64> {
        let call = self.instruction.flow_control() == FlowControl::Call
            && self.instruction.op0_kind() == OpKind::NearBranch64;
        call.then(|| self.instruction.near_branch_target())
    }

    /// A call or jump through a register or a structure. One through the global offset table
    /// (`call *slot(%rip)`) is not meant: it goes to a named function.
    pub(super) fn through_pointer(&self) -> bool {
        let indirect = matches!(
            self.instruction.flow_control(),
            FlowControl::IndirectCall | FlowControl::IndirectBranch
        );
        indirect && !self.instruction.is_ip_rel_memory_operand()
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) start: u64,
    pub(super) steps: BTreeMap<u64, Step>,
    /// Addresses that some branch inside the function jumps to.
    pub(super) targets: BTreeSet<u64>,
    /// Everything reachable was decoded and stays inside, instructions do not overlap.
    pub(super) whole: bool,
}

impl Flow {
    pub(super) fn of(code: &impl Code, function: Function) -> Self {
        let start = function.address;
        let size = match function.size {
            0 => UNSIZED_FUNCTION_BYTES,
            size => size.min(MAX_FUNCTION_BYTES),
        };
        let bytes = code.bytes(start, size);
        let end = start.saturating_add(bytes.len() as u64);
        let mut flow = Self {
            start,
            steps: BTreeMap::new(),
            targets: BTreeSet::new(),
            whole: function.size <= MAX_FUNCTION_BYTES,
        };
        let mut waiting = vec![start];
        while let Some(address) = waiting.pop() {
            if flow.steps.contains_key(&address) {
                continue;
            }
            let here = address
                .checked_sub(start)
                .and_then(|into| bytes.get(usize::try_from(into).ok()?..))
                .unwrap_or_default();
            let Some(instruction) = decode(here, address) else {
                flow.whole = false;
                continue;
            };
            if flow.steps.len() >= MAX_INSTRUCTIONS {
                flow.whole = false;
                break;
            }
            let step = flow.step(code, instruction, here, start..end, function.size != 0);
            waiting.extend(&step.next);
            flow.steps.insert(address, step);
        }
        flow.refuse_overlaps();
        flow
    }

    fn step(
        &mut self,
        code: &impl Code,
        instruction: Instruction,
        bytes: &[u8],
        range: std::ops::Range<u64>,
        sized: bool,
    ) -> Step {
        let after = instruction.next_ip();
        let mut next = Vec::new();
        let mut exit = Exit::None;
        let falls = match instruction.flow_control() {
            FlowControl::Next | FlowControl::Interrupt if !traps(&instruction) => true,
            FlowControl::Call | FlowControl::IndirectCall => {
                // A compiler ends a function with a call only if that does not come back.
                let last = sized && !range.contains(&after);
                if last || does_not_return(code, &instruction) {
                    exit = Exit::Dead;
                }
                exit == Exit::None
            }
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                let target = instruction.near_branch_target();
                if range.contains(&target) {
                    next.push(target);
                    self.targets.insert(target);
                } else {
                    exit = Exit::Leaves(Some(target));
                    self.whole = false;
                }
                instruction.flow_control() == FlowControl::ConditionalBranch
            }
            FlowControl::IndirectBranch => {
                exit = Exit::Leaves(None);
                self.whole = false;
                false
            }
            FlowControl::Return => {
                exit = Exit::Return;
                false
            }
            _ => {
                exit = Exit::Dead;
                false
            }
        };
        if falls {
            if range.contains(&after) {
                next.push(after);
            } else {
                exit = Exit::Leaves(Some(after));
                self.whole = false;
            }
        }
        Step {
            emulated: emulated(bytes, instruction.len()),
            refused: refused(bytes),
            instruction,
            next,
            exit,
        }
    }

    /// Code that is jumped into in the middle of an instruction is not what it seems.
    fn refuse_overlaps(&mut self) {
        let mut last_end = 0;
        for (address, step) in &self.steps {
            if *address < last_end {
                self.whole = false;
            }
            last_end = step.instruction.next_ip();
        }
    }

    /// Direct targets of all calls, and of jumps that leave the function.
    pub(super) fn goes_to(&self) -> impl Iterator<Item = u64> + '_ {
        self.steps.values().filter_map(|step| match step.exit {
            Exit::Leaves(target) => target,
            _ => step.call_target(),
        })
    }
}

fn traps(instruction: &Instruction) -> bool {
    use iced_x86::Mnemonic::{Hlt, Int3, Ud0, Ud1, Ud2};
    matches!(instruction.mnemonic(), Hlt | Int3 | Ud0 | Ud1 | Ud2)
}

fn does_not_return(code: &impl Code, call: &Instruction) -> bool {
    let name = if call.is_ip_rel_memory_operand() {
        code.imported(call.ip_rel_memory_address())
    } else if call.op0_kind() == OpKind::NearBranch64 {
        stub_name(code, call.near_branch_target())
    } else {
        None
    };
    name.is_some_and(|name| NO_RETURN.contains(&name.as_str()))
}

/// The slot through which a linker-made stub (an entry of `.plt`) jumps; `None`: not a stub.
fn stub_slot(code: &impl Code, address: u64) -> Option<u64> {
    let mut instruction = decode(&code.bytes(address, LONGEST_INSTRUCTION), address)?;
    if is_landing_pad(&instruction) {
        let next = instruction.next_ip();
        instruction = decode(&code.bytes(next, LONGEST_INSTRUCTION), next)?;
    }
    let jump = instruction.flow_control() == FlowControl::IndirectBranch
        && instruction.is_ip_rel_memory_operand();
    jump.then(|| instruction.ip_rel_memory_address())
}

/// Is there a linker-made stub at `address`?
pub(super) fn is_stub(code: &impl Code, address: u64) -> bool {
    stub_slot(code, address).is_some()
}

/// The function that the stub at `address` jumps to.
pub(super) fn stub_name(code: &impl Code, address: u64) -> Option<String> {
    code.imported(stub_slot(code, address)?)
}
