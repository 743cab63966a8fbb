//! The probes on socket functions that take payload: which there are, and which are wanted.
//!
//! Each is a trampoline (fentry, fexit); where the kernel has none, a pair of kprobes does its work.

use super::probe_table::{Hook, Probe};
use super::socket_capture::SocketCapture;

/// What a row of the table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Plain TCP, where packets do not; kernel TLS in any case.
    Tcp,
    /// Unix sockets.
    Unix,
    /// Sizes of what passes no program's memory.
    Sizes,
}

const fn row(
    takes: Takes,
    name: &'static str,
    hook_name: &'static str,
    purpose: &'static str,
    hook: Hook,
) -> (Takes, Probe) {
    let probe = Probe {
        name,
        hook_name,
        purpose,
        hook,
        required: false,
        instead_of: None,
    };
    (takes, probe)
}

/// The row that does the work of `first` where there are no trampolines.
const fn by_kprobe(
    takes: Takes,
    first: &'static str,
    name: &'static str,
    hook_name: &'static str,
    purpose: &'static str,
    hook: Hook,
) -> (Takes, Probe) {
    let (takes, probe) = row(takes, name, hook_name, purpose, hook);
    let probe = Probe {
        instead_of: Some(first),
        ..probe
    };
    (takes, probe)
}

