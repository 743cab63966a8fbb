//! The rule that data goes one way: a module of the agent imports only from modules
//! to its left.
//!
//! In: the sources of `observer/src`. Out: one line for each import that breaks the
//! rule. It never looks at `lib.rs` and `main.rs`, which see everything.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::source::{is_word, line_of, read_code, rust_files, word_positions};

/// The modules from left to right. Those in one row do not see each other.
///
/// - `hashing` and `recent` are for containers, and know nothing of what is in them.
/// - `discover` is leftmost of what knows this host: who a process is and what it maps is asked by the
///   loader of the probes and named in every call.
/// - `pipeline` joins the stages from `stream` to `detect`.
/// - The sources, `kernel` with `capture`, and `replay`, stand right of the pipeline
///   they feed: they speak `stream`'s input types, and no stage can come to depend on
///   where its bytes are from.
/// - `config` stands right of every stage: a stage takes a plain struct of its own
///   settings, and `app` fills it from the configuration.
const ORDER: [&[&str]; 22] = [
    &["hashing"],
    &["recent"],
    &["discover"],
    &["stream"],
    &["decrypt"],
    &["protocol"],
    &["call"],
    &["catalog"],
    &["usage", "detect", "record"],
    &["rules"],
    &["pipeline"],
    &["kernel"],
    &["capture", "replay"],
    &["audit"],
    &["journal"],
    &["export"],
    &["alert"],
    &["telemetry", "inventory"],
    &["admin"],
    &["config"],
    &["cli"],
    &["app"],
];

/// All imports in `observer/src` that go to the right, as `file:line: message`.
pub fn violations(workspace: &Path) -> Result<Vec<String>> {
    let source = workspace.join("observer").join("src");
    let mut found = Vec::new();
    for file in rust_files(&source)? {
        let path = file.strip_prefix(&source).unwrap_or(&file).to_owned();
        let Some(module) = module_of(&path) else {
            continue;
        };
        let shown = file.strip_prefix(workspace).unwrap_or(&file).display();
        let Some(rank) = rank_of(&module) else {
            found.push(format!(
                "{shown}:1: module `{module}` has no place in the order; give it one in \
                 xtask/src/imports.rs"
            ));
            continue;
        };
        let code = read_code(&file)?;
        for (position, import) in imports(&code, depth_of(&path)) {
            let right = rank_of(import).is_some_and(|other| other >= rank);
            if right && import != module {
                let line = line_of(&code, position);
                found.push(format!(
                    "{shown}:{line}: `{module}` imports `{import}`, which is not to its left"
                ));
            }
        }
    }
    Ok(found)
}

fn rank_of(module: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&module))
}

/// The top module that a file belongs to. `None` for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().next()?;
    let name = PathBuf::from(first.as_os_str());
    let stem = name.file_stem()?.to_str()?.to_owned();
    (path.components().count() > 1 || !matches!(&*stem, "lib" | "main")).then_some(stem)
}

/// How many `super::` lead from a file's module to the crate.
fn depth_of(path: &Path) -> usize {
    let parts = path.components().count();
    let is_folder = path.file_name().is_some_and(|name| name == "mod.rs");
    if is_folder { parts - 1 } else { parts }
}

/// The modules named by paths that start at the crate, with their positions:
/// `crate::a::B`, `crate::{a, b::C}`, and `super::a` from a module of the crate.
fn imports(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for start in word_positions(code, "crate") {
        let after = start + "crate".len();
        if let Some(path) = code[after..].trim_start().strip_prefix("::") {
            heads(code, code.len() - path.len(), &mut found);
        }
    }
    for start in word_positions(code, "super") {
        if code[..start].trim_end().ends_with("::") {
            continue;
        }
        let mut rest = &code[start..];
        let mut climbed = 0;
        while let Some(after) = rest.strip_prefix("super") {
            let Some(path) = after.trim_start().strip_prefix("::") else {
                break;
            };
            climbed += 1;
            rest = path.trim_start();
        }
        if climbed >= depth {
            heads(code, code.len() - rest.len(), &mut found);
        }
    }
    found
}

/// The first names of the path, or of each path in the braces, that begins at
/// `start`.
fn heads<'a>(code: &'a str, start: usize, found: &mut Vec<(usize, &'a str)>) {
    let skipped = code[start..].len() - code[start..].trim_start().len();
    let start = start + skipped;
    if !code[start..].starts_with('{') {
        let name = code[start..].split(|c| !is_word(c)).next().unwrap_or("");
        if !name.is_empty() {
            found.push((start, name));
        }
        return;
    }
    let mut depth = 0_usize;
    let mut expects_head = false;
    for (offset, character) in code[start..].char_indices() {
        match character {
            '{' => {
                depth += 1;
                expects_head = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
            ',' => expects_head = depth == 1,
            c if is_word(c) && expects_head => {
                expects_head = false;
                heads(code, start + offset, found);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{imports, violations};

    fn names(code: &str, depth: usize) -> Vec<&str> {
        imports(code, depth)
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }

    #[test]
    fn every_path_from_the_crate_is_found() {
        let code = "use crate::call::{ApiCall, Body};\nuse crate::{stream::{A, b::C}, kernel};\n\
                    fn f(x: crate :: export::Table) { pub(crate) }";
        assert_eq!(names(code, 2), ["call", "stream", "kernel", "export"]);
    }

    #[test]
    fn a_path_that_climbs_to_the_crate_is_found() {
        let code = "use super::sibling; use super::super::export::Table;";
        assert_eq!(names(code, 2), ["export"]);
        assert_eq!(names("use super::export;", 1), ["export"]);
    }

    #[test]
    fn an_import_to_the_right_is_named_with_file_and_line() {
        let folder = std::env::temp_dir().join(format!("xtask-imports-{}", std::process::id()));
        let source = folder.join("observer/src");
        fs::create_dir_all(source.join("stream")).unwrap();
        fs::write(source.join("lib.rs"), "use crate::app;").unwrap();
        fs::write(
            source.join("stream/order.rs"),
            "use crate::discover::Process;\n// crate::app\nuse crate::call::ApiCall;\n",
        )
        .unwrap();
        let found = violations(Path::new(&folder)).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            found,
            ["observer/src/stream/order.rs:3: `stream` imports `call`, which is not to its left"]
        );
    }
}
