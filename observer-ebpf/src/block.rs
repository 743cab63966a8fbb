//! Drops what comes from clients that a setting said to block. An object of its own: the probes that
//! observe cannot drop anything, and this one is loaded only where blocking is asked for.
//!
//! In: packets of every socket on the host, `cgroup_skb` at the root of cgroup2, as they come in.
//! Out: whether each may pass. Never: a packet that is changed, a client on the allow-list that is
//! dropped, or a client that is dropped after its time, whether the user half lives or not.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::undocumented_unsafe_blocks,
        reason = "every helper call is unsafe here; the verifier proves what a comment would claim"
    )
)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod bpf {
    use aya_ebpf::{
        EbpfContext as _,
        bindings::{__sk_buff, BPF_F_NO_PREALLOC},
        helpers::generated::{bpf_ktime_get_ns, bpf_skb_load_bytes},
        macros::{cgroup_skb, map},
        maps::{LpmTrie, PerCpuArray, lpm_trie::Key},
        programs::SkBuffContext,
    };
    use observer_common::{block::BLOCK_ENTRIES, conn::FILTER_ENTRIES, conn::FilterAddress};

    const DROP: i32 = 0;
    const PASS: i32 = 1;
    const ETH_P_IP: u32 = 0x0800;
    const ETH_P_IPV6: u32 = 0x86dd;

    /// Clients that are blocked, with the time of the kernel's clock until which they are,
    /// nanoseconds. Written by the user half.
    #[map]
    static BLOCKED: LpmTrie<FilterAddress, u64> =
        LpmTrie::with_max_entries(BLOCK_ENTRIES, BPF_F_NO_PREALLOC);

    /// Networks that are never blocked. Written by the user half before this runs.
    #[map]
    static ALLOWED: LpmTrie<FilterAddress, u8> =
        LpmTrie::with_max_entries(FILTER_ENTRIES, BPF_F_NO_PREALLOC);

    /// Packets dropped. Summed by the user half.
    #[map]
    static DROPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

    #[cgroup_skb]
    pub fn block_in(ctx: SkBuffContext) -> i32 {
        match try_block(ctx.as_ptr().cast()) {
            Some(()) => DROP,
            None => PASS,
        }
    }

    /// `Some`: the packet is from a client that is blocked.
    #[inline(always)]
    fn try_block(skb: *mut __sk_buff) -> Option<()> {
        let protocol = u32::from(u16::from_be(unsafe { (*skb).protocol } as u16));
        let mut key = Key::new(160, [0_u8; 20]);
        let (family, at, length) = match protocol {
            ETH_P_IP => (4, 12, 4),
            ETH_P_IPV6 => (6, 8, 16),
            _ => return None,
        };
        key.data[0] = family;
        let to = unsafe { key.data.as_mut_ptr().add(4) };
        // Two calls, each with a length that the verifier knows.
        let loaded = if length == 4 {
            unsafe { bpf_skb_load_bytes(skb.cast(), at, to.cast(), 4) }
        } else {
            unsafe { bpf_skb_load_bytes(skb.cast(), at, to.cast(), 16) }
        };
        if loaded != 0 {
            return None;
        }
        let until = *BLOCKED.get(&key)?;
        if unsafe { bpf_ktime_get_ns() } >= until || ALLOWED.get(&key).is_some() {
            return None;
        }
        if let Some(count) = DROPPED.get_ptr_mut(0) {
            unsafe { *count += 1 };
        }
        Some(())
    }

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    /// As of the probes.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