/// In load order: the beginning of connections before their bytes, and a probe before the one that
/// replaces it.
pub(super) const FUNCTION_PROBES: [(Takes, Probe); 29] = [
    row(
        Takes::Unix,
        "unix_closed",
        "fentry/unix_release",
        "end of Unix connections",
        Hook::FunctionEntry("unix_release"),
    ),
    by_kprobe(
        Takes::Unix,
        "unix_closed",
        "unix_closed_begins",
        "kprobe/unix_release",
        "end of Unix connections",
        Hook::KprobeEntry("unix_release"),
    ),
    row(
        Takes::Unix,
        "unix_connected",
        "fexit/unix_stream_connect",
        "beginning of Unix connections",
        Hook::FunctionExit("unix_stream_connect"),
    ),
    by_kprobe(
        Takes::Unix,
        "unix_connected",
        "unix_connected_result",
        "kretprobe/unix_stream_connect",
        "beginning of Unix connections",
        Hook::KprobePair {
            function: "unix_stream_connect",
            arguments: "unix_connected_arguments",
        },
    ),
    row(
        Takes::Unix,
        "unix_accepted",
        "fexit/unix_accept",
        "beginning of Unix connections",
        Hook::FunctionExit("unix_accept"),
    ),
    by_kprobe(
        Takes::Unix,
        "unix_accepted",
        "unix_accepted_result",
        "kretprobe/unix_accept",
        "beginning of Unix connections",
        Hook::KprobePair {
            function: "unix_accept",
            arguments: "unix_accepted_arguments",
        },
    ),
    row(
        Takes::Unix,
        "unix_paired",
        "fexit/unix_socketpair",
        "beginning of Unix connections",
        Hook::FunctionExit("unix_socketpair"),
    ),
    by_kprobe(
        Takes::Unix,
        "unix_paired",
        "unix_paired_result",
        "kretprobe/unix_socketpair",
        "beginning of Unix connections",
        Hook::KprobePair {
            function: "unix_socketpair",
            arguments: "unix_paired_arguments",
        },
    ),
    row(
        Takes::Unix,
        "unix_bytes_sent",
        "fexit/unix_stream_sendmsg",
        "payload that goes out over Unix sockets",
        Hook::FunctionExitTwice {
            function: "unix_stream_sendmsg",
            again: "unix_bytes_sent_again",
        },
    ),
    by_kprobe(
        Takes::Unix,
        "unix_bytes_sent",
        "unix_sent_result",
        "kretprobe/unix_stream_sendmsg",
        "payload that goes out over Unix sockets",
        Hook::KprobePair {
            function: "unix_stream_sendmsg",
            arguments: "unix_sent_arguments",
        },
    ),
    row(
        Takes::Unix,
        "unix_bytes_received",
        "fexit/unix_stream_recvmsg",
        "payload that comes in over Unix sockets",
        Hook::FunctionExitTwice {
            function: "unix_stream_recvmsg",
            again: "unix_bytes_received_again",
        },
    ),
    by_kprobe(
        Takes::Unix,
        "unix_bytes_received",
        "unix_received_result",
        "kretprobe/unix_stream_recvmsg",
        "payload that comes in over Unix sockets",
        Hook::KprobePair {
            function: "unix_stream_recvmsg",
            arguments: "unix_received_arguments",
        },
    ),
    row(
        Takes::Sizes,
        "page_sent",
        "fexit/inet_sendpage",
        "size of what sendfile sends; 6.5 and newer have no such function and need none",
        Hook::FunctionExitTwice {
            function: "inet_sendpage",
            again: "page_sent_again",
        },
    ),
    by_kprobe(
        Takes::Sizes,
        "page_sent",
        "page_sent_result",
        "kretprobe/inet_sendpage",
        "size of what sendfile sends; 6.5 and newer have no such function and need none",
        Hook::KprobePair {
            function: "inet_sendpage",
            arguments: "page_sent_arguments",
        },
    ),
    row(
        Takes::Sizes,
        "unix_page_sent",
        "fexit/unix_stream_sendpage",
        "size of what sendfile sends; 6.5 and newer have no such function and need none",
        Hook::FunctionExitTwice {
            function: "unix_stream_sendpage",
            again: "unix_page_sent_again",
        },
    ),
    by_kprobe(
        Takes::Sizes,
        "unix_page_sent",
        "unix_page_sent_result",
        "kretprobe/unix_stream_sendpage",
        "size of what sendfile sends; 6.5 and newer have no such function and need none",
        Hook::KprobePair {
            function: "unix_stream_sendpage",
            arguments: "unix_page_sent_arguments",
        },
    ),
    row(
        Takes::Sizes,
        "spliced_in",
        "fexit/sock_splice_read",
        "size of what splice takes",
        Hook::FunctionExitTwice {
            function: "sock_splice_read",
            again: "spliced_in_again",
        },
    ),
    by_kprobe(
        Takes::Sizes,
        "spliced_in",
        "spliced_in_result",
        "kretprobe/sock_splice_read",
        "size of what splice takes",
        Hook::KprobePair {
            function: "sock_splice_read",
            arguments: "spliced_in_arguments",
        },
    ),
    row(
        Takes::Tcp,
        "tcp_stream_state",
        "tp_btf/inet_sock_set_state",
        "beginning and end of TCP connections",
        Hook::Tracepoint("inet_sock_set_state"),
    ),
    row(
        Takes::Tcp,
        "ktls_begun",
        "fexit/tcp_set_ulp",
        "beginning of the kernel's TLS",
        Hook::FunctionExit("tcp_set_ulp"),
    ),
    by_kprobe(
        Takes::Tcp,
        "ktls_begun",
        "ktls_begun_result",
        "kretprobe/tcp_set_ulp",
        "beginning of the kernel's TLS",
        Hook::KprobePair {
            function: "tcp_set_ulp",
            arguments: "ktls_begun_arguments",
        },
    ),
    row(
        Takes::Tcp,
        "tcp_bytes_sent",
        "fexit/inet_sendmsg",
        "payload that goes out over TCP, plaintext of the kernel's TLS",
        Hook::FunctionExitTwice {
            function: "inet_sendmsg",
            again: "tcp_bytes_sent_again",
        },
    ),
    by_kprobe(
        Takes::Tcp,
        "tcp_bytes_sent",
        "tcp_sent_result",
        "kretprobe/inet_sendmsg",
        "payload that goes out over TCP, plaintext of the kernel's TLS",
        Hook::KprobePair {
            function: "inet_sendmsg",
            arguments: "tcp_sent_arguments",
        },
    ),
    row(
        Takes::Tcp,
        "tcp6_bytes_sent",
        "fexit/inet6_sendmsg",
        "payload that goes out over TCP, plaintext of the kernel's TLS",
        Hook::FunctionExitTwice {
            function: "inet6_sendmsg",
            again: "tcp6_bytes_sent_again",
        },
    ),
    by_kprobe(
        Takes::Tcp,
        "tcp6_bytes_sent",
        "tcp6_sent_result",
        "kretprobe/inet6_sendmsg",
        "payload that goes out over TCP, plaintext of the kernel's TLS",
        Hook::KprobePair {
            function: "inet6_sendmsg",
            arguments: "tcp6_sent_arguments",
        },
    ),
    row(
        Takes::Tcp,
        "tcp_bytes_received",
        "fexit/inet_recvmsg",
        "payload that comes in over TCP, plaintext of the kernel's TLS",
        Hook::FunctionExitTwice {
            function: "inet_recvmsg",
            again: "tcp_bytes_received_again",
        },
    ),
    by_kprobe(
        Takes::Tcp,
        "tcp_bytes_received",
        "tcp_received_result",
        "kretprobe/inet_recvmsg",
        "payload that comes in over TCP, plaintext of the kernel's TLS",
        Hook::KprobePair {
            function: "inet_recvmsg",
            arguments: "tcp_received_arguments",
        },
    ),
    row(
        Takes::Tcp,
        "tcp6_bytes_received",
        "fexit/inet6_recvmsg",
        "payload that comes in over TCP, plaintext of the kernel's TLS",
        Hook::FunctionExitTwice {
            function: "inet6_recvmsg",
            again: "tcp6_bytes_received_again",
        },
    ),
    by_kprobe(
        Takes::Tcp,
        "tcp6_bytes_received",
        "tcp6_received_result",
        "kretprobe/inet6_recvmsg",
        "payload that comes in over TCP, plaintext of the kernel's TLS",
        Hook::KprobePair {
            function: "inet6_recvmsg",
            arguments: "tcp6_received_arguments",
        },
    ),
];

