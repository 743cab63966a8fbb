//! Loads the kernel half and hands out its parts.

use std::fmt;
use std::os::fd::AsRawFd;

use aya::maps::{Map, MapData, SkStorage};
use aya::{Btf, Ebpf, EbpfLoader};
use observer_common::conn::ConnState;

use super::btf::KernelTypes;
use super::cgroup::CgroupRoot;
use super::control::Controls;
use super::error::KernelError;
use super::filters::CaptureFilters;
use super::ledger::LedgerReader;
use super::probes::{PROBES, settle, start};
use super::ring::Ring;
use super::status::{ProbeOutcome, ProbeStatus};

/// The kernel half as built; empty if there was no bpf-linker.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer"));

/// Part of the ring that may fill before the reader is woken ahead of its poll: one eighth leaves
/// seven for what arrives until it runs.
const WAKE_DIVISOR: u64 = 8;

/// From this part of the ring on only heads of messages are taken.
const CROWDED: (u64, u64) = (3, 4);

/// What the kernel half needs to know at load time.
#[derive(Clone, Debug)]
pub struct KernelSettings {
    /// Size of the ring, bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Deliver both ends of connections between two programs of this host.
    pub both_sides: bool,
    /// What is left out.
    pub filters: CaptureFilters,
}

/// Places in the kernel's structures that programs need; all ones where this kernel has none, and
/// the program that needs it then does nothing.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    socket_sk: u32,
    sock_cookie: u32,
}

impl Offsets {
    fn of_this_kernel() -> Self {
        let types = KernelTypes::of_this_kernel();
        if let Err(error) = &types {
            tracing::warn!(%error, "the kernel's types cannot be read");
        }
        let offset = |structure, path: &[&str]| {
            let types = types.as_ref().ok()?;
            types.offset(structure, path)
        };
        Self {
            socket_sk: offset("socket", &["sk"]).unwrap_or(u32::MAX),
            sock_cookie: offset("sock", &["__sk_common", "skc_cookie"]).unwrap_or(u32::MAX),
        }
    }
}

/// The loaded kernel half. Dropping it detaches and unloads everything.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    probes: Vec<ProbeStatus>,
    cgroup: CgroupRoot,
    own: Option<SkStorage<MapData, ConnState>>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ebpf: _,
            probes,
            cgroup,
            own: _,
        } = self;
        f.debug_struct("Kernel")
            .field("probes", probes)
            .field("cgroup", cgroup)
            .finish_non_exhaustive()
    }
}

/// What other threads take of the kernel half.
#[derive(Debug)]
pub struct Parts {
    /// Events.
    pub ring: Ring,
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
        let (mut kernel, parts) = Self::load(settings)?;
        if let Some(socket) = own {
            kernel.exclude(socket)?;
        }
        kernel.attach()?;
        Ok((kernel, parts))
    }

    /// As [`Self::start`], but a required probe that fails is only reported.
    pub fn probe(settings: &KernelSettings) -> Result<(Self, Parts), KernelError> {
        let (mut kernel, parts) = Self::load(settings)?;
        match kernel.attach() {
            Ok(()) | Err(KernelError::Required { .. }) => Ok((kernel, parts)),
            Err(error) => Err(error),
        }
    }

    fn load(settings: &KernelSettings) -> Result<(Self, Parts), KernelError> {
        let KernelSettings {
            ring_bytes,
            both_sides,
            ref filters,
        } = *settings;
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject);
        }
        let btf = Btf::from_sys_fs().map_err(KernelError::Btf)?;
        let own_tgid = std::process::id();
        let wake_bytes = u64::from(ring_bytes) / WAKE_DIVISOR;
        let crowded_bytes = u64::from(ring_bytes) * CROWDED.0 / CROWDED.1;
        let both_sides = u8::from(both_sides);
        let filter_bits = filters.bits();
        let Offsets {
            socket_sk,
            sock_cookie,
        } = Offsets::of_this_kernel();
        let mut ebpf = EbpfLoader::new()
            .btf(&btf)
            .map_max_entries("EVENTS", ring_bytes)
            .override_global("OWN_TGID", &own_tgid, true)
            .override_global("WAKE_BYTES", &wake_bytes, true)
            .override_global("CROWDED_BYTES", &crowded_bytes, true)
            .override_global("FILTERS", &filter_bits, true)
            .override_global("BOTH_SIDES", &both_sides, true)
            .override_global("SOCKET_SK", &socket_sk, true)
            .override_global("SOCK_COOKIE", &sock_cookie, true)
            .load(OBJECT)
            .map_err(|error| KernelError::Load(Box::new(error)))?;
        let mut take = |name| ebpf.take_map(name).ok_or(KernelError::Map(name));
        let parts = Parts {
            ring: Ring::new(take("EVENTS")?)?,
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
            own,
        };
        Ok((kernel, parts))
    }

    fn attach(&mut self) -> Result<(), KernelError> {
        let btf = Btf::from_sys_fs().map_err(KernelError::Btf)?;
        let cgroup = self.cgroup.open()?;
        self.probes.clear();
        for probe in &PROBES {
            let status = start(probe, &self.probes, &mut self.ebpf, &btf, &cgroup);
            self.probes.push(status);
        }
        settle(&mut self.probes);
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

    /// Instructions that the verifier walked through for each loaded program; told by 5.16 and
    /// newer.
    pub fn programs(&self) -> Vec<(String, u32)> {
        let counts = self.ebpf.programs().filter_map(|(name, program)| {
            let count = program.info().ok()?.verified_instruction_count()?;
            Some((name.to_owned(), count))
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
