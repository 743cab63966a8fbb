//! Single frames of a segment, read where they are known to be.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::audit::error::AuditError;
use crate::audit::frame::{FRAME_HEADER, FrameHeader, Kind};

/// A segment, open.
#[derive(Debug)]
pub(super) struct Frames {
    path: Arc<Path>,
    file: File,
    payload: Vec<u8>,
    raw: Vec<u8>,
}

/// The records of a frame, with the index of the first.
pub(super) type Read<'a> = (FrameHeader, Vec<&'a [u8]>);

impl Frames {
    /// Opens a segment; `None` if it was removed meanwhile.
    pub(super) fn open(path: &Arc<Path>) -> Result<Option<Self>, AuditError> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self {
                path: Arc::clone(path),
                file,
                payload: Vec::new(),
                raw: Vec::new(),
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuditError::io("read", path)(error)),
        }
    }

    pub(super) fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// The records of the frame at `at`; `None` if there is none, or one that was changed.
    pub(super) fn read(&mut self, at: u64) -> Option<Read<'_>> {
        let mut bytes = [0; FRAME_HEADER];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        let header = FrameHeader::parse(&bytes).filter(|header| header.kind == Kind::Records)?;
        self.payload.resize(header.stored as usize, 0);
        let after = at + FRAME_HEADER as u64;
        self.file.read_exact_at(&mut self.payload, after).ok()?;
        if !header.intact(&bytes, &self.payload) {
            return None;
        }
        let records = header.unpack(&self.payload, &mut self.raw)?.collect();
        Some((header, records))
    }
}
