//! Who a process is, which TLS library it maps, where a probe may go.

mod process;

pub use process::Process;
