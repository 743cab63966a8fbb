//! The probes of the record layer of rustls.
//!
//! In: the functions that encrypt and decrypt records. Out: a [`LibraryPlan`]. They begin with a
//! `push`, which the kernel emulates and which changes no argument.

use iced_x86::Register;

use super::code::Code;
use super::flow::Flow;
use super::library_plan::{FoundBy, LibraryPlan};
use super::probe_point::{CountIn, PassedOver, ProbePoint, Site, TlsCall, TlsDirection};
use super::{PlacementError, places, point};
use crate::discover::elf_image::Function;

/// What the probes read: place of the result, object, message, sequence number. The return address
/// is found only while the stack pointer is untouched.
const KEEP: [Register; 5] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::RSP,
];

/// Plans the probes.
///
/// # Errors
/// [`PlacementError`] if a function has no code.
pub(in crate::discover) fn plan_records(
    code: &impl Code,
    library: String,
    found_by: FoundBy,
    encrypt: &[Function],
    decrypt: &[Function],
) -> Result<LibraryPlan, PlacementError> {
    let mut points = Vec::new();
    for function in decrypt {
        let inbound = TlsDirection::Inbound;
        points.push(at(code, *function, inbound, Site::RecordDecrypt)?);
        points.push(at(code, *function, inbound, Site::RecordDecrypted)?);
    }
    for function in encrypt {
        let outbound = TlsDirection::Outbound;
        points.push(at(code, *function, outbound, Site::RecordEncrypt)?);
    }
    let mut plan = LibraryPlan {
        library,
        found_by,
        points,
        notes: Vec::new(),
    };
    plan.note_slow_points();
    Ok(plan)
}

fn at(
    code: &impl Code,
    function: Function,
    direction: TlsDirection,
    site: Site,
) -> Result<ProbePoint, PlacementError> {
    let name = match direction {
        TlsDirection::Inbound => "MessageDecrypter::decrypt",
        TlsDirection::Outbound => "MessageEncrypter::encrypt",
    };
    let call = TlsCall {
        direction,
        count: CountIn::ReturnValue,
        passed_over: PassedOver::None,
    };
    let place = places::entry(&Flow::of(code, function), &KEEP).unwrap_or(function.address);
    point(code, name, place, site, Some(call))
        .ok_or_else(|| PlacementError::NoCode(name.to_owned()))
}
