//! The probes of Go's own TLS.
//!
//! In: where `crypto/tls.(*Conn).Read`, `Write` and `Close` lie. Out: a [`LibraryPlan`]. A function
//! of Go begins with `cmp rsp, [r14+16]` and a branch to where the stack grows, which is emulated
//! and changes no argument; after it has grown the function starts anew, so a probe there may be
//! hit twice, which changes nothing. A read is probed where it copies what was decrypted
//! ([`go_copy`]): one probe, emulated, which only a read that gives something passes. Where that is
//! not found, at its beginning and at each `ret`, which is single-stepped: Go moves stacks, so
//! there is never a uretprobe.

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::code::Code;
use super::instruction::{LONGEST_INSTRUCTION, decode};
use super::library_plan::{FoundBy, LibraryPlan};
use super::probe_point::{CountIn, PassedOver, ProbePoint, Site, TlsCall, TlsDirection};
use super::{PlacementError, go_copy, point};
use crate::discover::elf_image::Function;

/// Bytes of a function that are decoded: `Read` takes below 2 KiB in the builds looked at.
const MAX_FUNCTION_BYTES: u64 = 16 << 10;
/// Returns of one function that are probed; more are not Go's.
const MAX_RETURNS: usize = 32;

const READ: &str = "crypto/tls.(*Conn).Read";
const WRITE: &str = "crypto/tls.(*Conn).Write";
const CLOSE: &str = "crypto/tls.(*Conn).Close";
const COPY: &str = "runtime.memmove";

/// Where the functions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::discover) struct GoFunctions {
    pub(in crate::discover) read: Function,
    pub(in crate::discover) write: Function,
    pub(in crate::discover) close: Option<Function>,
    /// What copies bytes.
    pub(in crate::discover) copy: Option<Function>,
}

