//! Chooses the instructions of a TLS library that probes go on.
//!
//! In: the ELF file of a library or executable that defines `SSL_read` and `SSL_write`. Out: a
//! [`LibraryPlan`], or why there is none. It never places a probe on bytes it has not decoded, and
//! it never writes anything.
//!
//! A uprobe on an instruction that the kernel emulates costs about a tenth of one on any other
//! (arch/x86/kernel/uprobes.c, see [`instruction`]). So, for reads and for writes, in this order:
//! 1. *shared function*: `SSL_read` and `SSL_read_ex` of OpenSSL 1.1.1 and newer both call one
//!    internal function. A pair of probes there sees every caller once, those that bypass the
//!    exported functions (`BIO_f_ssl`) included, and not `SSL_peek`.
//! 2. *exported functions*: the first emulated instruction that still has the arguments, and an
//!    emulated branch that has the result, else a uretprobe.
//! 3. *function start*, single-stepped, with a note.

mod arguments;
mod code;
mod flow;
mod instruction;
mod library_plan;
mod places;
mod probe_point;
mod shared_function;
#[cfg(test)]
mod tests;

use iced_x86::Register;

pub use library_plan::LibraryPlan;
pub use probe_point::{CountIn, ProbePoint, Site, TlsCall, TlsDirection};

use self::arguments::ARGUMENTS;
use self::code::Code;
use self::flow::{Flow, stub_name};
use self::instruction::{LONGEST_INSTRUCTION, decode, describe, emulated};
use super::elf_image::{ElfError, ElfImage, Function};

