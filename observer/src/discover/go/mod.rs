//! Go's own TLS inside an executable.
//!
//! In: an ELF image. Out: a plan, the reason why there is none, or nothing if it is no Go program
//! that speaks TLS. Go keeps a table of all functions in stripped programs too, and its calling
//! convention is the same in all programs since Go 1.17.

mod build_info;
mod function_table;

use std::sync::Arc;

use self::function_table::FunctionTable;
use super::candidate::{Finding, Refusal};
use super::elf_image::ElfImage;
use super::placement::{self, GoFunctions};

/// Looks for Go's TLS in `image`.
pub(super) fn find(image: &ElfImage<'_>) -> Option<Finding> {
    let table = FunctionTable::of(image)?;
    let [read, write, close, copy] = table.functions(GoFunctions::NAMES)?;
    let (read, write) = (read?, write?);
    let library = match build_info::version(image) {
        Some(version) => format!("go crypto/tls {version}"),
        None => "go crypto/tls".to_owned(),
    };
    let functions = GoFunctions {
        read,
        write,
        close,
        copy,
    };
    Some(
        match placement::plan_go(image, library.clone(), functions) {
            Ok(plan) => Finding::Plan(Arc::new(plan)),
            Err(error) => Finding::Refused(Arc::new(Refusal {
                library,
                reason: format!(
                    "{error}, as Go since 1.17 has it; a build with a newer Go would show its calls"
                ),
            })),
        },
    )
}
