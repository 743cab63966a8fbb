use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::{Header, event};
use super::*;

/// Rings see the whole host: the test that fills them must not run beside the others.
static ALONE: Mutex<()> = Mutex::new(());

fn opened() -> Option<(ProcessEvents, MutexGuard<'static, ()>)> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    match ProcessEvents::open() {
        Ok(events) => Some((events, alone)),
        Err(error @ ProcessEventsError::NotPermitted { .. }) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn drained(events: &mut ProcessEvents) -> Vec<ProcessEvent> {
    let mut all = Vec::new();
    events.drain(&mut |event| all.push(event));
    all
}

#[test]
fn exec_mappings_and_exit_of_a_process_are_noticed() {
    let Some((mut events, _alone)) = opened() else {
        return;
    };
    assert!(events.fds().count() > 0);
    let mut child = Command::new("/bin/sh")
        .args(["-c", "echo; read x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let child_pid = child.id();
    child
        .stdout
        .as_mut()
        .expect("output")
        .read_exact(&mut [0])
        .expect("it runs");
    let running = drained(&mut events);
    let exe = fs::metadata(format!("/proc/{child_pid}/exe"))
        .expect("exe")
        .ino();
    let mapped = running.iter().find_map(|event| match event {
        ProcessEvent::Mapped {
            pid,
            inode,
            file,
            dev,
        } if *pid == child_pid && *inode == exe => Some((file.clone(), *dev)),
        _ => None,
    });
    let (file, dev) = mapped.expect("its executable is mapped");
    assert!(file.starts_with(b"/"), "{file:?}");
    let maps = fs::read_to_string(format!("/proc/{child_pid}/maps")).expect("maps");
    let place = format!("{:02x}:{:02x} {exe} ", dev.0, dev.1);
    assert!(maps.contains(&place), "{place} in {maps}");
    assert!(
        running.contains(&ProcessEvent::Exec { pid: child_pid }),
        "{running:?}"
    );
    assert!(!running.contains(&ProcessEvent::Exited { pid: child_pid }));

    child
        .stdin
        .take()
        .expect("input")
        .write_all(b"\n")
        .expect("written");
    child.wait().expect("ended");
    assert!(drained(&mut events).contains(&ProcessEvent::Exited { pid: child_pid }));
}

#[test]
fn a_library_loaded_later_is_noticed() {
    let Some((mut events, _alone)) = opened() else {
        return;
    };
    let script = "import sys; print(1, flush=True); sys.stdin.readline(); import _ssl; print(2, flush=True); sys.stdin.read()";
    let child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: python3 is not there");
        return;
    };
    let pid = child.id();
    let (mut input, mut output) = (
        child.stdin.take().expect("input"),
        child.stdout.take().expect("output"),
    );
    output.read_exact(&mut [0; 2]).expect("it runs");
    drained(&mut events);
    input.write_all(b"\n").expect("written");
    output
        .read_exact(&mut [0; 2])
        .expect("it has loaded the library");
    let later = drained(&mut events);
    let library = later.iter().find_map(|event| match event {
        ProcessEvent::Mapped {
            pid: by,
            inode,
            file,
            ..
        } if *by == pid && file.ends_with(b".so") => {
            Some((*inode, String::from_utf8_lossy(file).into_owned()))
        }
        _ => None,
    });
    let (inode, path) = library.expect("a shared object is mapped");
    assert_eq!(fs::metadata(&path).expect("it is there").ino(), inode);
    drop(input);
    let _ = child.wait();
}

#[test]
fn a_forked_process_is_told_with_its_parent_and_a_thread_is_not() {
    let Some((mut events, _alone)) = opened() else {
        return;
    };
    // Two commands, so that the shell forks; the threads of this test are none of them.
    let output = Command::new("/bin/sh")
        .args(["-c", "(exit 0); echo $$"])
        .output()
        .expect("a shell");
    let shell: u32 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("a number");
    std::thread::spawn(|| ()).join().expect("a thread");
    let all = drained(&mut events);
    let children = all
        .iter()
        .filter(|event| matches!(event, ProcessEvent::Forked { parent, .. } if *parent == shell));
    assert_eq!(children.count(), 1, "{all:?}");
    let me = std::process::id();
    assert!(
        !all.iter()
            .any(|event| matches!(event, ProcessEvent::Forked { pid, .. } if *pid == me))
    );
}

#[test]
fn a_full_ring_is_told() {
    let Some((mut events, _alone)) = opened() else {
        return;
    };
    // A record of an executable mapping takes at least 72 bytes.
    let rounds = events.rings.len() * DATA_PAGES * 4096 / 72 + 1000;
    let file = fs::File::open("/bin/sh").expect("a file");
    for _ in 0..rounds {
        // SAFETY: a new mapping of a file that nothing else refers to, removed at once.
        unsafe {
            let base = libc::mmap(
                ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            );
            if base == libc::MAP_FAILED {
                println!("skipped: files cannot be mapped executable here");
                return;
            }
            libc::munmap(base, 4096);
        }
    }
    let inode = file.metadata().expect("metadata").ino();
    let ours = |all: &[ProcessEvent]| {
        all.iter()
            .filter(|event| matches!(event, ProcessEvent::Mapped { inode: at, .. } if *at == inode))
            .count()
    };
    let first = drained(&mut events);
    assert!(ours(&first) > 100);
    // The kernel tells of the loss with the first record that fits again.
    drop(Command::new("/bin/sh").args(["-c", "exit"]).output());
    std::thread::spawn(|| ()).join().expect("a thread");
    let lost: u64 = first
        .into_iter()
        .chain(drained(&mut events))
        .map(|event| {
            if let ProcessEvent::Lost { count } = event {
                count
            } else {
                0
            }
        })
        .sum();
    assert!(lost > 0);
}

#[test]
fn records_of_another_shape_give_nothing() {
    for kind in 0..32 {
        for length in 0..80 {
            let header = Header {
                kind,
                misc: u16::MAX,
                size: 8,
            };
            let body = vec![0xff; length];
            if let Some(event) = event(header, &body) {
                assert!(matches!(event, ProcessEvent::Lost { .. }), "{event:?}");
            }
        }
    }
}

#[test]
fn lists_of_cpus_are_read() {
    assert_eq!(cpu_list("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
    assert_eq!(cpu_list("0\n"), Some(vec![0]));
    for odd in ["", "a", "3-1", "0-99999999", "1-"] {
        assert_eq!(cpu_list(odd), None, "{odd}");
    }
}
