//! Attaches the TLS probes of a library file, once for all processes that map it.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::thread::Builder;

use aya::programs::uprobe::UProbeLink;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};
use aya::programs::{Program, UProbe};
use observer_common::event::{INBOUND, OUTBOUND};
use observer_common::tls::{
    COUNT_IN_4TH, COUNT_IN_5TH, COUNT_IN_RESULT, COUNT_NONE, LIBRARY_ONE_WAY, TlsCookie,
};

use super::error::chain;
use super::loader::Kernel;
use crate::discover::placement::{
    CountIn, LibraryPlan, PassedOver, ProbePoint, Site, TlsCall, TlsDirection,
};

/// Threads that take probes off at once. Taking one off waits until no processor can still be in
/// it, 20 to 50 ms, and what waits at the same time waits for the same.
const DETACHING: usize = 32;

/// The probes of one library file; off when dropped.
#[derive(Debug)]
pub struct AttachedLibrary {
    links: Vec<UProbeLink>,
}

impl Kernel {
    /// Puts every probe of `plan` on `file`; all or none. `number` is what events of this library
    /// carry.
    pub fn attach_library(
        &mut self,
        file: &File,
        plan: &LibraryPlan,
        number: u32,
    ) -> Result<AttachedLibrary, String> {
        // The open file is the one that was decoded, whatever its path says by now.
        let target = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let mut attached = AttachedLibrary { links: Vec::new() };
        let cookies = self.cookies();
        for (name, points) in by_program(plan, cookies)? {
            let attaches = points.iter().map(|point| UProbeAttachPoint {
                location: UProbeAttachLocation::AbsoluteOffset(point.file_offset),
                cookie: cookies.then(|| cookie(point, number).0),
            });
            let link = self.uprobe(name).and_then(|program| {
                let link = program.attach(attaches, &target, UProbeScope::AllProcesses);
                link.and_then(|link| program.take_link(link))
                    .map_err(|error| chain(&error))
            });
            let link = link.map_err(|reason| {
                let places: Vec<String> = points
                    .iter()
                    .map(|point| format!("{} at {:#x}", point.function, point.file_offset))
                    .collect();
                format!("{}: {reason}", places.join(", "))
            })?;
            attached.links.push(link);
        }
        Ok(attached)
    }

    fn uprobe(&mut self, name: &'static str) -> Result<&mut UProbe, String> {
        match self.ebpf.program_mut(name) {
            Some(Program::UProbe(program)) => Ok(program),
            _ => Err(format!("the kernel half has no uprobe {name}")),
        }
    }
}

impl AttachedLibrary {
    /// Takes the probes of all these off, in little more time than one takes.
    pub fn detach_all(libraries: impl IntoIterator<Item = Self>) {
        let mut links: Vec<UProbeLink> = libraries.into_iter().flat_map(|it| it.links).collect();
        let share = links.len().div_ceil(DETACHING).max(1);
        std::thread::scope(|scope| {
            while !links.is_empty() {
                let some = links.split_off(links.len().saturating_sub(share));
                // Without a thread they are dropped here.
                let _ = Builder::new().spawn_scoped(scope, move || drop(some));
            }
        });
    }
}

/// The places of each program. Entries come last: a call that is seen to enter is then sure to be
/// seen to return.
fn by_program(
    plan: &LibraryPlan,
    cookies: bool,
) -> Result<Vec<(&'static str, Vec<&ProbePoint>)>, String> {
    let mut programs: Vec<(&'static str, Vec<&ProbePoint>)> = Vec::new();
    let is_entry = |point: &&ProbePoint| matches!(point.site, Site::Entry | Site::GoEntry);
    let (entries, others): (Vec<_>, Vec<_>) = plan.points.iter().partition(is_entry);
    for point in others.into_iter().chain(entries) {
        let name = program_name(point, cookies).ok_or_else(|| {
            format!(
                "{}: needs probes that carry a cookie (Linux 5.15)",
                point.function
            )
        })?;
        match programs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => programs.push((name, vec![point])),
        }
    }
    Ok(programs)
}

/// Without cookies, the program itself says what the probe's would; not all can be said so.
const fn program_name(point: &ProbePoint, cookies: bool) -> Option<&'static str> {
    Some(match point.site {
        Site::Entry if cookies => "tls_enter",
        Site::Entry => match &point.call {
            Some(TlsCall {
                direction,
                count,
                passed_over: PassedOver::None,
            }) => match (direction, count) {
                (TlsDirection::Inbound, CountIn::ReturnValue) => "tls_enter_in_result",
                (TlsDirection::Inbound, CountIn::PointerIn4th) => "tls_enter_in_4th",
                (TlsDirection::Inbound, CountIn::PointerIn5th) => "tls_enter_in_5th",
                (TlsDirection::Outbound, CountIn::ReturnValue) => "tls_enter_out_result",
                (TlsDirection::Outbound, CountIn::PointerIn4th) => "tls_enter_out_4th",
                (TlsDirection::Outbound, CountIn::PointerIn5th) => "tls_enter_out_5th",
                (_, CountIn::Nothing) => return None,
            },
            _ => return None,
        },
        Site::Return => "tls_return",
        Site::CallReturn => "tls_call_return",
        Site::Free => "tls_free",
        Site::GoEntry if cookies => "tls_go_enter",
        Site::GoCopy if cookies => "tls_go_copy",
        Site::GoEntry | Site::GoCopy => return None,
        Site::GoReturn => "tls_go_return",
        Site::GoClose => "tls_go_close",
        Site::RecordEncrypt if cookies => "tls_record_encrypt",
        Site::RecordDecrypt if cookies => "tls_record_decrypt",
        Site::RecordEncrypt | Site::RecordDecrypt => return None,
        Site::RecordDecrypted => "tls_record_decrypted",
    })
}

fn cookie(point: &ProbePoint, number: u32) -> TlsCookie {
    let Some(TlsCall {
        direction,
        count,
        passed_over,
    }) = point.call
    else {
        return TlsCookie::new(number, INBOUND, COUNT_IN_RESULT);
    };
    let direction = match direction {
        TlsDirection::Inbound => INBOUND,
        TlsDirection::Outbound => OUTBOUND,
    };
    let count = match count {
        CountIn::ReturnValue => COUNT_IN_RESULT,
        CountIn::PointerIn4th => COUNT_IN_4TH,
        CountIn::PointerIn5th => COUNT_IN_5TH,
        CountIn::Nothing => COUNT_NONE,
    };
    let number = match point.site {
        Site::RecordEncrypt | Site::RecordDecrypt => number | LIBRARY_ONE_WAY,
        _ => number,
    };
    let cookie = TlsCookie::new(number, direction, count);
    match passed_over {
        PassedOver::None => cookie,
        PassedOver::WithFlags => cookie.unless_flags(),
        PassedOver::Inside => cookie.unless_inside(),
        PassedOver::OtherRecords => cookie.of_records(),
    }
}
