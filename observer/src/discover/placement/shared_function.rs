//! The internal function that a function and its `_ex` sibling both call.
//!
//! In OpenSSL 1.1.1 to 3.x (ssl/ssl_lib.c) `SSL_read(s, buf, num)` checks `num` and calls
//! `ssl_read_internal(s, buf, num, &readbytes)`, and `SSL_read_ex` calls the same with the
//! caller's own pointer. `ssl_write_internal` has one more argument, `flags`, before the pointer
//! since 3.2. A compiler may have inlined either: then nothing is found here.

use super::arguments::{FirstCall, Registers, Value, first_calls};
use super::code::Code;
use super::flow::{Flow, is_stub};
use super::probe_point::CountIn;
use crate::discover::elf_image::Function;

/// Functions gone through between the `_ex` function and the shared one: `SSL_write_ex` goes
/// through `SSL_write_ex2` since 3.3.
const MAX_FORWARDS: usize = 2;
/// Calls of one function looked into.
const MAX_CALLS: usize = 16;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedFunction {
    /// Its address.
    pub(super) target: u64,
    /// Which argument points to the number of bytes.
    pub(super) count: CountIn,
}

/// The function that `plain` and `ex` share, if it is beyond doubt.
pub(super) fn find(code: &impl Code, plain: Function, ex: Function) -> Option<SharedFunction> {
    let flow = Flow::of(code, plain);
    // Bytes that are moved by a call through a pointer do not pass the shared function.
    if flow.steps.values().any(super::flow::Step::through_pointer) {
        return None;
    }
    let mut found = first_calls(&flow, Registers::at_entry())
        .into_iter()
        .filter(|call| call.target != plain.address && call.target != ex.address)
        .filter_map(|call| {
            Some(SharedFunction {
                target: call.target,
                count: counted(&call)?,
            })
        })
        .filter(|shared| !is_stub(code, shared.target));
    let shared = found.next()?;
    if found.any(|other| other != shared) {
        return None;
    }
    reaches(code, ex, Registers::at_entry(), shared, MAX_FORWARDS).then_some(shared)
}

/// The same where the function that `plain` goes on to is known.
pub(super) fn known(code: &impl Code, plain: Function, target: u64) -> Option<SharedFunction> {
    let flow = Flow::of(code, plain);
    if flow.steps.values().any(super::flow::Step::through_pointer) {
        return None;
    }
    let mut calls = first_calls(&flow, Registers::at_entry()).into_iter();
    let call = calls.find(|call| call.target == target)?;
    let count = counted(&call)?;
    Some(SharedFunction { target, count })
}

fn passes_buffer(call: &FirstCall) -> bool {
    (0..3).all(|number| call.argument(usize::from(number)) == Value::Argument(number))
}

/// Where `call` gives the address of a local variable for the count, if it passes the rest on.
fn counted(call: &FirstCall) -> Option<CountIn> {
    if !passes_buffer(call) {
        return None;
    }
    match (call.argument(3), call.argument(4)) {
        (Value::Stack, Value::Stack) => None,
        (Value::Stack, _) => Some(CountIn::PointerIn4th),
        (_, Value::Stack) => Some(CountIn::PointerIn5th),
        _ => None,
    }
}

/// Does the function at `from` pass its buffer and its pointer (the fourth argument of the `_ex`
/// function) on to `shared`?
fn reaches(
    code: &impl Code,
    from: Function,
    registers: Registers,
    shared: SharedFunction,
    forwards: usize,
) -> bool {
    let flow = Flow::of(code, from);
    if flow.steps.values().any(super::flow::Step::through_pointer) {
        return false;
    }
    let pointer = match shared.count {
        CountIn::PointerIn4th => 3,
        CountIn::PointerIn5th => 4,
        CountIn::ReturnValue | CountIn::Nothing => return false,
    };
    first_calls(&flow, registers)
        .into_iter()
        .take(MAX_CALLS)
        .any(|call| {
            if !passes_buffer(&call) {
                return false;
            }
            if call.target == shared.target {
                return call.argument(pointer) == Value::Argument(3);
            }
            let next = Function {
                address: call.target,
                size: 0,
            };
            forwards > 0
                && !is_stub(code, call.target)
                && reaches(code, next, call.registers, shared, forwards - 1)
        })
}
