//! Where the bytes of an image are: in a file, or in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// See the module.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// A file that somebody else has open.
    File(&'a File),
    /// A file of its own.
    Owned(File),
    /// Bytes that were unpacked.
    Memory(Vec<u8>),
}

impl Source<'_> {
    /// Bytes there are.
    pub(super) fn length(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Owned(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Fills `buffer` with the bytes at `offset`.
    pub(super) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::Owned(file) => file.read_exact_at(buffer, offset),
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).ok();
                let there = from.and_then(|from| bytes.get(from..from.checked_add(buffer.len())?));
                buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}
