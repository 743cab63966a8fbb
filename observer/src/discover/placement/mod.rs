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
//! 3. *function start*, single-stepped, with a note; where the kernel takes no probe on that, the
//!    next place that still has the arguments, and each `ret`.

mod arguments;
mod call_spec;
mod code;
mod flow;
mod go;
mod go_copy;
mod instruction;
mod library_plan;
mod places;
mod probe_point;
mod record_readers;
mod records;
mod shared_function;
#[cfg(test)]
mod tests;

use iced_x86::Register;

pub(super) use call_spec::CallSpec;
pub(super) use code::Code;
pub(super) use go::{GoFunctions, growth_check, plan_go};
pub use library_plan::{FoundBy, LibraryPlan};
pub use probe_point::{CountIn, PassedOver, ProbePoint, Site, TlsCall, TlsDirection};
pub(super) use record_readers::record_readers;
pub(super) use records::plan_records;

use self::arguments::ARGUMENTS;
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
    /// No instruction at its beginning or end takes a probe.
    #[error("the kernel takes no probe on the instructions that {0} begins and ends with")]
    NoPlace(String),
    /// A function is not where its symbol says.
    #[error("{0} is not in an executable part of the file, or does not decode")]
    NoCode(String),
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
        found_by: FoundBy::Symbols,
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
                passed_over: PassedOver::None,
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
        Some(free) => plan.points.extend(free_point(code, FREE, free)),
        None => plan.notes.push(
            "SSL_free is not there: state of closed TLS objects is kept until it is evicted"
                .to_owned(),
        ),
    }
    plan.note_slow_points();
    Ok(plan)
}

impl LibraryPlan {
    fn note_slow_points(&mut self) {
        for point in self.points.iter().filter(|point| !point.emulated) {
            self.notes.push(format!(
                "{}: the probe on `{}` is single-stepped, about ten times slower than on an instruction the kernel emulates",
                point.function, point.instruction
            ));
        }
        self.notes.dedup();
    }
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
    let place = places::entry(&flow, &keep)?;
    Some(vec![
        point(code, name, place, Site::Entry, Some(call))?,
        point(code, name, place, Site::CallReturn, Some(call))?,
    ])
}

/// The functions of a library that is known to have a shared one for each direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedCalls {
    /// `SSL_read`, and what it goes on to if that is a function of its own.
    pub(super) read: (Function, Option<Function>),
    /// The same of `SSL_write`.
    pub(super) write: (Function, Option<Function>),
    /// A function where the life of an object begins, and its name.
    pub(super) begins: Option<(&'static str, Function)>,
}

/// Plans the probes of a library whose shared functions are known.
///
/// # Errors
/// [`PlacementError`] if a function has no code, or does not pass on its arguments.
pub(super) fn plan_shared(
    code: &impl Code,
    library: String,
    found_by: FoundBy,
    calls: SharedCalls,
) -> Result<LibraryPlan, PlacementError> {
    let SharedCalls {
        read,
        write,
        begins,
    } = calls;
    let mut plan = LibraryPlan {
        library,
        found_by,
        points: Vec::new(),
        notes: Vec::new(),
    };
    for (names, (plain, internal)) in [(&READ, read), (&WRITE, write)] {
        // That it passes its arguments on is the last proof that it is what its name says.
        let shared = internal
            .and_then(|internal| shared_function::known(code, plain, internal.address))
            .ok_or(PlacementError::NoFunction(names.internal))?;
        let call = TlsCall {
            direction: names.direction,
            count: shared.count,
            passed_over: PassedOver::None,
        };
        let points = shared_points(code, names.internal, shared.target, call);
        plan.points
            .extend(points.ok_or_else(|| PlacementError::NoPlace(names.internal.to_owned()))?);
    }
    if let Some((name, function)) = begins {
        plan.points.extend(free_point(code, name, function));
    }
    plan.note_slow_points();
    Ok(plan)
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
    let specs: Vec<CallSpec> = candidates
        .into_iter()
        .map(|(name, function, count)| CallSpec::new(name, function, names.direction, count))
        .collect();
    let notes = vec![format!(
        "{}: probes are on the exported functions; callers inside the library are not seen",
        names.plain
    )];
    Ok((call_points(code, &specs)?, notes))
}

/// Plans the probes of functions that take a TLS object, a buffer and a length; `ends` take an
/// object whose life ends there.
///
/// # Errors
/// [`PlacementError`] if a function has no code.
pub(super) fn plan_calls(
    code: &impl Code,
    library: String,
    found_by: FoundBy,
    calls: &[CallSpec],
    ends: &[(&str, Function)],
) -> Result<LibraryPlan, PlacementError> {
    let mut plan = LibraryPlan {
        library,
        found_by,
        points: call_points(code, calls)?,
        notes: Vec::new(),
    };
    for (name, function) in ends {
        plan.points.extend(free_point(code, name, *function));
    }
    plan.note_slow_points();
    Ok(plan)
}

fn call_points(code: &impl Code, calls: &[CallSpec]) -> Result<Vec<ProbePoint>, PlacementError> {
    let flows: Vec<Flow> = calls
        .iter()
        .map(|spec| Flow::of(code, spec.function))
        .collect();
    let mut points = Vec::new();
    for (spec, flow) in calls.iter().zip(&flows) {
        // One that only forwards to another of these would count every call twice.
        let forwards = spec.call.count != CountIn::Nothing
            && calls.iter().any(|other| {
                other.name != spec.name
                    && other.call.direction == spec.call.direction
                    && flow.goes_to().any(|target| {
                        target == other.function.address
                            || stub_name(code, target).as_deref() == Some(&*other.name)
                    })
            });
        if forwards {
            continue;
        }
        let keep = ARGUMENTS.get(..spec.arguments()).unwrap_or(&ARGUMENTS);
        let no_place = || PlacementError::NoPlace(spec.name.clone());
        if flow.steps.is_empty() {
            return Err(PlacementError::NoCode(spec.name.clone()));
        }
        let entry = places::entry(flow, keep).ok_or_else(no_place)?;
        // The uretprobe finds the return address only while the stack pointer is untouched.
        let exits = match places::result(flow).filter(|place| *place != entry) {
            Some(place) => vec![(place, Site::Return)],
            None => match places::entry(flow, &[Register::RSP]) {
                Some(place) => vec![(place, Site::CallReturn)],
                None => places::returns(flow)
                    .ok_or_else(no_place)?
                    .into_iter()
                    .map(|place| (place, Site::Return))
                    .collect(),
            },
        };
        for (place, site) in [(entry, Site::Entry)].into_iter().chain(exits) {
            let point = point(code, &spec.name, place, site, Some(spec.call));
            points.push(point.ok_or_else(|| PlacementError::NoCode(spec.name.clone()))?);
        }
    }
    Ok(points)
}

fn free_point(code: &impl Code, name: &str, free: Function) -> Option<ProbePoint> {
    let flow = Flow::of(code, free);
    let place = places::entry(&flow, &[Register::RDI])?;
    point(code, name, place, Site::Free, None)
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
