//! Read-only, provably: the helper functions that the kernel half may call.
//!
//! A helper that writes to a process, a packet or a socket, redirects, or overrides a result is
//! not here, so an object that calls one is refused by a test before it is ever loaded.

use object::{Object as _, ObjectSection as _, SectionFlags, SectionKind};

/// Number (kernel `include/uapi/linux/bpf.h`, `___BPF_FUNC_MAPPER`) and name of each helper
/// allowed.
pub const ALLOWED_HELPERS: [(i32, &str); 19] = [
    (1, "map_lookup_elem"),
    (2, "map_update_elem"),
    (3, "map_delete_elem"),
    (5, "ktime_get_ns"),
    (8, "get_smp_processor_id"),
    (14, "get_current_pid_tgid"),
    (16, "get_current_comm"),
    (26, "skb_load_bytes"),
    (46, "get_socket_cookie"),
    (83, "skb_ancestor_cgroup_id"),
    (107, "sk_storage_get"),
    (112, "probe_read_user"),
    (113, "probe_read_kernel"),
    (123, "get_current_ancestor_cgroup_id"),
    (131, "ringbuf_reserve"),
    (132, "ringbuf_submit"),
    (133, "ringbuf_discard"),
    (134, "ringbuf_query"),
    (174, "get_attach_cookie"),
];

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_LD | BPF_IMM | BPF_DW`: takes two slots.
const LOAD_64: u8 = 0x18;
/// An instruction slot.
const SLOT: usize = 8;

/// The helpers an object calls that are not allowed, with the section that calls them. Kernel
/// functions called by BTF id are reported as `kfunc`.
pub fn forbidden_helpers(object: &[u8]) -> Result<Vec<String>, object::Error> {
    let file = object::File::parse(object)?;
    let mut forbidden = Vec::new();
    for section in file.sections() {
        let executable = matches!(
            section.flags(),
            SectionFlags::Elf { sh_flags, .. } if sh_flags.0 & object::elf::SHF_EXECINSTR.0 != 0
        );
        if section.kind() != SectionKind::Text && !executable {
            continue;
        }
        let name = section.name()?.to_owned();
        let data = section.data()?;
        let mut slots = data.as_chunks::<SLOT>().0.iter();
        while let Some(&[code, registers, _, _, a, b, c, d]) = slots.next() {
            if code == LOAD_64 {
                slots.next();
                continue;
            }
            if code != CALL {
                continue;
            }
            let number = i32::from_le_bytes([a, b, c, d]);
            match registers >> 4 {
                // A helper, by number.
                0 if ALLOWED_HELPERS
                    .iter()
                    .any(|&(allowed, _)| allowed == number) => {}
                0 => forbidden.push(format!("{name}: helper {number}")),
                // A function of the object itself.
                1 => {}
                _ => forbidden.push(format!("{name}: kfunc {number}")),
            }
        }
    }
    Ok(forbidden)
}

#[cfg(test)]
mod tests {
    use object::ObjectSymbol as _;

    use super::*;
    use crate::kernel::Kernel;

    /// From this depth on the kernel (6.13 and newer, `BPF_PRIV_STACK_MIN_SIZE` in
    /// kernel/bpf/verifier.c) gives a tracing program a stack per processor. Uprobe programs can
    /// be preempted and entered again on the same processor, so theirs must stay below.
    const PRIVATE_STACK: i32 = 64;

    /// Deepest place of the stack that each function names, in bytes.
    fn stack_depths(object: &[u8]) -> Vec<(String, i32)> {
        let file = object::File::parse(object).expect("an ELF object");
        let functions = file
            .symbols()
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text);
        functions
            .map(|function| {
                let section = function.section_index().expect("a section");
                let section = file.section_by_index(section).expect("a section");
                let data = section.data().expect("code");
                let from = usize::try_from(function.address()).expect("small");
                let code = &data[from..from + usize::try_from(function.size()).expect("small")];
                (function.name().expect("a name").to_owned(), depth(code))
            })
            .collect()
    }

    /// Says so if there is nothing to look at.
    fn is_built(object: &[u8]) -> bool {
        if object.is_empty() {
            eprintln!("SKIPPED: built without the kernel half (no bpf-linker)");
        }
        !object.is_empty()
    }

    fn depth(code: &[u8]) -> i32 {
        const FRAME: u8 = 10;
        let mut deepest = 0;
        let mut points_to_frame = [false; 16];
        let mut slots = code.as_chunks::<SLOT>().0.iter();
        while let Some(&[code, registers, low, high, a, b, c, d]) = slots.next() {
            let (to, from) = (registers & 15, registers >> 4);
            let offset = i32::from(i16::from_le_bytes([low, high]));
            let number = i32::from_le_bytes([a, b, c, d]);
            match code & 7 {
                1 if from == FRAME => deepest = deepest.max(-offset),
                2 | 3 if to == FRAME => deepest = deepest.max(-offset),
                _ => {}
            }
            // `rN = r10`, then `rN += number`.
            if code == 0xbf {
                points_to_frame[usize::from(to)] = from == FRAME;
            } else if code == 0x07 && points_to_frame[usize::from(to)] {
                deepest = deepest.max(-number);
            }
            if code == LOAD_64 {
                slots.next();
            }
        }
        deepest
    }

    #[test]
    fn uprobe_programs_keep_a_small_stack() {
        let object = Kernel::object();
        if !is_built(object) {
            return;
        }
        let depths = stack_depths(object);
        let uprobes: Vec<_> = depths
            .iter()
            .filter(|(name, _)| name.starts_with("tls_") || name.contains("tls_rustls"))
            .collect();
        assert_eq!(uprobes.len(), 19, "{depths:?}");
        // What they call has a stack of its own, to which the same applies.
        let called = [
            "tls6settle",
            "tls6wanted",
            "tls10controlled",
            "tls5spare",
            "_says",
        ];
        let called = depths
            .iter()
            .filter(|(name, _)| called.iter().any(|part| name.contains(part)));
        for (name, depth) in uprobes.into_iter().chain(called) {
            assert!(*depth < PRIVATE_STACK, "{name} uses {depth} bytes of stack");
        }
    }

    #[test]
    fn packet_programs_leave_room_on_the_stack_for_what_they_call() {
        // Kernels before 6.8 count each frame of a chain of calls in steps of 32 bytes, 512 in
        // all (`check_max_stack_depth` in kernel/bpf/verifier.c).
        let object = Kernel::object();
        if !is_built(object) {
            return;
        }
        let depths = stack_depths(object);
        let of = |part: &str| {
            let found = depths.iter().find(|it| it.0.contains(part)).expect(part);
            (found.1.max(1) + 31) / 32 * 32
        };
        let called = ["first_bytes_say", "left_out", "head_says", "part_says"];
        let called = called.into_iter().map(of).max().unwrap_or_default();
        for name in ["packets_in", "packets_out"] {
            let all = of(name) + called;
            assert!(
                all <= 512,
                "{name} and what it calls use {all} bytes: {depths:?}"
            );
        }
    }

    #[test]
    fn what_blocks_is_no_part_of_what_observes_and_changes_no_packet() {
        use crate::kernel::Blocker;

        let object = Blocker::object();
        if !is_built(object) {
            return;
        }
        assert_eq!(
            forbidden_helpers(object).expect("an ELF object"),
            Vec::<String>::new()
        );
        let names = |object: &[u8]| -> Vec<String> {
            let names = stack_depths(object).into_iter().map(|it| it.0);
            names.filter(|name| !name.starts_with("mem")).collect()
        };
        assert_eq!(names(object), ["block_in"]);
        assert!(!names(Kernel::object()).contains(&"block_in".to_owned()));
    }

    #[test]
    fn the_kernel_half_calls_read_only_helpers() {
        let object = Kernel::object();
        if !is_built(object) {
            return;
        }
        assert_eq!(
            forbidden_helpers(object).expect("an ELF object"),
            Vec::<String>::new()
        );
    }
}
