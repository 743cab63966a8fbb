//! Who a process is, which TLS library it maps, where a probe may go.

mod candidate;
mod cgroup;
mod container_names;
mod debug_names;
mod elf_image;
mod foreign;
mod go;
mod installed;
mod maps;
mod named;
mod nss;
pub mod placement;
mod process;
mod processes;
mod rustls;
mod signature;
mod socket_files;
mod target;
mod tls_libraries;
mod version_text;

pub use candidate::{Candidate, Finding, Refusal};
pub use elf_image::{ElfError, ElfImage, Extent, Function};
pub use maps::FileId;
pub use process::Process;
pub use processes::Processes;
pub use socket_files::{network_namespaces, socket_processes};
pub use target::{Stamp, Target};
pub use tls_libraries::{TlsLibraries, examine_file};
