//! What people call a container, from the state files of its runtime.
//!
//! In: the id of a container. Out: its name. These files hold environments too, which hold secrets:
//! nothing of them is kept, and what was read is wiped.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroize as _;

/// Largest file read: a specification has some 20 KiB, a list of all containers a KiB for each.
const MOST_BYTES: u64 = 4 << 20;
/// Longest name kept; Docker and Kubernetes allow 253.
const LONGEST: usize = 128;
/// Hex digits of an id.
const ID_DIGITS: usize = 64;

/// Where containerd keeps the specification of a running container, by its own namespaces.
const CONTAINERD: [&str; 4] = [
    "run/containerd/io.containerd.runtime.v2.task/k8s.io",
    "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io",
    "run/containerd/io.containerd.runtime.v2.task/default",
    "var/run/containerd/io.containerd.runtime.v2.task/k8s.io",
];
/// Where CRI-O and Podman keep theirs.
const STORAGE: &str = "run/containers/storage/overlay-containers";
/// All containers of CRI-O and Podman with their names.
const STORAGE_LIST: &str = "var/lib/containers/storage/overlay-containers/containers.json";
const DOCKER: &str = "var/lib/docker/containers";

/// Labels and annotations that name what a container is part of, and the container: Kubernetes by
/// containerd and by CRI-O, Compose, nerdctl.
const NAMED_BY: [(&str, &str); 5] = [
    (
        "io.kubernetes.cri.sandbox-namespace",
        "io.kubernetes.cri.container-name",
    ),
    (
        "io.kubernetes.pod.namespace",
        "io.kubernetes.container.name",
    ),
    ("com.docker.compose.project", "com.docker.compose.service"),
    ("io.podman.compose.project", "io.podman.compose.service"),
    ("", "nerdctl/name"),
];

#[derive(Deserialize)]
struct DockerContainer {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Config", default)]
    config: DockerConfig,
}

#[derive(Default, Deserialize)]
struct DockerConfig {
    #[serde(rename = "Labels", default)]
    labels: Option<HashMap<String, String>>,
}

/// What is read of a specification (OCI runtime-spec, config.md).
#[derive(Deserialize)]
struct Specification {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
}

/// The name of a container, with what it is part of: `shop/web` of a Kubernetes namespace or a
/// Compose project. `root` is where the host's files are: `/`.
pub(super) fn container_name(root: &Path, id: &str) -> Option<String> {
    let plain = id.len() == ID_DIGITS && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !plain {
        return None;
    }
    let docker = root.join(DOCKER).join(id).join("config.v2.json");
    if let Some(DockerContainer { name, config }) = read(docker) {
        let labels = config.labels.unwrap_or_default();
        return named(&labels).or_else(|| clean(name.trim_start_matches('/')));
    }
    let specifications = CONTAINERD
        .iter()
        .map(|folder| root.join(folder).join(id).join("config.json"))
        .chain([root.join(STORAGE).join(id).join("userdata/config.json")]);
    for path in specifications {
        if let Some(Specification { annotations }) = read(path)
            && let Some(name) = named(&annotations)
        {
            return Some(name);
        }
    }
    let all: Vec<Listed> = read(root.join(STORAGE_LIST))?;
    let names = all.into_iter().find(|one| one.id == id)?.names?;
    names.first().and_then(|name| clean(name))
}

fn named(labels: &HashMap<String, String>) -> Option<String> {
    NAMED_BY.iter().find_map(|(whole, part)| {
        let part = clean(labels.get(*part)?)?;
        match labels.get(*whole).and_then(|whole| clean(whole)) {
            Some(whole) => Some(format!("{whole}/{part}")),
            None => Some(part),
        }
    })
}

/// Names are of letters, digits and a few signs; anything else is none.
fn clean(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!name.is_empty() && name.len() <= LONGEST && name.bytes().all(plain)).then(|| name.to_owned())
}

fn read<T: serde::de::DeserializeOwned>(path: PathBuf) -> Option<T> {
    let mut bytes = Vec::new();
    let taken = File::open(path)
        .ok()?
        .take(MOST_BYTES)
        .read_to_end(&mut bytes);
    let read = taken.ok().and_then(|_| serde_json::from_slice(&bytes).ok());
    bytes.zeroize();
    read
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "3f1c8b0f6a9d4e2b7c5a1d0e9f8b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f00";

    fn name(file: &str, text: &str) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(file.replace("{ID}", ID));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("{ID}", ID)).unwrap();
        container_name(root.path(), ID)
    }

    #[test]
    fn containers_of_each_runtime_have_the_name_people_gave_them() {
        let docker = "var/lib/docker/containers/{ID}/config.v2.json";
        let containerd = "run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json";
        let crio = "run/containers/storage/overlay-containers/{ID}/userdata/config.json";
        let podman = "var/lib/containers/storage/overlay-containers/containers.json";
        for (file, text, expected) in [
            (
                docker,
                r#"{"Name":"/web","Config":{"Env":["A=b"],"Labels":{}}}"#,
                Some("web"),
            ),
            (
                docker,
                r#"{"Name":"/web","Config":{"Labels":null}}"#,
                Some("web"),
            ),
            (
                docker,
                r#"{"Name":"/shop-web-1","Config":{"Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}}}"#,
                Some("shop/web"),
            ),
            (
                containerd,
                r#"{"process":{"env":["A=b"]},"annotations":{"io.kubernetes.cri.container-name":"api","io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-name":"api-7d9f"}}"#,
                Some("shop/api"),
            ),
            (
                crio,
                r#"{"annotations":{"io.kubernetes.container.name":"api","io.kubernetes.pod.namespace":"shop"}}"#,
                Some("shop/api"),
            ),
            (
                podman,
                r#"[{"id":"00","names":["no"]},{"id":"{ID}","names":["db"]}]"#,
                Some("db"),
            ),
            (podman, r#"[{"id":"{ID}"}]"#, None),
            (docker, r#"{"Name":"/../{x}"}"#, None),
            (docker, "{", None),
        ] {
            assert_eq!(name(file, text).as_deref(), expected, "{text}");
        }
        assert_eq!(container_name(Path::new("/"), "../../etc"), None);
    }
}
