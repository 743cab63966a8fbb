//! Attaches the TLS probes of a library file, once for all processes that map it.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use aya::programs::uprobe::UProbeLinkId;
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

/// The probes of one library file.
#[derive(Debug)]
pub struct AttachedLibrary {
    links: Vec<(&'static str, UProbeLinkId)>,
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
        // Returns first: a call that is seen to enter is then sure to be seen to return.
        let points = plan.points.iter().rev();
        let cookies = self.cookies();
        for point in points {
            let Some(name) = program_name(point, cookies) else {
                self.detach_library(attached);
                return Err(format!(
                    "{}: needs probes that carry a cookie (Linux 5.15)",
                    point.function
                ));
            };
            let link = self.uprobe(name).and_then(|program| {
                let attach = UProbeAttachPoint {
                    location: UProbeAttachLocation::AbsoluteOffset(point.file_offset),
                    cookie: cookies.then(|| cookie(point, number).0),
                };
                program
                    .attach([attach], &target, UProbeScope::AllProcesses)
                    .map_err(|error| chain(&error))
            });
            match link {
                Ok(link) => attached.links.push((name, link)),
                Err(reason) => {
                    let reason = format!(
                        "{} at offset {:#x}: {reason}",
                        point.function, point.file_offset
                    );
                    self.detach_library(attached);
                    return Err(reason);
                }
            }
        }
        Ok(attached)
    }

    /// Takes the probes of one library off.
    pub fn detach_library(&mut self, attached: AttachedLibrary) {
        let AttachedLibrary { links } = attached;
        for (name, link) in links {
            if let Ok(program) = self.uprobe(name) {
                // The link may be gone with its file; either way the probe is off.
                let _ = program.detach(link);
            }
        }
    }

    fn uprobe(&mut self, name: &'static str) -> Result<&mut UProbe, String> {
        match self.ebpf.program_mut(name) {
            Some(Program::UProbe(program)) => Ok(program),
            _ => Err(format!("the kernel half has no uprobe {name}")),
        }
    }
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
        Site::GoEntry => return None,
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
    }
}
