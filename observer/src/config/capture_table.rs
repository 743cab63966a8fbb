//! The settings of what is captured.

use std::ops::RangeInclusive;

use observer_common::event::MOST_RINGS;

use super::CallsPlace;
use super::table::{Given, Setting, boolean, integer, list, show_list, string, toml_string};
use super::values::{in_range, parse_size, quoted, show_size};
use crate::kernel::{Network, SocketCapture};

/// Below this a burst of one busy connection fills the rings; above it a host has better uses.
const RING_BYTES: RangeInclusive<u64> = (256 << 10)..=(1 << 30);
/// As many as the kernel half can tell apart.
const RINGS: RangeInclusive<u64> = 0..=(MOST_RINGS as u64);
/// Ports of TCP.
const PORTS: RangeInclusive<u64> = 1..=65_535;
/// Above this a body is content, not a message that names an operation.
const BODY_PEEK: RangeInclusive<u64> = 0..=(1 << 20);
/// Thousandths of a processor; a hundred processors are no budget.
const ERROR_BUDGET: RangeInclusive<u64> = 0..=100;
const CPU_BUDGET: RangeInclusive<u64> = 1..=100_000;

/// Those of what is captured.
pub(super) const CAPTURE: &[Setting] = &[
    Setting {
        key: "capture.ring_bytes",
        doc: &[
            "Memory between the kernel half and the user half, a power of two from 256KiB to 1GiB.",
            "More rides out longer bursts.",
        ],
        set: |settings, given| {
            let bytes = match given {
                Given::Integer(bytes) => bytes,
                given => parse_size(string(given)?)?,
            };
            let bytes = in_range(bytes, &RING_BYTES, show_size)?;
            if !bytes.is_power_of_two() {
                let near = show_size(bytes.next_power_of_two());
                return Err(format!(
                    "{} is not a power of two: use {near}",
                    show_size(bytes)
                ));
            }
            settings.capture.ring_bytes =
                u32::try_from(bytes).map_err(|_| "does not fit 32 bits".to_owned())?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_size(settings.capture.ring_bytes.into()))),
        example: "",
    },
    Setting {
        key: "capture.rings",
        doc: &[
            "Into how many rings that memory is divided, a power of two from 1 to 16. 0: one for every",
            "four processors, as far as each has 2MiB. A connection has one ring. More rings keep many",
            "processors from waiting for each other; fewer leave more room for one busy connection.",
        ],
        set: |settings, given| {
            let rings = in_range(integer(given)?, &RINGS, |n| n.to_string())?;
            if rings != 0 && !rings.is_power_of_two() {
                let near = rings.next_power_of_two();
                return Err(format!("{rings} is not a power of two: use {near}"));
            }
            settings.capture.rings = u32::try_from(rings).ok().filter(|&rings| rings != 0);
            Ok(())
        },
        show: |settings| Some(settings.capture.rings.unwrap_or(0).to_string()),
        example: "",
    },
    Setting {
        key: "capture.both_sides",
        doc: &[
            "Show connections with both ends on this host twice, as server and as client.",
            "Otherwise once, as server. Flag: --both-sides.",
        ],
        set: |settings, given| {
            settings.capture.both_sides = boolean(given)?;
            Ok(())
        },
        show: |settings| Some(settings.capture.both_sides.to_string()),
        example: "",
    },
    Setting {
        key: "capture.sockets",
        doc: &[
            "Where the bytes of sockets are taken. \"auto\": TCP from packets, Unix sockets and the",
            "kernel's TLS from socket functions, as far as each loads. \"packets\" or \"functions\": only",
            "there. \"kprobes\": at socket functions and by kprobes, as on kernels without trampolines.",
        ],
        set: |settings, given| {
            let text = string(given)?;
            settings.capture.sockets = SocketCapture::ALL
                .into_iter()
                .find(|sockets| sockets.as_str() == text)
                .ok_or_else(|| {
                    let text = quoted(text);
                    format!("{text} is not known: use auto, packets, functions or kprobes")
                })?;
            Ok(())
        },
        show: |settings| Some(toml_string(settings.capture.sockets.as_str())),
        example: "",
    },
    Setting {
        key: "capture.tls",
        doc: &["Take plaintext from TLS libraries."],
        set: |settings, given| {
            settings.capture.tls = boolean(given)?;
            Ok(())
        },
        show: |settings| Some(settings.capture.tls.to_string()),
        example: "",
    },
    Setting {
        key: "capture.ports",
        doc: &[
            "If any are given: only connections with one of these ports, at either end.",
            "What is left out by this and the settings below costs nothing but a look at the first",
            "packet of a connection.",
        ],
        set: |settings, given| {
            settings.capture.filters.ports = list(given, port)?;
            Ok(())
        },
        show: |settings| show_list(settings.capture.filters.ports.iter().map(u16::to_string)),
        example: "",
    },
    Setting {
        key: "capture.exclude_ports",
        doc: &["Leave out connections with one of these ports, at either end."],
        set: |settings, given| {
            settings.capture.filters.exclude_ports = list(given, port)?;
            Ok(())
        },
        show: |settings| {
            let ports = &settings.capture.filters.exclude_ports;
            show_list(ports.iter().map(u16::to_string))
        },
        example: "",
    },
    Setting {
        key: "capture.exclude_addresses",
        doc: &["Leave out connections with an end in one of these networks: [\"10.0.0.0/8\"]."],
        set: |settings, given| {
            settings.capture.filters.exclude_addresses = list(given, network)?;
            Ok(())
        },
        show: |settings| {
            let networks = &settings.capture.filters.exclude_addresses;
            show_list(networks.iter().map(|it| toml_string(&it.to_string())))
        },
        example: "",
    },
    Setting {
        key: "capture.exclude_processes",
        doc: &["Leave out processes of these names, as in /proc/PID/comm: [\"backup\"]."],
        set: |settings, given| {
            settings.capture.filters.exclude_processes = list(given, name)?;
            Ok(())
        },
        show: |settings| {
            let names = &settings.capture.filters.exclude_processes;
            show_list(names.iter().map(|it| toml_string(it)))
        },
        example: "",
    },
    Setting {
        key: "capture.exclude_cgroups",
        doc: &[
            "Leave out these control groups and those below them, by their paths under the root of",
            "cgroup2, as they are at the start: [\"/system.slice/backup.service\"].",
        ],
        set: |settings, given| {
            settings.capture.filters.exclude_cgroups = list(given, name)?;
            Ok(())
        },
        show: |settings| {
            let paths = &settings.capture.filters.exclude_cgroups;
            show_list(paths.iter().map(|it| toml_string(it)))
        },
        example: "",
    },
    Setting {
        key: "capture.body_peek",
        doc: &[
            "First bytes of JSON, XML and form bodies that are read for the name of an operation, the",
            "user of a login, or the code of an error: 0 (off) to 1MiB. Nothing else of them is kept.",
        ],
        set: |settings, given| {
            let bytes = match given {
                Given::Integer(bytes) => bytes,
                given => parse_size(string(given)?)?,
            };
            let bytes = in_range(bytes, &BODY_PEEK, show_size)?;
            settings.capture.body_peek =
                u32::try_from(bytes).map_err(|_| "does not fit 32 bits".to_owned())?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_size(settings.capture.body_peek.into()))),
        example: "",
    },
    Setting {
        key: "capture.cpu_budget",
        doc: &[
            "Thousandths of a processor that a probe may use, from 1 to 100000. One that uses more three",
            "times in a row is taken off until the next start, and that is said: better blind than a",
            "burden.",
        ],
        set: |settings, given| {
            let budget = in_range(integer(given)?, &CPU_BUDGET, |n| n.to_string())?;
            settings.capture.cpu_budget =
                u32::try_from(budget).map_err(|_| "is too large".to_owned())?;
            Ok(())
        },
        show: |settings| Some(settings.capture.cpu_budget.to_string()),
        example: "",
    },
    Setting {
        key: "capture.error_budget",
        doc: &[
            "Percent of what the probes of one source (packets, functions, tls) see that they may fail to",
            "read, from 0 to 100. Those that fail more often three seconds in a row are taken off until",
            "the next start, and that is said. 100 takes nothing off.",
        ],
        set: |settings, given| {
            let budget = in_range(integer(given)?, &ERROR_BUDGET, |n| n.to_string())?;
            settings.capture.error_budget =
                u32::try_from(budget).map_err(|_| "is too large".to_owned())?;
            Ok(())
        },
        show: |settings| Some(settings.capture.error_budget.to_string()),
        example: "",
    },
    Setting {
        key: "capture.calls",
        doc: &[
            "Which thread names, judges and counts calls: \"apart\", one of its own, so that two processors",
            "share the work; \"capture\", the one that captures, which takes a tenth less time for a call.",
            "\"auto\": apart on hosts with three processors and more.",
        ],
        set: |settings, given| {
            let text = string(given)?;
            settings.capture.calls = CallsPlace::ALL
                .into_iter()
                .find(|place| place.as_str() == text)
                .ok_or_else(|| {
                    let text = quoted(text);
                    format!("{text} is not known: use auto, apart or capture")
                })?;
            Ok(())
        },
        show: |settings| Some(toml_string(settings.capture.calls.as_str())),
        example: "",
    },
];

fn port(given: Given<'_>) -> Result<u16, String> {
    let port = in_range(integer(given)?, &PORTS, |n| n.to_string())?;
    u16::try_from(port).map_err(|_| "is no port".to_owned())
}

pub(super) fn network(given: Given<'_>) -> Result<Network, String> {
    let text = string(given)?;
    text.parse()
        .map_err(|why| format!("{} {why}", quoted(text)))
}

fn name(given: Given<'_>) -> Result<String, String> {
    match string(given)? {
        "" => Err("is empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}
