//! The observer's kernel half: read-only probes on packets, sockets and TLS library functions.
//!
//! One file per hook family; `maps.rs` says who writes and who reads each map. Nothing here
//! writes to an observed process, to its packets or to a socket: the helpers used are listed in
//! the user half's allow-list and a test holds the loaded programs against it.
//!
//! Programs that may run in a process (uprobes) are preemptible: they keep no per-CPU scratch and
//! a small stack, and build events in the ring's own memory.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::undocumented_unsafe_blocks,
        reason = "every helper call is unsafe here; the verifier proves what a comment would claim"
    )
)]

#[cfg(target_arch = "bpf")]
mod filters;
#[cfg(target_arch = "bpf")]
mod first_bytes;
#[cfg(target_arch = "bpf")]
mod functions;
#[cfg(target_arch = "bpf")]
mod heads;
#[cfg(target_arch = "bpf")]
mod ledger;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod msg_iter;
#[cfg(target_arch = "bpf")]
mod openings;
#[cfg(target_arch = "bpf")]
mod packets;
#[cfg(target_arch = "bpf")]
mod payload;
#[cfg(target_arch = "bpf")]
mod ring;
#[cfg(target_arch = "bpf")]
mod skipping;
#[cfg(target_arch = "bpf")]
mod socket_bytes;
#[cfg(target_arch = "bpf")]
mod socket_functions;
#[cfg(target_arch = "bpf")]
mod socket_kprobes;
#[cfg(target_arch = "bpf")]
mod socket_stream;
#[cfg(target_arch = "bpf")]
mod socket_wanted;
#[cfg(target_arch = "bpf")]
mod sockets;
#[cfg(target_arch = "bpf")]
mod tls;
#[cfg(target_arch = "bpf")]
mod tls_go;
#[cfg(target_arch = "bpf")]
mod tls_rustls;
#[cfg(target_arch = "bpf")]
mod tls_without_cookie;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel gives some helpers to GPL-compatible programs only (ring buffer, tracing).
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