impl GoFunctions {
    /// Names of the functions, in the order of the fields.
    pub(in crate::discover) const NAMES: [&str; 4] = [READ, WRITE, CLOSE, COPY];
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
    let GoFunctions {
        read,
        write,
        close,
        copy,
    } = functions;
    let call = |direction| TlsCall {
        direction,
        count: CountIn::ReturnValue,
        passed_over: PassedOver::None,
    };
    let (inbound, outbound) = (call(TlsDirection::Inbound), call(TlsDirection::Outbound));
    let no_code = || PlacementError::NoCode(READ.to_owned());
    let instructions = instructions(code, read).ok_or_else(no_code)?;
    let copies = copy.and_then(|copy| go_copy::find(&instructions, copy.address));
    let copies = copies.and_then(|at| point(code, READ, at, Site::GoCopy, Some(inbound)));
    let mut points = Vec::new();
    match copies.filter(|point| point.emulated) {
        Some(point) => points.push(point),
        None => {
            points.push(entry(code, READ, read, Site::GoEntry, Some(inbound))?);
            for address in returns(&instructions).ok_or_else(no_code)? {
                let point = point(code, READ, address, Site::GoReturn, Some(inbound));
                points.push(point.ok_or_else(no_code)?);
            }
        }
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

/// A function from its start to its end: Go puts no data between.
fn instructions(code: &impl Code, function: Function) -> Option<Vec<Instruction>> {
    if function.size > MAX_FUNCTION_BYTES {
        return None;
    }
    let bytes = code.bytes(function.address, function.size);
    let mut found = Vec::new();
    let mut rest = bytes.as_slice();
    let mut address = function.address;
    while !rest.is_empty() {
        let instruction = decode(rest, address)?;
        rest = rest.get(instruction.len()..)?;
        address = instruction.next_ip();
        found.push(instruction);
    }
    Some(found)
}

/// Every `ret` of a function.
fn returns(instructions: &[Instruction]) -> Option<Vec<u64>> {
    let returns = |it: &&Instruction| it.flow_control() == FlowControl::Return;
    let found: Vec<u64> = instructions
        .iter()
        .filter(returns)
        .map(Instruction::ip)
        .collect();
    (!found.is_empty() && found.len() <= MAX_RETURNS).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::placement::code::fixture::{Fixture, SHIFT};

    /// `Read` as Go 1.21 and newer compile it, in short: `push rbp; mov rbp, rsp; sub rsp, 0x58`, the
    /// arguments into their places, the handshake, and the copy.
    const NEW: &str = "493b6610765e 55 4889e5 4883ec58 4889442468 48894c2478 48895c2470 e8ee000000
        4885c0 7535 488b742468 488b4c2478 4b8d1c01 488b442470 4839d8 7414 48894c2428 e8b7000000
        488b4c2428 488b742468 4889c8 4883c458 5d c3 31c0 4883c458 5d c3
        4889442408 48895c2410 e8ad000000 eb8b";
    /// The same as older ones do: `sub rsp, 0x68; mov [rsp+0x60], rbp; lea rbp, [rsp+0x60]`.
    const OLD: &str = "493b66107672 4883ec68 48896c2460 488d6c2460 4889442470 48898c2480000000
        48895c2478 e8e5000000 4885c0 753c 488b742470 488b8c2480000000 4b8d1c01 488b442478 4839d8
        7414 48894c2428 e8ab000000 488b4c2428 488b742470 4889c8 488b6c2460 4883c468 c3
        31c0 488b6c2460 4883c468 c3 4889442408 48895c2410 e899000000 e974ffffff";
    const WRITE_CODE: &str = "493b6610 7601 c3 e8fbffffff ebf2";
    const START: u64 = 0x2000;

    /// What is planned for `Read` of this code: sites, and places from its start.
    fn planned(read: &str) -> Vec<(Site, u64)> {
        let code = Fixture::default()
            .with(START, read)
            .with(0x2100, "c3")
            .with(0x3000, WRITE_CODE);
        let function = |address| {
            let (_, bytes) = code.stretches.iter().find(|it| it.0 == address)?;
            let size = bytes.len() as u64;
            Some(Function { address, size })
        };
        let functions = GoFunctions {
            read: function(START).expect("a read"),
            write: function(0x3000).expect("a write"),
            close: None,
            copy: function(0x2100),
        };
        let plan = plan_go(&code, String::new(), functions).expect("a plan");
        let (writes, reads): (Vec<_>, Vec<_>) =
            plan.points.iter().partition(|it| it.function == WRITE);
        assert_eq!(writes.len(), 1);
        let place = |point: &ProbePoint| (point.site, point.file_offset + SHIFT - START);
        reads.into_iter().map(place).collect()
    }

    #[test]
    fn a_read_of_go_is_probed_where_it_copies_what_was_decrypted() {
        assert_eq!(planned(NEW), [(Site::GoCopy, 0x44)]);
        assert_eq!(planned(OLD), [(Site::GoCopy, 0x50)]);
    }

    /// Those of [`NEW`].
    const ENTRY_AND_RETURNS: [(Site, u64); 3] = [
        (Site::GoEntry, 4),
        (Site::GoReturn, 0x5b),
        (Site::GoReturn, 0x63),
    ];

    /// Code in which one thing is not as it must be, of the same length.
    fn changed(from: &str, to: &str) -> String {
        assert_eq!(NEW.matches(from).count(), 1, "{from}");
        NEW.replace(from, to)
    }

    #[test]
    fn a_read_that_is_not_as_it_should_be_is_probed_at_its_ends() {
        for (what, code) in [
            ("two copies", changed("e8ee000000", "e8de000000")),
            ("none", changed("e8b7000000", "e8c7000000")),
            ("no frame pointer", changed("4889e5", "4889e0")),
            ("another receiver", changed("4889442468", "4889542468")),
            ("into another buffer", changed("488b442470", "488b442478")),
            ("a jump to the copy", changed("7535", "751d")),
            (
                "the buffer's place is written",
                changed("48894c2428 e8b7", "48894c2470 e8b7"),
            ),
            (
                "half of it is",
                changed("48894c2428 e8b7", "48894c246c e8b7"),
            ),
        ] {
            assert_eq!(planned(&code), ENTRY_AND_RETURNS, "{what}");
        }
    }

    #[test]
    fn a_function_that_is_not_go_has_no_plan() {
        let code = Fixture::default().with(START, "55 4889e5 5d c3");
        let function = Function {
            address: START,
            size: 6,
        };
        let functions = GoFunctions {
            read: function,
            write: function,
            close: None,
            copy: None,
        };
        assert!(plan_go(&code, String::new(), functions).is_err());
    }
}
