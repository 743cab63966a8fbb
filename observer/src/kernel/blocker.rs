//! Drops what comes from some clients, for a time.
//!
//! The only program that changes what happens to traffic: an object of its own, loaded only where
//! settings ask for it. It hangs on this process: however the agent ends, all clients are let in
//! again, because nothing is pinned and the kernel takes the program off with the last handle.

use std::time::Duration;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData, MapError, PerCpuArray};
use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program};
use aya::{Ebpf, EbpfLoader};
use observer_common::conn::FilterAddress;

use super::cgroup::CgroupRoot;
use super::clock::monotonic_ns;
use super::error::{KernelError, chain};
use super::network::Network;
use super::status::{ProbeOutcome, ProbeStatus};

/// The object as built; empty if there was no bpf-linker.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/block"));

/// Name of the program.
const PROGRAM: &str = "block_in";

/// The program at work. Dropping it lets everybody in.
pub struct Blocker {
    /// Holds the program and its link.
    ebpf: Ebpf,
    blocked: LpmTrie<MapData, FilterAddress, u64>,
    dropped: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocker").finish_non_exhaustive()
    }
}

fn access(name: &'static str) -> impl FnOnce(MapError) -> KernelError {
    move |source| KernelError::MapAccess { name, source }
}

impl Blocker {
    /// Loads and attaches the program. What is in `allow` is never dropped.
    ///
    /// # Errors
    /// If the kernel does not take it.
    pub fn start(allow: &[Network]) -> Result<Self, KernelError> {
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject);
        }
        let mut ebpf = EbpfLoader::new()
            .load(OBJECT)
            .map_err(|error| KernelError::Load(Box::new(error)))?;
        let mut take = |name| ebpf.take_map(name).ok_or(KernelError::Map(name));
        let blocked = LpmTrie::try_from(take("BLOCKED")?).map_err(access("BLOCKED"))?;
        let dropped = PerCpuArray::try_from(take("DROPPED")?).map_err(access("DROPPED"))?;
        // Borrowed: a map that is taken closes with its handle, before the program is loaded.
        fill(
            ebpf.map_mut("ALLOWED").ok_or(KernelError::Map("ALLOWED"))?,
            allow,
        )?;
        let cgroup = CgroupRoot::find()?.open()?;
        let failed = |reason: String| KernelError::Required {
            name: PROGRAM,
            reason,
        };
        let Some(Program::CgroupSkb(program)) = ebpf.program_mut(PROGRAM) else {
            return Err(KernelError::Map(PROGRAM));
        };
        program.load().map_err(|error| failed(chain(&error)))?;
        program
            .attach(
                cgroup,
                CgroupSkbAttachType::Ingress,
                CgroupAttachMode::Single,
            )
            .map_err(|error| failed(chain(&error)))?;
        Ok(Self {
            ebpf,
            blocked,
            dropped,
        })
    }

    /// What becomes of the program here, and the instructions that the verifier walked through
    /// (5.16 and newer). Lets everybody in, before and after.
    pub fn probe() -> (ProbeStatus, Option<u32>) {
        let (outcome, instructions) = match Self::start(&[]) {
            Ok(blocker) => {
                let program = blocker.ebpf.program(PROGRAM);
                let info = program.and_then(|program| program.info().ok());
                let count = info.and_then(|info| info.verified_instruction_count());
                (ProbeOutcome::Attached, count)
            }
            Err(KernelError::Required { reason, .. }) => (ProbeOutcome::Failed(reason), None),
            Err(error) => (ProbeOutcome::Failed(chain(&error)), None),
        };
        let status = ProbeStatus {
            name: PROGRAM,
            hook: "cgroup_skb/ingress",
            purpose: "turns away clients beyond a limit, where settings ask for it",
            required: false,
            outcome,
        };
        (status, instructions)
    }

    /// Drops what comes from `client`, until `time` is over.
    ///
    /// # Errors
    /// If there is no room, or the kernel says no.
    pub fn block(&mut self, client: Network, time: Duration) -> Result<(), KernelError> {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let until = monotonic_ns().saturating_add(time);
        let (prefix, address) = client.key();
        self.blocked
            .insert(&Key::new(prefix, address), &until, 0)
            .map_err(access("BLOCKED"))
    }

    /// Lets `client` in again.
    ///
    /// # Errors
    /// If the kernel says no; not if it was not blocked.
    pub fn unblock(&mut self, client: Network) -> Result<(), KernelError> {
        let (prefix, address) = client.key();
        match self.blocked.remove(&Key::new(prefix, address)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(())
            }
            Err(source) => Err(access("BLOCKED")(source)),
        }
    }

    /// Packets dropped so far.
    pub fn dropped(&self) -> u64 {
        let values = self.dropped.get(&0, 0);
        values.map_or(0, |values| values.iter().sum())
    }

    /// The object this build carries; empty without a kernel half.
    pub fn object() -> &'static [u8] {
        OBJECT
    }
}

fn fill(map: &mut Map, networks: &[Network]) -> Result<(), KernelError> {
    let mut allowed: LpmTrie<&mut MapData, FilterAddress, u8> =
        LpmTrie::try_from(map).map_err(access("ALLOWED"))?;
    for network in networks {
        let (prefix, address) = network.key();
        allowed
            .insert(&Key::new(prefix, address), &1, 0)
            .map_err(access("ALLOWED"))?;
    }
    Ok(())
}
