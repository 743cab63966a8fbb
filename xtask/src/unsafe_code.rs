//! The rule that `unsafe` has its place: the module that talks to the kernel, the
//! types shared with the kernel half, and the kernel half.
//!
//! In: the sources of the host crates. Out: one line for each `unsafe` elsewhere.

use std::path::Path;

use anyhow::Result;

use crate::source::{line_of, read_code, rust_files, word_positions};

/// The folders that are searched. `observer-common` and `observer-ebpf` may.
const SEARCHED: [&str; 3] = ["observer", "tests", "xtask"];

/// The one folder in them that may.
const ALLOWED: &str = "observer/src/kernel";

/// All uses of `unsafe` outside their place, as `file:line: message`.
pub fn violations(workspace: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in SEARCHED {
        for file in rust_files(&workspace.join(folder))? {
            let shown = file.strip_prefix(workspace).unwrap_or(&file);
            if shown.starts_with(ALLOWED) {
                continue;
            }
            let code = read_code(&file)?;
            for position in word_positions(&code, "unsafe") {
                found.push(format!(
                    "{}:{}: `unsafe` belongs in {ALLOWED}",
                    shown.display(),
                    line_of(&code, position)
                ));
            }
        }
    }
    Ok(found)
}
