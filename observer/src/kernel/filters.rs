//! Connections that settings leave out, told to the kernel half before its probes run.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, Map, MapError};
use observer_common::conn::{
    FILTER_CGROUPS, FILTER_NAMES, FILTER_NETWORKS, FILTER_ONLY_PORTS, FILTER_PORTS, FilterAddress,
    PORT_EXCLUDED, PORT_ONLY,
};

use super::error::KernelError;
use super::network::Network;
use crate::call::ApiCall;

/// Bytes of a process name with its final zero (kernel `TASK_COMM_LEN`).
const NAME: usize = 16;

/// What of a host's traffic is not wanted. The kernel half decides at the first payload of each
/// socket; at most 256 entries each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureFilters {
    /// If any: only connections with one of these ports at either end.
    pub ports: Vec<u16>,
    /// No connection with one of these ports at either end.
    pub exclude_ports: Vec<u16>,
    /// No connection with an end in one of these.
    pub exclude_addresses: Vec<Network>,
    /// Nothing of processes with these names (`/proc/PID/comm`).
    pub exclude_processes: Vec<String>,
    /// Nothing of these control groups, paths below the root of cgroup2, nor of groups below them.
    pub exclude_cgroups: Vec<String>,
}

impl CaptureFilters {
    /// The `FILTER_` bits of those that have entries.
    pub(super) fn bits(&self) -> u32 {
        let Self {
            ports,
            exclude_ports,
            exclude_addresses,
            exclude_processes,
            exclude_cgroups,
        } = self;
        let bit = |empty: bool, bit: u32| if empty { 0 } else { bit };
        bit(ports.is_empty(), FILTER_ONLY_PORTS)
            | bit(exclude_ports.is_empty(), FILTER_PORTS)
            | bit(exclude_addresses.is_empty(), FILTER_NETWORKS)
            | bit(exclude_processes.is_empty(), FILTER_NAMES)
            | bit(exclude_cgroups.is_empty(), FILTER_CGROUPS)
    }

    /// A filter by connection is in force.
    fn by_connection(&self) -> bool {
        self.bits() & !FILTER_NAMES != 0
    }

    /// What the kernel half could not leave out: calls made before their process was known, and
    /// plaintext of TLS whose addresses are not known, which cannot pass a filter of those. What
    /// has no addresses and no TLS went over a Unix socket, of which the kernel half knows all.
    pub fn leaves_out(&self, call: &ApiCall) -> bool {
        let process = call.process.as_ref();
        process.is_some_and(|process| self.excludes_process(&process.name))
            || call.server.is_none() && call.scheme == "https" && self.by_connection()
    }

    /// A process of this name is left out.
    fn excludes_process(&self, name: &str) -> bool {
        // The kernel knows the first 15 bytes of a name.
        let cut = |name: &str| name.bytes().take(NAME - 1).collect::<Vec<u8>>();
        self.exclude_processes
            .iter()
            .any(|excluded| cut(excluded) == cut(name))
    }

    /// Fills the kernel half's maps. `root` is that of cgroup2.
    pub(super) fn tell(&self, ebpf: &mut Ebpf, root: &Path) -> Result<(), KernelError> {
        let mut ports: HashMap<_, u32, u8> = map(ebpf, "PORTS")?;
        for (list, said) in [
            (&self.ports, PORT_ONLY),
            (&self.exclude_ports, PORT_EXCLUDED),
        ] {
            for &port in list {
                let put = ports.insert(&u32::from(port), &said, 0);
                put.map_err(access("PORTS"))?;
            }
        }
        let mut names: HashMap<_, [u8; NAME], u8> = map(ebpf, "NAMES")?;
        for name in &self.exclude_processes {
            let mut key = [0; NAME];
            for (to, byte) in key.iter_mut().take(NAME - 1).zip(name.bytes()) {
                *to = byte;
            }
            names.insert(&key, &1, 0).map_err(access("NAMES"))?;
        }
        let mut networks: LpmTrie<_, FilterAddress, u8> = map(ebpf, "NETWORKS")?;
        for network in &self.exclude_addresses {
            let (prefix, address) = network.key();
            let put = networks.insert(&Key::new(prefix, address), &1, 0);
            put.map_err(access("NETWORKS"))?;
        }
        let mut groups: HashMap<_, u64, u8> = map(ebpf, "CGROUPS")?;
        for path in &self.exclude_cgroups {
            match fs::metadata(root.join(path.trim_start_matches('/'))) {
                // The number of a control group is that of its folder.
                Ok(folder) => {
                    let put = groups.insert(&folder.ino(), &1, 0);
                    put.map_err(access("CGROUPS"))?;
                }
                Err(error) => tracing::warn!(
                    path,
                    %error,
                    "a control group to leave out is not there now: nothing is left out for it"
                ),
            }
        }
        Ok(())
    }
}

/// Borrowed: a map that is taken closes with its handle, before the programs are loaded.
fn map<'a, T: TryFrom<&'a mut Map, Error = MapError>>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<T, KernelError> {
    let map = ebpf.map_mut(name).ok_or(KernelError::Map(name))?;
    T::try_from(map).map_err(access(name))
}

fn access(name: &'static str) -> impl FnOnce(MapError) -> KernelError {
    move |source| KernelError::MapAccess { name, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_filters_with_entries_are_in_force() {
        let mut filters = CaptureFilters::default();
        assert_eq!((filters.bits(), filters.by_connection()), (0, false));
        filters.exclude_processes.push("backup".to_owned());
        assert_eq!(
            (filters.bits(), filters.by_connection()),
            (FILTER_NAMES, false)
        );
        filters.ports.push(80);
        assert!(filters.by_connection());
    }

    #[test]
    fn without_addresses_only_tls_cannot_pass_a_filter_of_them() {
        let filters = CaptureFilters {
            exclude_ports: vec![81],
            ..CaptureFilters::default()
        };
        let mut call: ApiCall = crate::call::Recorded::default().into();
        call.server = None;
        call.scheme = "http";
        assert!(!filters.leaves_out(&call), "a Unix socket has no address");
        call.scheme = "https";
        assert!(filters.leaves_out(&call));
        assert!(!CaptureFilters::default().leaves_out(&call));
    }

    #[test]
    fn names_are_compared_as_far_as_the_kernel_knows_them() {
        let filters = CaptureFilters {
            exclude_processes: vec!["a-very-long-process-name".to_owned()],
            ..CaptureFilters::default()
        };
        assert!(filters.excludes_process("a-very-long-pro"));
        assert!(!filters.excludes_process("a-very-long"));
    }
}
