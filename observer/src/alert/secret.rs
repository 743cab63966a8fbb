//! Secrets of those who take alerts: in files of their own, so that settings can be shown.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Longest secret, bytes.
const MOST: u64 = 4096;

/// Reads the secret in a file, without the blanks around it. A path that does not start with `/`
/// is the name of a credential of the systemd unit (systemd.exec(5), `LoadCredential=`).
///
/// # Errors
/// It cannot be read, or nothing is in it. The error names the file, never what is in it.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let full = if path.is_absolute() {
        path.to_owned()
    } else {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        folder
            .ok_or_else(|| {
                let what = format!(
                    "{} is no full path, and this is no systemd unit with credentials",
                    path.display()
                );
                io::Error::new(io::ErrorKind::NotFound, what)
            })?
            .join(path)
    };
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", full.display()));
    let mut secret = Vec::new();
    File::open(&full)
        .and_then(|file| file.take(MOST).read_to_end(&mut secret))
        .map_err(named)?;
    let secret = secret.trim_ascii().to_vec();
    if secret.is_empty() {
        return Err(named(io::Error::new(
            io::ErrorKind::InvalidData,
            "is empty",
        )));
    }
    Ok(secret)
}

/// The same as text.
///
/// # Errors
/// Those of [`read`], and if it is no text of one line.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| {
            let what = format!("{}: is no text of one line", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
}
