//! Where fields lie by another reading of the same kernel: its types as C, and a compiler.
//!
//! In: a kernel image. Out: the places that the agent must have found. bpftool turns the image's
//! type information into declarations, and `cc` says where their fields lie.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The constant of the agent's kernel half, the structure, and the names that the field has had, or
/// an enumeration and the name in it.
const PLACES: [(&str, Place); 21] = [
    ("SOCKET_SK", Place::Field("socket", &["sk"])),
    (
        "SOCK_COOKIE",
        Place::Field("sock", &["__sk_common.skc_cookie"]),
    ),
    (
        "SOCK_FAMILY",
        Place::Field("sock", &["__sk_common.skc_family"]),
    ),
    ("SOCK_PROTOCOL", Place::Field("sock", &["sk_protocol"])),
    (
        "SOCK_LOCAL",
        Place::Field("sock", &["__sk_common.skc_rcv_saddr"]),
    ),
    (
        "SOCK_REMOTE",
        Place::Field("sock", &["__sk_common.skc_daddr"]),
    ),
    (
        "SOCK_LOCAL_PORT",
        Place::Field("sock", &["__sk_common.skc_num"]),
    ),
    (
        "SOCK_REMOTE_PORT",
        Place::Field("sock", &["__sk_common.skc_dport"]),
    ),
    (
        "SOCK_LOCAL6",
        Place::Field("sock", &["__sk_common.skc_v6_rcv_saddr"]),
    ),
    (
        "SOCK_REMOTE6",
        Place::Field("sock", &["__sk_common.skc_v6_daddr"]),
    ),
    ("TCP_WRITTEN", Place::Field("tcp_sock", &["write_seq"])),
    ("TCP_COPIED", Place::Field("tcp_sock", &["copied_seq"])),
    (
        "SOCK_ULP",
        Place::Field("inet_connection_sock", &["icsk_ulp_ops"]),
    ),
    ("ULP_NAME", Place::Field("tcp_ulp_ops", &["name"])),
    ("FILE_PRIVATE", Place::Field("file", &["private_data"])),
    ("MSG_ITER", Place::Field("msghdr", &["msg_iter"])),
    (
        "ITER_KIND",
        Place::Field("iov_iter", &["iter_type", "type"]),
    ),
    ("ITER_OFFSET", Place::Field("iov_iter", &["iov_offset"])),
    ("ITER_BASE", Place::Field("iov_iter", &["__iov", "iov"])),
    ("KIND_IOVEC", Place::Kind("ITER_IOVEC")),
    ("KIND_UBUF", Place::Kind("ITER_UBUF")),
];

#[derive(Clone, Copy)]
enum Place {
    Field(&'static str, &'static [&'static str]),
    Kind(&'static str),
}

/// The places in one kernel; `None` where it has no such field or kind.
pub fn of(image: &Path, folder: &Path) -> Result<BTreeMap<String, Option<u64>>> {
    let output = Command::new("bpftool")
        .args(["btf", "dump", "file"])
        .arg(image)
        .args(["format", "c"])
        .output()
        .context("start bpftool: on Debian and Ubuntu, apt-get install bpftool")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("bpftool cannot read {}: {}", image.display(), said.trim());
    }
    fs::write(folder.join("types.h"), &output.stdout)?;
    // The types need no headers, and `printf` is declared by hand: its own header has types that
    // the kernel has too.
    let mut places = BTreeMap::new();
    let mut source = String::from("#include \"types.h\"\nextern int printf(const char *, ...);\n");
    source.push_str("int main(void) {\n");
    let types = String::from_utf8_lossy(&output.stdout);
    for (constant, place) in PLACES {
        let expression = match place {
            Place::Field(structure, names) => names
                .iter()
                .find(|name| names.len() == 1 || has_field(&types, structure, name))
                .map(|name| format!("__builtin_offsetof(struct {structure}, {name})")),
            Place::Kind(name) => types
                .contains(&format!("\t{name} = "))
                .then(|| name.to_owned()),
        };
        match expression {
            Some(expression) => {
                let _ = writeln!(
                    source,
                    "printf(\"{constant} %lu\\n\", (unsigned long){expression});"
                );
            }
            None => {
                places.insert(constant.to_owned(), None);
            }
        }
    }
    source.push_str("return 0; }\n");
    let (file, program) = (folder.join("offsets.c"), folder.join("offsets"));
    fs::write(&file, source)?;
    let output = Command::new("cc")
        .args(["-w", "-fno-builtin", "-o"])
        .args([&program, &file])
        .output()
        .context("start cc")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cc cannot compile the types of {}: {said}", image.display());
    }
    let output = Command::new(&program).output().context("start offsets")?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (constant, place) = line.split_once(' ').context("a name and a number")?;
        places.insert(constant.to_owned(), Some(place.parse()?));
    }
    Ok(places)
}

/// Whether a structure, as bpftool writes it, has a field of this name, in anonymous unions too.
fn has_field(types: &str, structure: &str, name: &str) -> bool {
    let Some((_, rest)) = types.split_once(&format!("\nstruct {structure} {{\n")) else {
        return false;
    };
    let body = rest.split_once("\n};").map_or(rest, |(body, _)| body);
    body.lines().any(|line| {
        let field = line.trim_end_matches(';');
        let field = field.split(['[', ':']).next().unwrap_or(field);
        line.ends_with(';') && field.rsplit([' ', '*', '\t']).next() == Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_its_structure_and_in_no_other() {
        let types = "\nstruct iov_iter {\n\tu8 iter_type;\n\tunion {\n\t\tconst struct iovec *__iov;\n\t};\n};\n\nstruct other {\n\tint type;\n};\n";
        assert!(has_field(types, "iov_iter", "iter_type"));
        assert!(has_field(types, "iov_iter", "__iov"));
        assert!(!has_field(types, "iov_iter", "type"));
        assert!(!has_field(types, "absent", "type"));
    }
}
