//! A control group named as a container runtime names it, in every hierarchy this machine has.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

/// The group; removed when dropped, with no process left in it.
#[derive(Debug)]
pub struct ContainerGroup {
    /// The container id in its name: 64 hexadecimal digits.
    pub id: String,
    folders: Vec<PathBuf>,
}

impl ContainerGroup {
    /// Makes `docker-<id>.scope` under cgroup v1 and v2, whichever are mounted.
    pub fn new() -> Result<Self> {
        let id = format!(
            "{:064x}",
            0xc0de_0000_0000_u64 + u64::from(std::process::id())
        );
        let id = id.replace("00000000", "5afe7e57");
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut folders = Vec::new();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(point), Some(kind)) = (fields.next(), fields.next()) else {
                continue;
            };
            if !matches!(kind, "cgroup" | "cgroup2") {
                continue;
            }
            let folder = PathBuf::from(point).join(format!("docker-{id}.scope"));
            if fs::create_dir(&folder).is_ok() {
                // A cpuset takes no process before it has processors and memory.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    if let Ok(parent) = fs::read_to_string(PathBuf::from(point).join(file)) {
                        let _ = fs::write(folder.join(file), parent);
                    }
                }
                folders.push(folder);
            }
        }
        if folders.is_empty() {
            bail!("no cgroup hierarchy takes a new group");
        }
        Ok(Self { id, folders })
    }

    /// Moves a process in.
    pub fn take(&self, pid: u32) -> Result<()> {
        for folder in &self.folders {
            fs::write(folder.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }
}

impl Drop for ContainerGroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // A process that just ended is in its group for a moment.
            let _ = crate::wait::until("an empty group", std::time::Duration::from_secs(2), || {
                fs::remove_dir(folder).ok()
            });
        }
    }
}
