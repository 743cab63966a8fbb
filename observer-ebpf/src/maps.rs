//! Every map, with who writes it and who reads it. User half sizes some of them at load.

use core::cell::UnsafeCell;

use aya_ebpf::{
    Global,
    bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, bpf_map_type::BPF_MAP_TYPE_SK_STORAGE},
    btf_maps::{ArrayOfMaps, RingBuf},
    macros::{btf_map, map},
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray},
};
use observer_common::{
    conn::{ConnState, Control, FILTER_ENTRIES, FilterAddress, Mover, PROTOCOLS as PROTOCOL_COUNT},
    counter::{LedgerRow, SOURCES},
    event::{EventHeader, MOST_RINGS},
    socket::{FunctionCall, SocketStream},
    tls::{RecordCall, TlsCall, TlsControl, TlsKey, TlsStream},
};

use crate::{
    heads::Head,
    ring::{HEAD, LARGEST},
};

/// Socket-local storage whose value a socket accepted from a listener inherits.
///
/// Defined here because aya's own has fixed flags. The field names are what the loader looks for
/// in BTF (kernel `tools/lib/bpf/bpf_helpers.h`, `__uint` and `__type`).
#[repr(C)]
pub struct InheritedSkStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: the fields are placeholders for the loader and are never dereferenced.
unsafe impl<T> Sync for InheritedSkStorage<T> {}

impl<T> InheritedSkStorage<T> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// For the `bpf_sk_storage_` helpers.
    #[inline(always)]
    pub fn as_ptr(&self) -> *mut core::ffi::c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// State of each TCP socket. Written and read by packets and sockets; the user half writes the
/// observer's own listeners.
#[btf_map]
pub static CONNS: InheritedSkStorage<ConnState> = InheritedSkStorage::new();

/// What the user half says of a socket, by cookie. Written by the user half; packets read it and
/// clear a skip that is passed.
#[map]
pub static CONTROL: LruHashMap<u64, Control> = LruHashMap::with_max_entries(16_384, 0);

/// Openings answered by a listener of this host, by link. Written when a SYN-ACK leaves; read when
/// it arrives at a socket of this host, and when data completes the handshake. Old ones make room.
#[map]
pub static SERVED: LruHashMap<u64, u8> = LruHashMap::with_max_entries(16_384, 0);

/// Who moves the bytes of a socket, by cookie, on kernels whose tracing programs have no
/// socket-local storage. Written and read by the functions of such kernels.
#[map]
pub static MOVERS: LruHashMap<u64, Mover> = LruHashMap::with_max_entries(65_536, 0);

/// Sockets whose bytes are taken at socket functions, by address. Written and read by those; an
/// entry goes when its socket closes, and the least used make room.
#[map]
pub static SOCKETS: LruHashMap<u64, SocketStream> = LruHashMap::with_max_entries(32_768, 0);

/// A zeroed value to insert from. Written by nobody.
#[map]
pub static SOCKET_NEW: Array<SocketStream> = Array::with_max_entries(1, 0);

/// 1 if the second of two programs at one socket function ran last for a call of the agent itself,
/// 0 if the first did: so the agent learns in which order the kernel runs them.
#[map]
pub static LAST_LOOK: Array<u32> = Array::with_max_entries(1, 0);

/// Threads inside a socket function, where its end does not show its arguments, by thread and
/// function. Written at its beginning, removed at its end.
#[map]
pub static FUNCTION_CALLS: LruHashMap<u64, FunctionCall> = LruHashMap::with_max_entries(16_384, 0);

/// Threads inside a TLS library call. Written at its entry, removed at its return; sockets read it.
#[map]
pub static TLS_CALLS: LruHashMap<u64, TlsCall> = LruHashMap::with_max_entries(16_384, 0);

/// Goroutines that read or write with Go's own TLS: what they move, or moved last. Written by its
/// probes, removed where a read returns. A server keeps one waiting in a read for each connection;
/// old ones make room.
#[map]
pub static GO_CALLS: LruHashMap<u64, TlsCall> = LruHashMap::with_max_entries(65_536, 0);

/// A zeroed call, as [`TLS_NEW`] is for streams.
#[map]
pub static GO_NEW: Array<TlsCall> = Array::with_max_entries(1, 0);

/// Threads inside the record layer of rustls. Written at its entry, removed when it is done.
#[map]
pub static RECORD_CALLS: LruHashMap<u64, RecordCall> = LruHashMap::with_max_entries(16_384, 0);

/// A zeroed call, as [`TLS_NEW`] is for streams.
#[map]
pub static RECORD_NEW: Array<RecordCall> = Array::with_max_entries(1, 0);

/// TLS objects. Written by TLS probes; sockets write the cookie they are bound to.
#[map]
pub static TLS_STREAMS: LruHashMap<TlsKey, TlsStream> = LruHashMap::with_max_entries(65_536, 0);

/// What the user half says of a TLS object, by the number of its life. Written by the user half;
/// TLS probes read it.
#[map]
pub static TLS_CONTROL: LruHashMap<u64, TlsControl> = LruHashMap::with_max_entries(16_384, 0);

