//! Connections that settings leave out: told once for each socket, before anything of it is sent.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{
        bpf_get_current_ancestor_cgroup_id, bpf_get_current_comm, bpf_skb_ancestor_cgroup_id,
    },
    maps::lpm_trie::Key,
};
use observer_common::{
    conn::{
        ConnState, EXCLUDED_NOT, EXCLUDED_UNKNOWN, EXCLUDED_YES, FILTER_CGROUP_LEVELS,
        FILTER_CGROUPS, FILTER_NAMES, FILTER_NETWORKS, FILTER_ONLY_PORTS, FILTER_PORTS, PORT_ONLY,
    },
    event::Tuple,
    socket::SocketStream,
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

/// The same for a socket whose bytes are taken at socket functions, by the thread that moves them:
/// a socket there has no packet to ask.
#[inline(always)]
pub fn stream_excluded(state: *mut SocketStream) -> bool {
    let filters = FILTERS.load();
    if filters == 0 {
        return false;
    }
    if unsafe { (*state).excluded } == EXCLUDED_UNKNOWN {
        let out = stream_left_out(state, filters) != 0;
        unsafe { (*state).excluded = if out { EXCLUDED_YES } else { EXCLUDED_NOT } };
    }
    unsafe { (&raw const (*state).excluded).read_volatile() == EXCLUDED_YES }
}

/// As [`left_out`]. A Unix socket has no port and no address.
#[inline(never)]
fn stream_left_out(state: *mut SocketStream, filters: u32) -> u64 {
    let tuple = unsafe { &(*state).tuple };
    if filters & FILTER_NAMES != 0 {
        let mut name = [0; 16];
        unsafe { bpf_get_current_comm(name.as_mut_ptr().cast(), 16) };
        if unsafe { NAMES.get(&name) }.is_some() {
            return 1;
        }
    }
    let group = |level| unsafe { bpf_get_current_ancestor_cgroup_id(level) };
    let out = by_port(filters, tuple)
        || filters & FILTER_NETWORKS != 0
            && (in_network(tuple.family, &tuple.remote) || in_network(tuple.family, &tuple.local))
        || filters & FILTER_CGROUPS != 0 && in_group(group);
    u64::from(out)
}

/// Not 0 if a setting says so. A function of its own, with a stack of its own: the caller's is full.
#[inline(never)]
fn left_out(skb: *mut __sk_buff, tuple: &Tuple, filters: u32) -> u64 {
    let out = by_port(filters, tuple)
        || filters & FILTER_NETWORKS != 0
            && (in_network(tuple.family, &tuple.remote) || in_network(tuple.family, &tuple.local))
        || filters & FILTER_CGROUPS != 0
            && in_group(|level| unsafe { bpf_skb_ancestor_cgroup_id(skb, level) });
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

/// A group or one above it, told by `group` for each level below the root.
#[inline(always)]
fn in_group(group: impl Fn(i32) -> u64) -> bool {
    for level in 1..=FILTER_CGROUP_LEVELS {
        let group = group(level);
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