/// The program that takes the calls which the program `name` is not run for.
pub(super) fn again_of(name: &str) -> Option<&'static str> {
    FUNCTION_PROBES
        .iter()
        .find_map(|(_, probe)| match probe.hook {
            Hook::FunctionExitTwice { again, .. } if probe.name == name => Some(again),
            _ => None,
        })
}

/// Whether a program is one of those.
pub(super) fn is_again(name: &str) -> bool {
    FUNCTION_PROBES.iter().any(
        |(_, probe)| matches!(probe.hook, Hook::FunctionExitTwice { again, .. } if again == name),
    )
}

/// Those without which TCP is not captured by functions.
pub(super) const TCP_NEEDS: [&str; 2] = ["tcp_bytes_sent", "tcp_bytes_received"];
/// Those without which Unix sockets are not seen.
pub(super) const UNIX_NEEDS: [&str; 2] = ["unix_bytes_sent", "unix_bytes_received"];

/// Why a row is not wanted, if it is not.
pub(super) fn unwanted(
    takes: Takes,
    probe: &Probe,
    sockets: SocketCapture,
    tcp_by_functions: bool,
    kernel_tls: bool,
) -> Option<&'static str> {
    match takes {
        _ if sockets == SocketCapture::Packets => {
            Some("the setting capture.sockets is \"packets\"")
        }
        _ if sockets == SocketCapture::Kprobes
            && matches!(
                probe.hook,
                Hook::FunctionEntry(_) | Hook::FunctionExit(_) | Hook::FunctionExitTwice { .. }
            ) =>
        {
            Some("the setting capture.sockets is \"kprobes\"")
        }
        Takes::Tcp if !tcp_by_functions && !kernel_tls => {
            Some("packets carry TCP, and the kernel's TLS (module tls) is not in use")
        }
        _ => None,
    }
}

/// Whether the kernel's TLS can be used now: its module is loaded or part of the kernel.
pub(super) fn kernel_tls() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp")
        .is_ok_and(|known| known.split_whitespace().any(|name| name == "tls"))
}
