//! Identity of a process.

/// A process as calls name it. Never its arguments or its environment: those hold secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Process id in the agent's pid namespace.
    pub pid: u32,
    /// Name (`/proc/PID/comm`).
    pub name: String,
    /// Path of the executable as the process itself sees it; `None` if it cannot be read.
    pub exe: Option<String>,
    /// Container id (64 hex digits, or as the runtime names it), from the cgroup path.
    pub container: Option<String>,
    /// What people call the container, as its runtime knows it, such as `shop/web`.
    pub container_name: Option<String>,
    /// systemd unit, from the cgroup path.
    pub unit: Option<String>,
}
