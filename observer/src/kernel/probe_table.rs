//! The probe table: every program of the kernel half, what it hooks and whether the agent can do
//! without it.
//!
//! Where a probe needs what older kernels lack, the rows after it do its work another way, each
//! tried only if the one before failed.

use aya::programs::CgroupSkbAttachType;

/// How a program is attached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// `cgroup_skb` on the root of cgroup2.
    Cgroup(CgroupSkbAttachType),
    /// A BTF-typed tracepoint of this name.
    Tracepoint(&'static str),
    /// The beginning of a kernel function of this name.
    FunctionEntry(&'static str),
    /// The end of a kernel function of this name.
    FunctionExit(&'static str),
    /// As the one before, with another program for the calls that the first is not run for where
    /// the kernel preempts its own code.
    FunctionExitTwice {
        /// The kernel's function.
        function: &'static str,
        /// The other program.
        again: &'static str,
    },
    /// A kprobe at the beginning of a kernel function of this name.
    KprobeEntry(&'static str),
    /// A kretprobe at the end of a kernel function, with another program at its beginning that
    /// keeps the arguments.
    KprobePair {
        /// The kernel's function.
        function: &'static str,
        /// The program at its beginning.
        arguments: &'static str,
    },
    /// Attached later, to each TLS library found.
    Library,
}

/// One row of the probe table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) hook_name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) hook: Hook,
    pub(super) required: bool,
    /// It does the work of this one, and is tried only if that one fails.
    pub(super) instead_of: Option<&'static str>,
}

/// In load order: what others rely on comes first, and a probe before what may replace it.
pub(super) const PROBES: [Probe; 31] = [
    Probe {
        name: "socket_state",
        hook_name: "tp_btf/inet_sock_set_state",
        purpose: "end of connections",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        required: false,
        instead_of: None,
    },
    Probe {
        name: "socket_state_by_cookie",
        hook_name: "tp_btf/inet_sock_set_state",
        purpose: "end of connections",
        hook: Hook::Tracepoint("inet_sock_set_state"),
        required: false,
        instead_of: Some("socket_state"),
    },
    Probe {
        name: "socket_sent",
        hook_name: "tp_btf/sock_send_length",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::Tracepoint("sock_send_length"),
        required: false,
        instead_of: None,
    },
    Probe {
        name: "inet_sent",
        hook_name: "fexit/inet_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_sendmsg"),
        required: false,
        instead_of: Some("socket_sent"),
    },
    Probe {
        name: "inet_sent_by_cookie",
        hook_name: "fexit/inet_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_sendmsg"),
        required: false,
        instead_of: Some("inet_sent"),
    },
    Probe {
        name: "inet6_sent",
        hook_name: "fexit/inet6_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_sendmsg"),
        required: false,
        instead_of: Some("socket_sent"),
    },
    Probe {
        name: "inet6_sent_by_cookie",
        hook_name: "fexit/inet6_sendmsg",
        purpose: "process and thread that send; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_sendmsg"),
        required: false,
        instead_of: Some("inet6_sent"),
    },
    Probe {
        name: "socket_received",
        hook_name: "tp_btf/sock_recv_length",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::Tracepoint("sock_recv_length"),
        required: false,
        instead_of: None,
    },
    Probe {
        name: "inet_received",
        hook_name: "fexit/inet_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_recvmsg"),
        required: false,
        instead_of: Some("socket_received"),
    },
    Probe {
        name: "inet_received_by_cookie",
        hook_name: "fexit/inet_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet_recvmsg"),
        required: false,
        instead_of: Some("inet_received"),
    },
    Probe {
        name: "inet6_received",
        hook_name: "fexit/inet6_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_recvmsg"),
        required: false,
        instead_of: Some("socket_received"),
    },
    Probe {
        name: "inet6_received_by_cookie",
        hook_name: "fexit/inet6_recvmsg",
        purpose: "process and thread that receive; binds TLS objects to sockets",
        hook: Hook::FunctionExit("inet6_recvmsg"),
        required: false,
        instead_of: Some("inet6_received"),
    },
    Probe {
        name: "packets_in",
        hook_name: "cgroup_skb/ingress",
        purpose: "payload that comes in",
        hook: Hook::Cgroup(CgroupSkbAttachType::Ingress),
        required: true,
        instead_of: None,
    },
    Probe {
        name: "packets_out",
        hook_name: "cgroup_skb/egress",
        purpose: "payload that goes out",
        hook: Hook::Cgroup(CgroupSkbAttachType::Egress),
        required: true,
        instead_of: None,
    },
    Probe {
        name: "tls_enter",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads and writes",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_enter_in_result",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_in_4th",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_in_5th",
        hook_name: "uprobe",
        purpose: "arguments of TLS reads",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_out_result",
        hook_name: "uprobe",
        purpose: "arguments of TLS writes",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_out_4th",
        hook_name: "uprobe",
        purpose: "arguments of TLS writes",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_enter_out_5th",
        hook_name: "uprobe",
        purpose: "arguments of TLS writes",
        hook: Hook::Library,
        required: false,
        instead_of: Some("tls_enter"),
    },
    Probe {
        name: "tls_return",
        hook_name: "uprobe",
        purpose: "plaintext, at a branch that holds the result",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_call_return",
        hook_name: "uretprobe",
        purpose: "plaintext, where there is no such branch",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_free",
        hook_name: "uprobe",
        purpose: "end of TLS objects",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_go_enter",
        hook_name: "uprobe",
        purpose: "arguments of reads and plaintext of writes of Go's own TLS",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_go_copy",
        hook_name: "uprobe",
        purpose: "plaintext of reads of Go's own TLS, as it is copied",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_go_return",
        hook_name: "uprobe",
        purpose: "plaintext of reads of Go's own TLS",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_go_close",
        hook_name: "uprobe",
        purpose: "end of connections of Go's own TLS",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_record_encrypt",
        hook_name: "uprobe",
        purpose: "plaintext that rustls encrypts",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_record_decrypt",
        hook_name: "uprobe",
        purpose: "records that rustls decrypts",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
    Probe {
        name: "tls_record_decrypted",
        hook_name: "uretprobe",
        purpose: "plaintext that rustls has decrypted",
        hook: Hook::Library,
        required: false,
        instead_of: None,
    },
];
