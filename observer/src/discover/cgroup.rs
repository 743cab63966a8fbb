//! Container and systemd unit of a process, from its `/proc/PID/cgroup`.
//!
//! In: the text, of cgroup v1, v2 or both. Out: [`CgroupNames`]. Pure: it reads nothing itself.

/// Longest name taken: systemd's own limit for unit names (`UNIT_NAME_MAX`, src/basic/unit-name.h).
const LONGEST_NAME: usize = 256;
/// Hex digits of a container id of Docker, containerd, CRI-O and Podman.
const ID_DIGITS: usize = 64;
/// Hex digits of a task id of Amazon ECS on Fargate, where `-` and a number follow.
const TASK_DIGITS: usize = 32;

/// What a cgroup path tells of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CgroupNames {
    /// The innermost container: its id, or its name with LXC and systemd-nspawn.
    pub(super) container: Option<String>,
    /// The innermost service or scope that is not the container's own.
    pub(super) unit: Option<String>,
}

impl CgroupNames {
    /// Lines are `0::/path` (v2) and `9:name=systemd:/path`, `4:memory:/path` (v1). A host may have
    /// both, and any may be just `/`.
    pub(super) fn parse(text: &str) -> Self {
        let mut paths: Vec<(u8, &str)> = text
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let rank = match controllers {
                    "" => 0,
                    "name=systemd" => 1,
                    _ => 2,
                };
                Some((rank, path))
            })
            .collect();
        paths.sort_by_key(|(rank, _)| *rank);
        let mut names = Self::default();
        for (_, path) in paths {
            let found = Self::of_path(path);
            names.container = names.container.or(found.container);
            names.unit = names.unit.or(found.unit);
        }
        names
    }

    fn of_path(path: &str) -> Self {
        let mut names = Self::default();
        let mut parent = "";
        for segment in path.split('/') {
            // systemd puts `_` before names that could be taken for the kernel's own files.
            let name = segment.strip_prefix('_').unwrap_or(segment);
            if let Some(container) = container(parent, name) {
                names.container = Some(container);
                // A unit around the container is the runtime's, not the program's.
                names.unit = None;
            } else if is_unit(name) {
                names.unit = Some(cut(name));
            }
            parent = name;
        }
        names
    }
}

fn is_unit(name: &str) -> bool {
    let stem = name
        .strip_suffix(".service")
        .or_else(|| name.strip_suffix(".scope"));
    stem.is_some_and(|stem| !stem.is_empty())
}

