//! Where a read of Go's own TLS copies what was decrypted.
//!
//! In: the code of `crypto/tls.(*Conn).Read`, and where `runtime.memmove` lies. Out: the address of
//! the one call that copies into the caller's buffer, or nothing if anything is not as it should
//! be. The compiler puts `bytes.(*Reader).Read` into the function, so that call moves all that any
//! read gives, and no read that gives nothing comes by.
//!
//! At the call `rax`, `rbx`, `rcx` are destination, source and length (ABIInternal). The receiver is
//! found in memory: a function keeps its register arguments in places above its return address, in
//! their order, the first 16 bytes above the frame pointer (Go's `abi-internal.md`, since 1.17).

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};
use observer_common::tls::GO_RECEIVER;

use super::instruction::written;

/// From the frame pointer to the place of the buffer.
const BUFFER: u64 = GO_RECEIVER + 8;
/// Instructions that set up the frame.
const PROLOGUE: usize = 8;

/// The call, among all `instructions` of the function in their order.
pub(super) fn find(instructions: &[Instruction], copies: u64) -> Option<u64> {
    let mut calls = instructions.iter().enumerate().filter(|(_, it)| {
        it.flow_control() == FlowControl::Call
            && it.op0_kind() == OpKind::NearBranch64
            && it.near_branch_target() == copies
    });
    let (place, call) = calls.next()?;
    if calls.next().is_some() {
        return None;
    }
    let frame = frame(instructions)?;
    let kept = |offset, register| is_kept(instructions, frame.checked_add(offset)?, register);
    kept(GO_RECEIVER, Register::RAX)?;
    kept(BUFFER, Register::RBX)?;
    // The destination is the caller's buffer, whichever way the call is reached.
    let destination = instructions
        .get(..place)?
        .iter()
        .rfind(|it| writes(it, Register::RAX))?;
    let loads = destination.mnemonic() == Mnemonic::Mov
        && destination.op1_kind() == OpKind::Memory
        && on_stack(destination) == Some(frame.checked_add(BUFFER)?);
    let between = destination.next_ip()..=call.ip();
    let jumped_to = instructions.iter().any(|it| {
        it.op0_kind() == OpKind::NearBranch64 && between.contains(&it.near_branch_target())
    });
    (loads && !jumped_to).then(|| call.ip())
}

/// From the stack pointer to the frame pointer, as the beginning of the function sets them up.
fn frame(instructions: &[Instruction]) -> Option<u64> {
    let prologue = instructions.get(..PROLOGUE.min(instructions.len()))?;
    let (mut pushed, mut pointed, mut size) = (false, false, None);
    for it in prologue {
        let to = it.op0_register();
        match it.mnemonic() {
            // Go 1.21 and newer: `push rbp; mov rbp, rsp; sub rsp, N`.
            Mnemonic::Push if to == Register::RBP => pushed = true,
            Mnemonic::Mov if to == Register::RBP => {
                pointed = pushed && size.is_none() && it.op1_register() == Register::RSP;
            }
            Mnemonic::Sub if to == Register::RSP => size = Some(it.try_immediate(1).ok()?),
            // Before: `sub rsp, N; mov [rsp+N-8], rbp; lea rbp, [rsp+N-8]`.
            Mnemonic::Lea if to == Register::RBP => {
                let at = on_stack(it)?;
                return (!pushed && at.checked_add(8) == size).then_some(at);
            }
            _ => {}
        }
    }
    size.filter(|_| pointed)
}

/// Is `register` put at this place of the stack while it holds what the caller gave, and nothing
/// else ever?
fn is_kept(instructions: &[Instruction], at: u64, register: Register) -> Option<()> {
    let mut kept = false;
    for it in instructions {
        if may_store(it, at) {
            let whole = on_stack(it) == Some(at) && it.op1_register() == register;
            if kept || !whole {
                return None;
            }
            kept = true;
        }
        if !kept && writes(it, register) {
            return None;
        }
    }
    kept.then_some(())
}

/// Could it write one of the 8 bytes at this place of the stack?
fn may_store(it: &Instruction, at: u64) -> bool {
    let Some(start) = on_stack(it) else {
        return false;
    };
    let end = start.saturating_add(it.memory_size().size() as u64);
    it.op0_kind() == OpKind::Memory
        && it.mnemonic() != Mnemonic::Cmp
        && start < at.saturating_add(8)
        && at < end
}

/// The place in the stack that the instruction names, from the stack pointer.
fn on_stack(it: &Instruction) -> Option<u64> {
    let plain = it.memory_base() == Register::RSP && it.memory_index() == Register::None;
    plain.then(|| it.memory_displacement64())
}

/// Does it change the register? A call changes all: Go keeps none over it.
fn writes(it: &Instruction, register: Register) -> bool {
    let calls = matches!(
        it.flow_control(),
        FlowControl::Call | FlowControl::IndirectCall
    );
    calls || written(&mut InstructionInfoFactory::new(), it).contains(&register)
}
