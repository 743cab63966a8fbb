//! Loads the kernel half and hands out its parts.

use std::fmt;
use std::os::fd::AsRawFd;

use aya::maps::{Map, MapData, SkStorage};
use aya::util::nr_cpus;
use aya::{Btf, Ebpf, EbpfLoader};
use observer_common::conn::ConnState;
use observer_common::socket::{TCP_BY_FUNCTIONS, TCP_BY_PACKETS};

use super::cgroup::CgroupRoot;
use super::control::Controls;
use super::error::KernelError;
use super::filters::CaptureFilters;
use super::function_probes::{
    FUNCTION_PROBES, TCP_NEEDS, UNIX_NEEDS, again_of, kernel_tls, unwanted,
};
use super::layout::Layout;
use super::ledger::LedgerReader;
use super::many_probes::for_this_kernel;
use super::probe_table::{Hook, PROBES};
use super::probes::{not_tried, settle, start};
use super::ring::{Rings, number_of_rings};
use super::socket_capture::SocketCapture;
use super::status::{ProbeOutcome, ProbeStatus};

/// The kernel half as built; empty if there was no bpf-linker.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer"));

/// Part of a ring that may fill before the reader is woken ahead of its poll: one eighth leaves
/// seven for what arrives until it runs.
const WAKE_DIVISOR: u64 = 8;

/// From this part of a ring on only heads of messages are taken.
const CROWDED: (u64, u64) = (3, 4);

/// What the kernel half needs to know at load time.
#[derive(Clone, Debug)]
pub struct KernelSettings {
    /// Size of all rings together, bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// How many rings, a power of two; `None`: as many as suit the processors.
    pub rings: Option<u32>,
    /// Deliver both ends of connections between two programs of this host.
    pub both_sides: bool,
    /// Where the bytes of sockets are taken.
    pub sockets: SocketCapture,
    /// First bytes of a body that are taken if they may name an operation or an error.
    pub body_peek: u32,
    /// What is left out.
    pub filters: CaptureFilters,
}

/// The loaded kernel half. Dropping it detaches and unloads everything.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    pub(super) probes: Vec<ProbeStatus>,
    cgroup: CgroupRoot,
    sockets: SocketCapture,
    /// Plain TCP is captured by socket functions.
    tcp_by_functions: bool,
    own: Option<SkStorage<MapData, ConnState>>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ebpf: _,
            probes,
            cgroup,
            sockets,
            tcp_by_functions,
            own: _,
        } = self;
        f.debug_struct("Kernel")
            .field("probes", probes)
            .field("cgroup", cgroup)
            .field("sockets", sockets)
            .field("tcp_by_functions", tcp_by_functions)
            .finish_non_exhaustive()
    }
}

/// What other threads take of the kernel half.
#[derive(Debug)]
pub struct Parts {
    /// Events.
    pub rings: Rings,
    /// The books.
    pub ledger: LedgerReader,
    /// What the parser tells the kernel.
    pub controls: Controls,
}

impl Kernel {
    /// Loads the object, then every probe of the table; fails only if a required one fails.
    ///
    /// `own` is a socket of the agent that does not listen yet: it and what it accepts are never
    /// observed.
    pub fn start(
        settings: &KernelSettings,
        own: Option<&impl AsRawFd>,
    ) -> Result<(Self, Parts), KernelError> {
        let by_functions = settings.sockets.by_functions();
        match Self::try_start(settings, by_functions, own) {
            // Packets do not load: what else could take TCP?
            Err(first) if settings.sockets == SocketCapture::Auto && first.is_of_a_probe() => {
                // Said in the log too: a fallback that nobody hears of hides a fault.
                tracing::warn!(reason = %first, "packets do not load: TCP is seen at socket functions");
                Self::try_start(settings, true, own)
                    .map(|(mut kernel, parts)| {
                        kernel.packets_failed(&first);
                        (kernel, parts)
                    })
                    .map_err(|_| first)
            }
            other => other,
        }
    }

    fn try_start(
        settings: &KernelSettings,
        tcp_by_functions: bool,
        own: Option<&impl AsRawFd>,
    ) -> Result<(Self, Parts), KernelError> {
        let (mut kernel, parts) = Self::load(settings, tcp_by_functions)?;
        if let Some(socket) = own {
            kernel.exclude(socket)?;
        }
        kernel.attach()?;
        Ok((kernel, parts))
    }

    /// The packet programs did not load; functions do their work.
    fn packets_failed(&mut self, error: &KernelError) {
        if let KernelError::Required { name, reason } = error
            && let Some(probe) = self.probes.iter_mut().find(|probe| probe.name == *name)
        {
            probe.outcome = ProbeOutcome::Failed(reason.clone());
        }
    }