/// A zeroed value to insert from, so that TLS probes need no room for it on their stack. Written by
/// nobody.
#[map]
pub static TLS_NEW: Array<TlsStream> = Array::with_max_entries(1, 0);

/// The books. Written by every probe, summed by the user half.
#[map]
pub static LEDGER: PerCpuArray<LedgerRow> = PerCpuArray::with_max_entries(SOURCES, 0);

/// Connections that are not HTTP, by protocol. Written by packets, summed by the user half.
#[map]
pub static PROTOCOLS: PerCpuArray<u64> = PerCpuArray::with_max_entries(PROTOCOL_COUNT, 0);

/// The head of a message that is looked at. Written and read by whatever takes bytes.
#[map]
pub static HEADS: PerCpuArray<Head> = PerCpuArray::with_max_entries(1, 0);

/// Ports that settings name, and which way. Written by the user half, read by packets.
#[map]
pub static PORTS: HashMap<u32, u8> = HashMap::with_max_entries(FILTER_ENTRIES, 0);

/// Networks that are left out. Written by the user half, read by packets.
#[map]
pub static NETWORKS: LpmTrie<FilterAddress, u8> =
    LpmTrie::with_max_entries(FILTER_ENTRIES, BPF_F_NO_PREALLOC);

/// Control groups that are left out, by their number. Written by the user half, read by packets.
#[map]
pub static CGROUPS: HashMap<u64, u8> = HashMap::with_max_entries(FILTER_ENTRIES, 0);

/// Names of processes that are left out. Written by the user half, read by sockets.
#[map]
pub static NAMES: HashMap<[u8; 16], u8> = HashMap::with_max_entries(FILTER_ENTRIES, 0);

/// A ring of events. The user half makes them, of the size that settings say; the size here is that
/// of the pattern the kernel is shown at load.
pub type EventRing = RingBuf<EventHeader, 4096>;

/// Events to the user half, in as many rings as it has made: a power of two.
#[btf_map]
pub static RINGS: ArrayOfMaps<EventRing, { MOST_RINGS as usize }> = ArrayOfMaps::new();

/// Constants whose values the verifier does not know, so that paths which differ in nothing else are
/// one to it: it would walk through the sending of an event once for each value.
#[repr(transparent)]
pub struct Opaque<const N: usize>(UnsafeCell<[u32; N]>);

// SAFETY: nobody writes.
unsafe impl<const N: usize> Sync for Opaque<N> {}

impl<const N: usize> Opaque<N> {
    const fn new(values: [u32; N]) -> Self {
        Self(UnsafeCell::new(values))
    }

    /// One of the values.
    #[inline(always)]
    pub fn get(&self, at: usize) -> u32 {
        unsafe { self.0.get().cast::<u32>().add(at).read_volatile() }
    }
}

/// What an event is captured of at most, by the `MOST_` numbers. Written by nobody; in a section
/// that the kernel takes to be writable.
pub static MOST: Opaque<3> = Opaque::new([LARGEST, HEAD, LARGEST_HELLO | HELLO]);
/// All of it, as far as an event can hold it.
pub const MOST_WHOLE: usize = 0;
/// While the ring is crowded.
pub const MOST_HEAD: usize = 1;
/// Packets that may hold a hello of TLS.
pub const MOST_HELLO: usize = 2;
/// Bit of a value of [`MOST`]: the payload is booked as TLS.
pub const HELLO: u32 = 1 << 31;

/// What the first packets of a TLS connection are captured of, bytes each: a ClientHello with
/// post-quantum key shares has 1.7 KiB and goes out in two packets; a ServerHello has 130 bytes.
const LARGEST_HELLO: u32 = 2048;

/// The observer's own process, which is never observed.
#[unsafe(no_mangle)]
pub static OWN_TGID: Global<u32> = Global::new(0);
/// 1: deliver both ends of a connection between two programs of this host.
#[unsafe(no_mangle)]
pub static BOTH_SIDES: Global<u8> = Global::new(0);
/// `FILTER_` bits of the filters that have entries.
#[unsafe(no_mangle)]
pub static FILTERS: Global<u32> = Global::new(0);
/// Number of rings less one.
#[unsafe(no_mangle)]
pub static RING_MASK: Global<u32> = Global::new(0);
/// Bytes waiting in a ring at which the reader is woken; below, it polls.
#[unsafe(no_mangle)]
pub static WAKE_BYTES: Global<u64> = Global::new(1 << 20);
/// Bytes waiting in a ring from which on it is crowded: what is left is for heads of messages.
#[unsafe(no_mangle)]
pub static CROWDED_BYTES: Global<u64> = Global::new(6 << 20);
/// Byte offset of `sk` in the kernel's `struct socket`; all ones if it has none.
#[unsafe(no_mangle)]
pub static SOCKET_SK: Global<u32> = Global::new(u32::MAX);
/// Byte offset of `__sk_common.skc_cookie` in the kernel's `struct sock`; all ones if it has none.
#[unsafe(no_mangle)]
pub static SOCK_COOKIE: Global<u32> = Global::new(u32::MAX);