fn cut(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

/// The container that a part of the path stands for.
fn container(parent: &str, name: &str) -> Option<String> {
    if let Some(id) = container_id(name) {
        return Some(id.to_owned());
    }
    // systemd-nspawn: `machine-web.scope`, or a unit of its own. A virtual machine is registered
    // the same way, as `machine-qemu\x2d1\x2dweb.scope`.
    if let Some(machine) = name
        .strip_prefix("machine-")
        .and_then(|rest| rest.strip_suffix(".scope"))
    {
        let machine = unescape(machine);
        return (!machine.starts_with("qemu-")).then(|| cut(&machine));
    }
    if let Some(machine) = name
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"))
    {
        return Some(cut(&unescape(machine)));
    }
    // LXC: `lxc.payload.web` or `lxc.payload/web`, `lxc/web` in older ones. `lxc.monitor` is LXC
    // itself.
    if let Some(payload) = name.strip_prefix("lxc.payload.") {
        return Some(cut(payload));
    }
    let lxc = matches!(parent, "lxc" | "lxc.payload") && !name.is_empty();
    lxc.then(|| cut(name))
}

/// The id in `<id>`, `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>`,
/// `libpod-<id>.scope`, `kubepods-….slice:cri-containerd:<id>` and their like.
fn container_id(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let name = name.rsplit(':').next().unwrap_or(name);
    if let Some((task, number)) = name.split_once('-')
        && is_hex(task, TASK_DIGITS)
        && !number.is_empty()
        && number.bytes().all(|digit| digit.is_ascii_digit())
    {
        return Some(name).filter(|name| name.len() <= LONGEST_NAME);
    }
    let (runtime, id) = name.rsplit_once('-').unwrap_or(("", name));
    // conmon watches over a container from outside.
    (is_hex(id, ID_DIGITS) && !runtime.ends_with("conmon")).then_some(id)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// systemd writes `-` in a name as `\x2d` (systemd.unit(5), string escaping).
fn unescape(name: &str) -> String {
    name.replace("\\x2d", "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c8b0f6a9d4e2b7c5a1d0e9f8b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f00";

    /// Container and unit of a line with `{ID}` for the id.
    fn names(text: &str) -> (Option<String>, Option<String>) {
        let CgroupNames { container, unit } = CgroupNames::parse(&text.replace("{ID}", ID));
        (container, unit)
    }

    fn in_container(text: &str) {
        assert_eq!(names(text), (Some(ID.to_owned()), None), "{text}");
    }

    fn in_unit(text: &str, unit: &str) {
        assert_eq!(names(text), (None, Some(unit.to_owned())), "{text}");
    }

    #[test]
    fn container_runtimes_are_known_on_v1_and_v2() {
        for text in [
            "0::/system.slice/docker-{ID}.scope",
            "0::/docker/{ID}",
            "12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/",
            "11:memory:/docker/{ID}/docker/{ID}",
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b2c3d4e_5f60_7182_93a4_b5c6d7e8f901.slice/cri-containerd-{ID}.scope",
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podaa.slice/crio-{ID}.scope",
            "0::/kubepods/burstable/pod1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901/{ID}",
            "0::/system.slice/containerd.service/kubepods-burstable-podaa.slice:cri-containerd:{ID}",
            "0::/machine.slice/libpod-{ID}.scope/container",
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope",
            "0::/libpod_parent/libpod-{ID}",
            "0::/../../docker-{ID}.scope",
            "9:name=systemd:/ecs/5d1e8c9b/{ID}",
        ] {
            in_container(text);
        }
    }

    #[test]
    fn a_unit_inside_a_container_is_named_with_it() {
        let text = "0::/docker/{ID}/system.slice/nginx.service";
        assert_eq!(
            names(text),
            (Some(ID.to_owned()), Some("nginx.service".to_owned()))
        );
    }

    #[test]
    fn lxc_nspawn_and_fargate_containers_have_names() {
        let container = |text| names(text).0;
        assert_eq!(
            container("0::/lxc.payload.web/system.slice").as_deref(),
            Some("web")
        );
        assert_eq!(
            container("0::/lxc.payload/web/init.scope").as_deref(),
            Some("web")
        );
        assert_eq!(container("4:memory:/lxc/web").as_deref(), Some("web"));
        assert_eq!(container("0::/lxc.monitor.web"), None);
        assert_eq!(
            container("0::/machine.slice/machine-my\\x2dweb.scope/payload").as_deref(),
            Some("my-web")
        );
        assert_eq!(
            container("0::/machine.slice/systemd-nspawn@web.service/payload/system.slice")
                .as_deref(),
            Some("web")
        );
        assert_eq!(
            container("0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt"),
            None
        );
        assert_eq!(
            container("8:cpu:/ecs/0a1b2c3d4e5f60718293a4b5c6d7e8f9/0a1b2c3d4e5f60718293a4b5c6d7e8f9-2531612879").as_deref(),
            Some("0a1b2c3d4e5f60718293a4b5c6d7e8f9-2531612879")
        );
    }

    #[test]
    fn services_and_scopes_are_units() {
        in_unit("0::/system.slice/nginx.service", "nginx.service");
        in_unit(
            "0::/system.slice/system-getty.slice/getty@tty1.service",
            "getty@tty1.service",
        );
        in_unit(
            "1:name=systemd:/system.slice/cron.service\n4:memory:/",
            "cron.service",
        );
        in_unit(
            "9:name=systemd:/user.slice/user-0.slice/session-3.scope\n0::/",
            "session-3.scope",
        );
        in_unit(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.x.slice/app-42.scope",
            "app-42.scope",
        );
        in_unit("0::/system.slice/_cgroup.service", "cgroup.service");
        in_unit("0::/init.scope", "init.scope");
        in_unit(
            "0::/machine.slice/libpod-conmon-{ID}.scope"
                .replace("{ID}", ID)
                .as_str(),
            &format!("libpod-conmon-{ID}.scope"),
        );
    }

    #[test]
    fn the_root_and_odd_text_name_nothing() {
        for text in [
            "0::/",
            "9:name=systemd:/\n0::/",
            "",
            "x",
            ":",
            "::",
            "0::",
            "0::/.service",
            "0::/a/b",
        ] {
            assert_eq!(names(text), (None, None), "{text:?}");
        }
    }

    #[test]
    fn names_are_bounded() {
        let long = format!("0::/lxc/{}", "x".repeat(100_000));
        assert_eq!(names(&long).0.map(|name| name.len()), Some(LONGEST_NAME));
    }
}
