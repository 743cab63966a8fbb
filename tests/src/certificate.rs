//! A self-signed certificate for one test, made by openssl.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::running::run_ok;

/// Certificate and key in files that live as long as this does.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    /// A new one for localhost, 127.0.0.1 and `::1`.
    pub fn new() -> Result<Self> {
        let certificate = Self {
            folder: TempDir::new()?,
        };
        run_ok(
            Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=localhost",
                ])
                .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
                .args([
                    "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1",
                ])
                .arg("-keyout")
                .arg(certificate.key())
                .arg("-out")
                .arg(certificate.chain()),
            Duration::from_secs(20),
        )?;
        Ok(certificate)
    }

    /// PEM file of the certificate.
    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// PEM file of the key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
