//! A file that is replaced whole, with a checksum: a reader sees the old one or the new one, after
//! a crash too.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Damaged(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is in the file after its first line, which says `title` and the checksum; `None` if there
/// is no file. At most `most` bytes are read.
pub(super) fn read(path: &Path, title: &str, most: u64) -> Result<Option<Vec<u8>>, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let end = memchr::memchr(b'\n', &bytes).ok_or(Fault::Damaged("it has no first line"))?;
    let (head, body) = bytes.split_at_checked(end).unwrap_or_default();
    let body = body.get(1..).unwrap_or_default();
    let sum = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.strip_prefix(title))
        .and_then(|sum| u32::from_str_radix(sum.trim(), 16).ok())
        .ok_or(Fault::Damaged("it is not of this form"))?;
    if crc32fast::hash(body) != sum {
        return Err(Fault::Damaged("its checksum does not fit"));
    }
    Ok(Some(body.to_vec()))
}

/// Replaces the file, and makes its folder.
pub(super) fn replace(path: &Path, title: &str, body: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(format!("{title} {:08x}\n", crc32fast::hash(body)).as_bytes())?;
    file.write_all(body)?;
    file.sync_data()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}
