//! Places in the kernel's structures that programs need, as the constants they are frozen into.
//!
//! In: the kernel's types. Out: a value for each constant of the kernel half; all ones where this
//! kernel has no such field, and the branch or program that needs it then does nothing. It never
//! guesses.

use super::btf::KernelTypes;

/// A field: the constant in the kernel half, the structure, and the names it has had, newest first.
type Field = (
    &'static str,
    &'static str,
    &'static [&'static [&'static str]],
);

const FIELDS: [Field; 19] = [
    ("SOCKET_SK", "socket", &[&["sk"]]),
    ("SOCK_COOKIE", "sock", &[&["__sk_common", "skc_cookie"]]),
    ("SOCK_FAMILY", "sock", &[&["__sk_common", "skc_family"]]),
    ("SOCK_PROTOCOL", "sock", &[&["sk_protocol"]]),
    ("SOCK_LOCAL", "sock", &[&["__sk_common", "skc_rcv_saddr"]]),
    ("SOCK_REMOTE", "sock", &[&["__sk_common", "skc_daddr"]]),
    ("SOCK_LOCAL_PORT", "sock", &[&["__sk_common", "skc_num"]]),
    ("SOCK_REMOTE_PORT", "sock", &[&["__sk_common", "skc_dport"]]),
    (
        "SOCK_LOCAL6",
        "sock",
        &[&["__sk_common", "skc_v6_rcv_saddr"]],
    ),
    ("SOCK_REMOTE6", "sock", &[&["__sk_common", "skc_v6_daddr"]]),
    ("TCP_WRITTEN", "tcp_sock", &[&["write_seq"]]),
    ("TCP_COPIED", "tcp_sock", &[&["copied_seq"]]),
    ("SOCK_ULP", "inet_connection_sock", &[&["icsk_ulp_ops"]]),
    ("ULP_NAME", "tcp_ulp_ops", &[&["name"]]),
    ("FILE_PRIVATE", "file", &[&["private_data"]]),
    ("MSG_ITER", "msghdr", &[&["msg_iter"]]),
    ("ITER_KIND", "iov_iter", &[&["iter_type"], &["type"]]),
    ("ITER_OFFSET", "iov_iter", &[&["iov_offset"]]),
    ("ITER_BASE", "iov_iter", &[&["__iov"], &["iov"]]),
];

/// What the kind of an iterator is called, and the constant it goes to.
const KINDS: [(&str, &str); 2] = [("KIND_IOVEC", "ITER_IOVEC"), ("KIND_UBUF", "ITER_UBUF")];

/// Before 5.14 the lowest bit of the kind tells the direction.
const KIND_AND_DIRECTION: u64 = 0xfe;
const KIND_ONLY: u64 = 0xff;

/// The constants for one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Name of each and its value.
    pub(super) constants: Vec<(&'static str, u32)>,
    /// Bits that tell the kind of an iterator.
    pub(super) kind_mask: u64,
}

impl Layout {
    /// As the types say; all absent without types.
    pub(super) fn of(types: Option<&KernelTypes>) -> Self {
        let offset = |structure: &str, paths: &[&[&str]]| {
            paths
                .iter()
                .find_map(|path| types?.offset(structure, path))
                .unwrap_or(u32::MAX)
        };
        let mut constants: Vec<_> = FIELDS
            .iter()
            .map(|&(constant, structure, paths)| (constant, offset(structure, paths)))
            .collect();
        for (constant, enumerator) in KINDS {
            let value = types.and_then(|types| types.enumerator("iter_type", enumerator));
            constants.push((constant, value.unwrap_or(u32::MAX)));
        }
        let old = types.is_some_and(|types| types.offset("iov_iter", &["iter_type"]).is_none());
        Self {
            constants,
            kind_mask: if old { KIND_AND_DIRECTION } else { KIND_ONLY },
        }
    }

    /// Of the running kernel.
    pub(super) fn of_this_kernel() -> Self {
        let types = KernelTypes::of_this_kernel();
        if let Err(error) = &types {
            tracing::warn!(%error, "the kernel's types cannot be read");
        }
        Self::of(types.ok().as_ref())
    }
}

/// Places in the structures of the running kernel, by constant; `None` where it has no such field.
pub fn layout() -> Vec<(&'static str, Option<u32>)> {
    let Layout {
        constants,
        kind_mask: _,
    } = Layout::of_this_kernel();
    let known = |value| (value != u32::MAX).then_some(value);
    constants
        .into_iter()
        .map(|(name, value)| (name, known(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_types_every_branch_is_removed() {
        let layout = Layout::of(None);
        assert_eq!(layout.constants.len(), FIELDS.len() + KINDS.len());
        assert!(layout.constants.iter().all(|&(_, value)| value == u32::MAX));
    }

    #[test]
    fn this_kernel_has_the_fields_and_they_differ() {
        let Ok(types) = KernelTypes::of_this_kernel() else {
            eprintln!("SKIPPED: this kernel has no /sys/kernel/btf/vmlinux");
            return;
        };
        let layout = Layout::of(Some(&types));
        let value = |name| {
            let found = layout
                .constants
                .iter()
                .find(|(constant, _)| *constant == name);
            found.map(|&(_, value)| value).unwrap()
        };
        for name in [
            "SOCK_FAMILY",
            "MSG_ITER",
            "ITER_BASE",
            "ITER_OFFSET",
            "KIND_IOVEC",
        ] {
            assert_ne!(value(name), u32::MAX, "{name}");
        }
        assert!(value("ITER_OFFSET") < value("ITER_BASE"));
        assert_ne!(value("TCP_WRITTEN"), value("TCP_COPIED"));
    }
}