/// Why no probe can be placed in a file.
#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    /// The file is not one that can be probed.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// It does not define the functions.
    #[error("it defines no {0}")]
    NoFunction(&'static str),
    /// A function is not where its symbol says.
    #[error("{0} is not in an executable part of the file, or does not decode")]
    NoCode(&'static str),
}

/// The functions of one direction.
struct Names {
    direction: TlsDirection,
    plain: &'static str,
    /// The function that both share, as OpenSSL names it.
    internal: &'static str,
    ex: &'static str,
    /// OpenSSL 3.3 and newer: one more argument, the flags, in fourth place.
    ex2: Option<&'static str>,
}

const READ: Names = Names {
    direction: TlsDirection::Inbound,
    plain: "SSL_read",
    internal: "ssl_read_internal",
    ex: "SSL_read_ex",
    ex2: None,
};
const WRITE: Names = Names {
    direction: TlsDirection::Outbound,
    plain: "SSL_write",
    internal: "ssl_write_internal",
    ex: "SSL_write_ex",
    ex2: Some("SSL_write_ex2"),
};
const FREE: &str = "SSL_free";

/// Plans the probes of `image`, to be reported as `library`.
///
/// # Errors
/// [`PlacementError`] if the file does not define both functions, or has no code for them.
pub fn plan(image: &ElfImage<'_>, library: String) -> Result<LibraryPlan, PlacementError> {
    let names = [
        "SSL_read",
        "SSL_read_ex",
        "SSL_write",
        "SSL_write_ex",
        "SSL_write_ex2",
        FREE,
    ];
    let found = image.functions(&names)?;
    let function = |name: &str| {
        let at = names.iter().position(|other| *other == name)?;
        found.get(at).copied().flatten()
    };
    plan_code(image, library, function)
}

fn plan_code(
    code: &impl Code,
    library: String,
    function: impl Fn(&str) -> Option<Function>,
) -> Result<LibraryPlan, PlacementError> {
    let mut plan = LibraryPlan {
        library,
        points: Vec::new(),
        notes: Vec::new(),
    };
    for names in [&READ, &WRITE] {
        let plain = function(names.plain).ok_or(PlacementError::NoFunction(names.plain))?;
        let ex = function(names.ex);
        let shared = ex.and_then(|ex| shared_function::find(code, plain, ex));
        let shared = shared.and_then(|shared| {
            let call = TlsCall {
                direction: names.direction,
                count: shared.count,
            };
            shared_points(code, names.internal, shared.target, call)
        });
        let exported = exported_points(code, names, plain, ex, &function)?;
        // The shared function sees more callers; only a single step under it makes the exported
        // ones the better choice, and only if they need none.
        let (points, notes) = match shared {
            Some(shared) if is_fast(&shared) || !is_fast(&exported.0) => (shared, Vec::new()),
            _ => exported,
        };
        plan.notes.extend(notes);
        plan.points.extend(points);
    }
    match function(FREE) {
        Some(free) => plan.points.extend(free_point(code, free)),
        None => plan.notes.push(
            "SSL_free is not there: state of closed TLS objects is kept until it is evicted"
                .to_owned(),
        ),
    }
    for point in plan.points.iter().filter(|point| !point.emulated) {
        plan.notes.push(format!(
            "{}: the probe on `{}` is single-stepped, about ten times slower than on an instruction the kernel emulates",
            point.function, point.instruction
        ));
    }
    plan.notes.dedup();
    Ok(plan)
}

fn is_fast(points: &[ProbePoint]) -> bool {
    points.iter().all(|point| point.emulated)
}

/// Entry and return of the shared function, on one instruction; at its start if none is better.
fn shared_points(
    code: &impl Code,
    name: &str,
    target: u64,
    call: TlsCall,
) -> Option<Vec<ProbePoint>> {
    let flow = Flow::of(
        code,
        Function {
            address: target,
            size: 0,
        },
    );
    let keep = [&ARGUMENTS[..], &[Register::RSP]].concat();
    let place = places::entry(&flow, &keep).unwrap_or(target);
    Some(vec![
        point(code, name, place, Site::Entry, Some(call))?,
        point(code, name, place, Site::CallReturn, Some(call))?,
    ])
}

type PointsAndNotes = (Vec<ProbePoint>, Vec<String>);

fn exported_points(
    code: &impl Code,
    names: &Names,
    plain: Function,
    ex: Option<Function>,
    function: &impl Fn(&str) -> Option<Function>,
) -> Result<PointsAndNotes, PlacementError> {
    let mut candidates = vec![(names.plain, plain, CountIn::ReturnValue)];
    candidates.extend(ex.map(|ex| (names.ex, ex, CountIn::PointerIn4th)));
    if let Some(name) = names.ex2 {
        candidates.extend(function(name).map(|ex2| (name, ex2, CountIn::PointerIn5th)));
    }
    let flows: Vec<Flow> = candidates
        .iter()
        .map(|(_, function, _)| Flow::of(code, *function))
        .collect();
    let mut points = Vec::new();
    let notes = vec![format!(
        "{}: probes are on the exported functions; callers inside the library are not seen",
        names.plain
    )];
    for ((name, function, count), flow) in candidates.iter().zip(&flows) {
        // One that only forwards to another of these would count every call twice.
        let forwards = candidates.iter().any(|(other, to, _)| {
            other != name
                && flow.goes_to().any(|target| {
                    target == to.address || stub_name(code, target).as_deref() == Some(*other)
                })
        });
        if forwards {
            continue;
        }
        let call = TlsCall {
            direction: names.direction,
            count: *count,
        };
        let arguments = match count {
            CountIn::ReturnValue => 3,
            CountIn::PointerIn4th => 4,
            CountIn::PointerIn5th => 5,
        };
        let keep = ARGUMENTS.get(..arguments).unwrap_or(&ARGUMENTS);
        let start = function.address;
        let entry = places::entry(flow, keep).unwrap_or(start);
        // The uretprobe finds the return address only while the stack pointer is untouched.
        let (exit, site) = match places::result(flow).filter(|place| *place != entry) {
            Some(place) => (place, Site::Return),
            None => (
                places::entry(flow, &[Register::RSP]).unwrap_or(start),
                Site::CallReturn,
            ),
        };
        for (place, site) in [(entry, Site::Entry), (exit, site)] {
            let point = point(code, name, place, site, Some(call));
            points.push(point.ok_or(PlacementError::NoCode(name))?);
        }
    }
    Ok((points, notes))
}

fn free_point(code: &impl Code, free: Function) -> Option<ProbePoint> {
    let flow = Flow::of(code, free);
    let place = places::entry(&flow, &[Register::RDI]).unwrap_or(free.address);
    point(code, FREE, place, Site::Free, None)
}

/// The point at `address`, if the file holds there what was decoded.
fn point(
    code: &impl Code,
    function: &str,
    address: u64,
    site: Site,
    call: Option<TlsCall>,
) -> Option<ProbePoint> {
    let instruction = decode(&code.bytes(address, LONGEST_INSTRUCTION), address)?;
    let file_offset = code.file_offset(address)?;
    let bytes = code.bytes_in_file(file_offset, LONGEST_INSTRUCTION);
    let there = decode(&bytes, address)?;
    if there != instruction {
        return None;
    }
    Some(ProbePoint {
        function: function.to_owned(),
        file_offset,
        site,
        call,
        instruction: describe(&there),
        emulated: emulated(&bytes, there.len()),
    })
}
