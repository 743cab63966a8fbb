//! Where a process listens (proc_pid_net(5)).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Bytes of a table of sockets that are read; a line has 150.
const MOST_BYTES: u64 = 8 << 20;
/// Descriptors of a process looked at.
const MOST_DESCRIPTORS: usize = 65_536;
/// `TCP_LISTEN` (include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// The addresses on which process `pid` listens, in its own network namespace, as text.
pub fn listening(proc: &Path, pid: u32) -> Vec<String> {
    let folder = proc.join(pid.to_string());
    let Ok(descriptors) = fs::read_dir(folder.join("fd")) else {
        return Vec::new();
    };
    let own: HashSet<u64> = descriptors
        .flatten()
        .take(MOST_DESCRIPTORS)
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect();
    let mut found = Vec::new();
    for table in ["net/tcp", "net/tcp6"] {
        let mut text = String::new();
        let read = File::open(folder.join(table))
            .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
        if read.is_ok() {
            found.extend(text.lines().filter_map(|line| listener(line, &own)));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// `sl local_address rem_address st … inode`: fields 1, 3 and 9.
fn listener(line: &str, own: &HashSet<u64>) -> Option<String> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN || !own.contains(&fields.nth(5)?.parse().ok()?) {
        return None;
    }
    address(local).map(|address| address.to_string())
}

/// Words of 32 bits in the byte order of the host, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at..at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = if ip.len() == 8 {
        Ipv4Addr::from(word(0)?).into()
    } else {
        let mut bytes = [0; 16];
        let (words, _) = bytes.as_chunks_mut::<4>();
        for (index, place) in words.iter_mut().enumerate() {
            *place = word(index * 8)?;
        }
        Ipv6Addr::from(bytes).into()
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_listeners_of_a_process_are_those_it_bound() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = four.local_addr().unwrap().to_string();
        let found = listening(Path::new("/proc"), std::process::id());
        assert!(found.contains(&address), "{found:?}");
        drop(four);
        assert!(!listening(Path::new("/proc"), std::process::id()).contains(&address));
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        assert_eq!(address("0100007F:1F90"), "127.0.0.1:8080".parse().ok());
        assert_eq!(
            address("00000000000000000000000001000000:0050"),
            "[::1]:80".parse().ok()
        );
        assert_eq!(address("zz:1"), None);
    }
}
