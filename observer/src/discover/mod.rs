//! Who a process is, which TLS library it maps, where a probe may go.

mod elf_image;
pub mod placement;
mod process;

pub use elf_image::{ElfError, ElfImage, Function};
pub use process::Process;
