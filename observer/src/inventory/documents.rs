//! What is documented: OpenAPI documents that somebody put in a folder.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

/// Documents read.
const MOST_DOCUMENTS: usize = 500;
/// Largest document; the largest public ones have some 10 MiB.
const LARGEST: u64 = 32 << 20;
/// Operations of a document.
const MOST_OPERATIONS: usize = 20_000;
/// The methods an OpenAPI document can have (OpenAPI 3.1 §4.8.9).
pub(super) const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// One operation of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documented {
    /// Method and path, such as `GET /users/{userId}`, with the base path of the document.
    pub name: String,
    /// The document says that it should not be used any more.
    pub deprecated: bool,
}

/// The operations of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Name of the service: that of the file without `.json`.
    pub service: String,
    /// Its operations.
    pub operations: Vec<Documented>,
}

/// Reads all `SERVICE.json` of a folder: Swagger 2 and OpenAPI 3. Names those that are none.
///
/// # Errors
/// The folder cannot be read.
pub fn documents(folder: &Path) -> io::Result<(Vec<Document>, Vec<String>)> {
    let (mut found, mut bad) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)?.take(MOST_DOCUMENTS) {
        let path = entry?.path();
        let (Some(name), Some("json")) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.extension().and_then(|extension| extension.to_str()),
        ) else {
            continue;
        };
        let small = fs::metadata(&path).is_ok_and(|data| data.len() <= LARGEST);
        let operations = small
            .then(|| fs::read(&path).ok())
            .flatten()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .and_then(|document| operations(&document));
        match operations {
            Some(operations) => found.push(Document {
                service: name.to_owned(),
                operations,
            }),
            None => bad.push(path.display().to_string()),
        }
    }
    found.sort_by(|a, b| a.service.cmp(&b.service));
    Ok((found, bad))
}

fn operations(document: &Value) -> Option<Vec<Documented>> {
    let base = document["basePath"]
        .as_str()
        .or_else(|| document["servers"][0]["url"].as_str().map(path_of_url))
        .unwrap_or_default()
        .trim_end_matches('/');
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object()? {
        for method in METHODS {
            let Some(operation) = item.get(method) else {
                continue;
            };
            if found.len() < MOST_OPERATIONS {
                found.push(Documented {
                    name: format!("{} {base}{path}", method.to_ascii_uppercase()),
                    deprecated: operation["deprecated"].as_bool().unwrap_or(false),
                });
            }
        }
    }
    Some(found)
}

fn path_of_url(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    if url.starts_with('/') {
        url
    } else {
        rest.find('/')
            .and_then(|at| rest.get(at..))
            .unwrap_or_default()
    }
}

impl Document {
    /// The operation that an endpoint such as `GET /users/{id}` is.
    pub fn find(&self, endpoint: &str) -> Option<&Documented> {
        self.operations
            .iter()
            .find(|operation| same(&operation.name, endpoint))
    }
}

/// A parameter of either stands for anything in the other.
fn same(one: &str, other: &str) -> bool {
    let (Some((method, one)), Some((other_method, other))) =
        (one.split_once(' '), other.split_once(' '))
    else {
        return false;
    };
    let mut segments = one.trim_matches('/').split('/');
    let mut others = other.trim_matches('/').split('/');
    method == other_method
        && loop {
            match (segments.next(), others.next()) {
                (None, None) => break true,
                (Some(a), Some(b)) if a == b || a.contains('{') || b.contains('{') => {}
                _ => break false,
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_a_document_are_found_by_their_endpoints() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("shop.json"),
            r#"{"openapi":"3.1.0","servers":[{"url":"https://shop.example/v1/"}],
                "paths":{"/users/{userId}":{"get":{},"delete":{"deprecated":true}}}}"#,
        )
        .unwrap();
        fs::write(dir.path().join("bad.json"), "{").unwrap();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        let (documents, bad) = documents(dir.path()).unwrap();
        assert_eq!((documents.len(), bad.len()), (1, 1));
        let shop = &documents[0];
        assert_eq!(shop.service, "shop");
        let found = |endpoint| shop.find(endpoint).map(|found| found.deprecated);
        assert_eq!(found("GET /v1/users/{id}"), Some(false));
        assert_eq!(found("DELETE /v1/users/{uuid}"), Some(true));
        assert_eq!(found("GET /v1/users"), None);
        assert_eq!(found("POST /v1/users/{id}"), None);
    }
}