    /// Does a probe run that tells which process moves the bytes of a socket?
    pub fn tells_processes(&self) -> bool {
        const TELLING: [&str; 4] = [
            "socket_received",
            "inet_received",
            "inet_received_by_cookie",
            "tcp_bytes_received",
        ];
        TELLING.iter().any(|name| self.run(&[name]))
    }

    /// As [`Self::start`], but a required probe that fails is only reported.
    pub fn probe(settings: &KernelSettings) -> Result<(Self, Parts), KernelError> {
        let none: Option<&std::fs::File> = None;
        match Self::start(settings, none) {
            Err(KernelError::Required { .. }) => {
                let by_functions = settings.sockets.by_functions();
                let (mut kernel, parts) = Self::load(settings, by_functions)?;
                match kernel.attach() {
                    Ok(()) | Err(KernelError::Required { .. }) => Ok((kernel, parts)),
                    Err(error) => Err(error),
                }
            }
            other => other,
        }
    }

    fn load(
        settings: &KernelSettings,
        tcp_by_functions: bool,
    ) -> Result<(Self, Parts), KernelError> {
        let KernelSettings {
            ring_bytes,
            rings,
            both_sides,
            sockets,
            body_peek,
            ref filters,
        } = *settings;
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject);
        }
        let btf = Btf::from_sys_fs().map_err(KernelError::Btf)?;
        let own_tgid = std::process::id();
        let rings = match rings {
            Some(rings) => rings,
            None => {
                let processors =
                    nr_cpus().map_err(|(call, source)| KernelError::System { call, source })?;
                number_of_rings(processors.get(), ring_bytes)
            }
        };
        let ring_bytes = ring_bytes / rings;
        let ring_mask = rings - 1;
        let wake_bytes = u64::from(ring_bytes) / WAKE_DIVISOR;
        let crowded_bytes = u64::from(ring_bytes) * CROWDED.0 / CROWDED.1;
        let both_sides = u8::from(both_sides);
        let filter_bits = filters.bits();
        let tcp_capture = if tcp_by_functions {
            TCP_BY_FUNCTIONS
        } else {
            TCP_BY_PACKETS
        };
        let Layout {
            constants,
            kind_mask,
        } = Layout::of_this_kernel();
        let mut loader = EbpfLoader::new();
        for (constant, value) in &constants {
            loader.override_global(constant, value, true);
        }
        let mut ebpf = loader
            .btf(&btf)
            .map_max_entries("RINGS", rings)
            .override_global("RING_MASK", &ring_mask, true)
            .override_global("OWN_TGID", &own_tgid, true)
            .override_global("WAKE_BYTES", &wake_bytes, true)
            .override_global("CROWDED_BYTES", &crowded_bytes, true)
            .override_global("FILTERS", &filter_bits, true)
            .override_global("BOTH_SIDES", &both_sides, true)
            .override_global("BODY_PEEK", &body_peek, true)
            .override_global("ITER_KIND_MASK", &kind_mask, true)
            .override_global("TCP_CAPTURE", &tcp_capture, true)
            .load(&for_this_kernel(OBJECT))
            .map_err(|error| KernelError::Load(Box::new(error)))?;
        let map = ebpf.map_mut("RINGS").ok_or(KernelError::Map("RINGS"))?;
        let rings = Rings::new(map, rings, ring_bytes)?;
        let mut take = |name| ebpf.take_map(name).ok_or(KernelError::Map(name));
        let parts = Parts {
            rings,
            ledger: LedgerReader::new(take("LEDGER")?, take("PROTOCOLS")?)?,
            controls: Controls::new(take("CONTROL")?, take("TLS_CONTROL")?)?,
        };
        let own = match take("CONNS")? {
            Map::SkStorage(data) => SkStorage::try_from(Map::SkStorage(data)).ok(),
            _ => None,
        };
        let cgroup = CgroupRoot::find()?;
        if filter_bits != 0 {
            filters.tell(&mut ebpf, &cgroup.path)?;
        }
        let kernel = Self {
            ebpf,
            probes: Vec::new(),
            cgroup,
            sockets,
            tcp_by_functions,
            own,
        };
        Ok((kernel, parts))
    }

    fn attach(&mut self) -> Result<(), KernelError> {
        let btf = Btf::from_sys_fs().map_err(KernelError::Btf)?;
        let cgroup = self.cgroup.open()?;
        self.probes.clear();
        for probe in &PROBES {
            let library = matches!(probe.hook, Hook::Library);
            let status = if self.tcp_by_functions && !library {
                not_tried(probe, "socket functions do its work")
            } else {
                start(probe, &self.probes, &mut self.ebpf, &btf, &cgroup)
            };
            self.probes.push(status);
        }
        settle(PROBES.iter(), &mut self.probes);
        let kernel_tls = kernel_tls();
        for (takes, probe) in &FUNCTION_PROBES {
            let unwanted = unwanted(
                *takes,
                probe,
                self.sockets,
                self.tcp_by_functions,
                kernel_tls,
            );
            // Where trampolines are not wanted, what replaces them is required.
            let needed = TCP_NEEDS.contains(&probe.instead_of.unwrap_or(probe.name));
            let first = probe.instead_of.is_none() != (self.sockets == SocketCapture::Kprobes);
            let required = self.tcp_by_functions && needed && first;
            let status = match unwanted {
                Some(reason) => not_tried(probe, reason),
                None => start(probe, &self.probes, &mut self.ebpf, &btf, &cgroup),
            };
            self.probes.push(ProbeStatus { required, ..status });
        }
        let rows = FUNCTION_PROBES.iter().map(|(_, probe)| probe);
        settle(rows, &mut self.probes);
        self.check_order();
        for probe in &self.probes {
            if let (true, ProbeOutcome::Failed(reason)) = (probe.required, &probe.outcome) {
                return Err(KernelError::Required {
                    name: probe.name,
                    reason: reason.clone(),
                });
            }
        }
        Ok(())
    }

    /// What became of each probe.
    pub fn probes(&self) -> &[ProbeStatus] {
        &self.probes
    }

    /// Whether all of these probes run, or what does their work.
    fn run(&self, names: &[&str]) -> bool {
        let attached = |name: &str| {
            self.probes
                .iter()
                .any(|probe| probe.name == name && probe.outcome == ProbeOutcome::Attached)
        };
        let rows = FUNCTION_PROBES.iter().map(|(_, probe)| probe);
        names.iter().all(|name| {
            let mut instead = rows.clone().filter(|row| row.instead_of == Some(name));
            attached(name) || instead.any(|row| attached(row.name))
        })
    }

    /// What takes the bytes of TCP: `packets`, `socket functions`, or nothing.
    pub fn tcp_source(&self) -> Option<&'static str> {
        if self.tcp_by_functions {
            return self.run(&TCP_NEEDS).then_some("socket functions");
        }
        self.run(&["packets_in", "packets_out"])
            .then_some("packets")
    }

    /// Whether Unix sockets are seen.
    pub fn sees_unix_sockets(&self) -> bool {
        self.run(&UNIX_NEEDS)
    }

    /// Whether the plaintext of the kernel's TLS is seen; `None` where that is not in use.
    pub fn sees_kernel_tls(&self) -> Option<bool> {
        kernel_tls().then(|| self.run(&TCP_NEEDS))
    }

    /// Where the packet probes are attached.
    pub const fn cgroup(&self) -> &CgroupRoot {
        &self.cgroup
    }

    /// Marks a socket of the agent, so that it is never observed, nor what it accepts. Before the
    /// socket listens: what was accepted earlier has no mark.
    fn exclude(&mut self, socket: &impl AsRawFd) -> Result<(), KernelError> {
        let own = self.own.as_mut().ok_or(KernelError::Map("CONNS"))?;
        let state = ConnState {
            own: 1,
            ..ConnState::default()
        };
        own.insert(socket, &state, 0)
            .map_err(|source| KernelError::MapAccess {
                name: "CONNS",
                source,
            })
    }

    /// Whether TLS probes carry a cookie (5.15 and newer).
    pub(super) fn cookies(&self) -> bool {
        self.probes
            .iter()
            .any(|probe| probe.name == "tls_enter" && matches!(probe.outcome, ProbeOutcome::Loaded))
    }

    /// Instructions that the verifier walked through for each loaded program, or for its second one
    /// if those are more; told by 5.16 and newer.
    pub fn programs(&self) -> Vec<(String, u32)> {
        let count = |name: &str| {
            let program = self.ebpf.program(name)?;
            program.info().ok()?.verified_instruction_count()
        };
        let counts = self.ebpf.programs().filter_map(|(name, _)| {
            let again = again_of(name).and_then(count);
            Some((name.to_owned(), count(name)?.max(again.unwrap_or(0))))
        });
        let mut programs: Vec<_> = counts.collect();
        programs.sort();
        programs
    }

    /// The object this build carries; empty without a kernel half.
    pub fn object() -> &'static [u8] {
        OBJECT
    }
}
