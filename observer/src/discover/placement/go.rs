//! The probes of Go's own TLS.
//!
//! In: where `crypto/tls.(*Conn).Read`, `Write` and `Close` lie. Out: a [`LibraryPlan`]. A function
//! of Go begins with `cmp rsp, [r14+16]` and a branch to where the stack grows, which is emulated
//! and changes no argument; after it has grown the function starts anew, so a probe there may be
//! hit twice, which changes nothing. Go moves stacks, so a return is probed at each `ret`.

use iced_x86::{FlowControl, Mnemonic, OpKind, Register};

use super::code::Code;
use super::instruction::{LONGEST_INSTRUCTION, decode};
use super::library_plan::{FoundBy, LibraryPlan};
use super::probe_point::{CountIn, PassedOver, ProbePoint, Site, TlsCall, TlsDirection};
use super::{PlacementError, point};
use crate::discover::elf_image::Function;

/// Bytes of a function that are decoded: `Read` takes below 2 KiB in the builds looked at.
const MAX_FUNCTION_BYTES: u64 = 16 << 10;
/// Returns of one function that are probed; more are not Go's.
const MAX_RETURNS: usize = 32;

const READ: &str = "crypto/tls.(*Conn).Read";
const WRITE: &str = "crypto/tls.(*Conn).Write";
const CLOSE: &str = "crypto/tls.(*Conn).Close";

/// Where the functions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::discover) struct GoFunctions {
    pub(in crate::discover) read: Function,
    pub(in crate::discover) write: Function,
    pub(in crate::discover) close: Option<Function>,
}

impl GoFunctions {
    /// Names of the functions, in the order of the fields.
    pub(in crate::discover) const NAMES: [&str; 3] = [READ, WRITE, CLOSE];
}

/// Plans the probes.
///
/// # Errors
/// [`PlacementError`] if a function is not what Go's compiler makes.
pub(in crate::discover) fn plan_go(
    code: &impl Code,
    library: String,
    functions: GoFunctions,
) -> Result<LibraryPlan, PlacementError> {
    let GoFunctions { read, write, close } = functions;
    let call = |direction| TlsCall {
        direction,
        count: CountIn::ReturnValue,
        passed_over: PassedOver::None,
    };
    let (inbound, outbound) = (call(TlsDirection::Inbound), call(TlsDirection::Outbound));
    let mut points = vec![entry(code, READ, read, Site::GoEntry, Some(inbound))?];
    let returns = returns(code, read).ok_or_else(|| PlacementError::NoCode(READ.to_owned()))?;
    for address in returns {
        let point = point(code, READ, address, Site::GoReturn, Some(inbound));
        points.push(point.ok_or_else(|| PlacementError::NoCode(READ.to_owned()))?);
    }
    points.push(entry(code, WRITE, write, Site::GoEntry, Some(outbound))?);
    if let Some(close) = close {
        points.push(entry(code, CLOSE, close, Site::GoClose, None)?);
    }
    let mut plan = LibraryPlan {
        library,
        found_by: FoundBy::GoFunctionTable,
        points,
        notes: Vec::new(),
    };
    plan.note_slow_points();
    Ok(plan)
}

/// The branch to where the stack grows.
fn entry(
    code: &impl Code,
    name: &str,
    function: Function,
    site: Site,
    call: Option<TlsCall>,
) -> Result<ProbePoint, PlacementError> {
    growth_check(code, function.address)
        .and_then(|address| point(code, name, address, site, call))
        .ok_or_else(|| PlacementError::NoCode(name.to_owned()))
}

/// Address of the conditional branch of a function's first two or three instructions, which
/// compare the stack's place with its limit in the goroutine (`r14`, since Go 1.17).
pub(in crate::discover) fn growth_check(code: &impl Code, start: u64) -> Option<u64> {
    let first = decode(&code.bytes(start, LONGEST_INSTRUCTION), start)?;
    // A large frame computes its end first: `lea r12, [rsp-N]`.
    let compare = match first.mnemonic() {
        Mnemonic::Lea if first.memory_base() == Register::RSP => {
            let next = first.next_ip();
            decode(&code.bytes(next, LONGEST_INSTRUCTION), next)?
        }
        _ => first,
    };
    let compares = compare.mnemonic() == Mnemonic::Cmp
        && compare.op1_kind() == OpKind::Memory
        && compare.memory_base() == Register::R14;
    let branch = compare.next_ip();
    let instruction = decode(&code.bytes(branch, LONGEST_INSTRUCTION), branch)?;
    (compares && instruction.flow_control() == FlowControl::ConditionalBranch).then_some(branch)
}

/// Every `ret` of a function, decoded from its start to its end: Go puts no data between.
fn returns(code: &impl Code, function: Function) -> Option<Vec<u64>> {
    let bytes = code.bytes(function.address, function.size.min(MAX_FUNCTION_BYTES));
    let mut address = function.address;
    let end = function.address.checked_add(bytes.len() as u64)?;
    let mut found = Vec::new();
    while address < end {
        let rest = bytes.get(usize::try_from(address - function.address).ok()?..)?;
        let instruction = decode(rest, address)?;
        if instruction.flow_control() == FlowControl::Return {
            found.push(address);
        }
        address = instruction.next_ip();
    }
    let whole = function.size <= MAX_FUNCTION_BYTES;
    (whole && !found.is_empty() && found.len() <= MAX_RETURNS).then_some(found)
}
