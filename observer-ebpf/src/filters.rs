//! Connections that settings leave out: told once for each socket, before anything of it is sent.

use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skb_ancestor_cgroup_id, maps::lpm_trie::Key,
};
use observer_common::{
    conn::{
        ConnState, EXCLUDED_NOT, EXCLUDED_UNKNOWN, EXCLUDED_YES, FILTER_CGROUP_LEVELS,
        FILTER_CGROUPS, FILTER_NAMES, FILTER_NETWORKS, FILTER_ONLY_PORTS, FILTER_PORTS, PORT_ONLY,
    },
    event::Tuple,
};

use crate::maps::{CGROUPS, FILTERS, NAMES, NETWORKS, PORTS};

/// A setting leaves this socket out.
#[inline(always)]
pub fn excluded(skb: *mut __sk_buff, state: *mut ConnState, tuple: &Tuple) -> bool {
    let filters = FILTERS.load();
    if filters == 0 {
        return false;
    }
    if unsafe { (*state).excluded } == EXCLUDED_UNKNOWN {
        let out = left_out(skb, tuple, filters) != 0;
        unsafe { (*state).excluded = if out { EXCLUDED_YES } else { EXCLUDED_NOT } };
    }
    // As it stands there: one path to the verifier.
    unsafe { (&raw const (*state).excluded).read_volatile() == EXCLUDED_YES }
}

/// Not 0 if a setting says so. A function of its own, with a stack of its own: the caller's is full.
#[inline(never)]
fn left_out(skb: *mut __sk_buff, tuple: &Tuple, filters: u32) -> u64 {
    let out = by_port(filters, tuple)
        || filters & FILTER_NETWORKS != 0
            && (in_network(tuple.family, &tuple.remote) || in_network(tuple.family, &tuple.local))
        || filters & FILTER_CGROUPS != 0 && in_group(skb);
    u64::from(out)
}

#[inline(always)]
fn by_port(filters: u32, tuple: &Tuple) -> bool {
    if filters & (FILTER_ONLY_PORTS | FILTER_PORTS) == 0 {
        return false;
    }
    let said = |port: u16| unsafe { PORTS.get(&u32::from(port)) }.map_or(0, |said| *said);
    match said(tuple.local_port) | said(tuple.remote_port) {
        0 => filters & FILTER_ONLY_PORTS != 0,
        said => said != PORT_ONLY,
    }
}

#[inline(always)]
fn in_network(family: u8, address: &[u8; 16]) -> bool {
    // Filled in place: two copies of it are too much for the stack, of which kernels before 6.8 count
    // each function's share in steps of 32 bytes.
    let mut key = Key::new(160, [0; 20]);
    key.data[0] = family;
    key.data[4..].copy_from_slice(address);
    NETWORKS.get(&key).is_some()
}

/// The socket's own group or one above it.
#[inline(always)]
fn in_group(skb: *mut __sk_buff) -> bool {
    for level in 1..=FILTER_CGROUP_LEVELS {
        let group = unsafe { bpf_skb_ancestor_cgroup_id(skb, level) };
        if group == 0 {
            return false;
        }
        if unsafe { CGROUPS.get(&group) }.is_some() {
            return true;
        }
    }
    false
}

/// A setting leaves processes of this name out.
#[inline(always)]
pub fn name_excluded(name: &[u8; 16]) -> bool {
    FILTERS.load() & FILTER_NAMES != 0 && unsafe { NAMES.get(name) }.is_some()
}
