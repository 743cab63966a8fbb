//! The audit log: started beside capture, and the commands that read it.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::{complain, print};
use crate::audit::{
    AuditError, AuditSink, AuditThread, Note, Proof, Published, ReaderSecret, StartError, Trust,
    Vkey, last_checkpoint, prove, publish, verify,
};
use crate::cli::{AuditCommandArgs, Exit};
use crate::config::{Settings, effective};
use crate::export::{harden_json, terminal_text};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(200);
/// A checkpoint with all its cosignatures.
const MOST_ANCHOR: u64 = 64 << 10;

/// Opens the log if the settings ask for it.
pub(super) fn start(settings: &Settings) -> Result<Option<(AuditSink, AuditThread)>, StartError> {
    if !settings.audit.enabled {
        return Ok(None);
    }
    let dir = settings.state_dir.join("audit");
    let hash = Sha256::digest(effective(settings).as_bytes());
    let hex = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let origin = format!("{}/audit", host_name());
    crate::audit::start(dir, &origin, settings.audit.clone(), hex).map(Some)
}

/// Name of this host, as far as a signed note can carry it.
pub(super) fn host_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    if host.is_empty() {
        "host".to_owned()
    } else {
        host
    }
}

/// Runs one command on a log.
pub(super) fn run(command: &AuditCommandArgs) -> Exit {
    let done = match command {
        AuditCommandArgs::Verify {
            dir,
            vkey,
            anchor,
            witness,
            json,
        } => return verify_log(dir, vkey.as_deref(), anchor, witness, *json),
        AuditCommandArgs::Prove { index, dir } => prove(dir, *index),
        AuditCommandArgs::CheckProof { file, vkey } => return check_proof(file, vkey),
        AuditCommandArgs::Export(args) => return super::export::run(args),
        AuditCommandArgs::RotateKey { dir } => return rotate_key(dir),
        AuditCommandArgs::Publish { dir, out } => publish(dir, out).map(|published| {
            let Published {
                size,
                first,
                written,
            } = published;
            format!("records {first} to before {size}; {written} files are new\n")
        }),
        AuditCommandArgs::Keygen { file } => return keygen(file),
        AuditCommandArgs::Witness(args) => return super::witness::run(args),
        AuditCommandArgs::Checkpoint { dir } => last_checkpoint(dir),
    };
    match done {
        Ok(text) => print(&text),
        Err(error) => failed(&error),
    }
}

fn rotate_key(dir: &Path) -> Exit {
    match crate::audit::ask(dir, &crate::audit::Request::RotateKey) {
        Ok(()) => print("the key was replaced, and the old one destroyed\n"),
        Err(error) => failed(&error),
    }
}

/// The private key goes to a file that is new, for its owner alone.
fn keygen(file: &Path) -> Exit {
    let secret = ReaderSecret::generate();
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(secret.to_file().as_bytes()));
    match written {
        Ok(()) => print(&format!("{}\n", secret.public())),
        Err(error) => {
            complain(&format!("cannot write {}: {error}", file.display()));
            Exit::Failed
        }
    }
}

fn failed(error: &AuditError) -> Exit {
    complain(&error.to_string());
    Exit::Failed
}

fn bad_key(what: &str) -> Exit {
    complain(&format!("the key given with --vkey {what}"));
    Exit::Usage
}

fn verify_log(
    dir: &Path,
    vkey: Option<&str>,
    anchors: &[PathBuf],
    witnesses: &[String],
    json: bool,
) -> Exit {
    let mut trust = Trust::default();
    match vkey.map(Vkey::parse).transpose() {
        Ok(vkey) => trust.vkey = vkey,
        Err(what) => return bad_key(&what),
    }
    for path in anchors {
        match read_anchor(path) {
            Ok(note) => trust.anchors.push(note),
            Err(what) => {
                complain(&format!("the anchor {} {what}", path.display()));
                return Exit::Usage;
            }
        }
    }
    for witness in witnesses {
        match Vkey::parse_witness(witness) {
            Ok(vkey) => trust.witnesses.push(vkey),
            Err(what) => {
                complain(&format!("the key given with --witness {what}"));
                return Exit::Usage;
            }
        }
    }
    let terminal = io::stderr().is_terminal();
    let mut shown = Instant::now();
    let result = verify(dir, &trust, &mut |done, all| {
        if terminal && shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            let percent = done * 100 / all.max(1);
            drop(write!(io::stderr(), "\rverifying {percent:3} %"));
        }
    });
    if terminal {
        drop(write!(io::stderr(), "\r               \r"));
    }
    let report = match result {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    let text = if json {
        let mut value = serde_json::to_value(&report).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.insert("good".to_owned(), report.good().into());
            object.insert("first_bad".to_owned(), report.first_bad().into());
        }
        format!("{}\n", harden_json(&value.to_string()))
    } else {
        let lines = report.to_string();
        lines
            .lines()
            .flat_map(|line| [terminal_text(line), "\n".to_owned()])
            .collect()
    };
    match print(&text) {
        Exit::Done if !report.good() => Exit::Failed,
        exit => exit,
    }
}

fn read_anchor(path: &Path) -> Result<Note, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MOST_ANCHOR).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    Note::parse(&bytes)
}

fn check_proof(file: &Path, vkey: &str) -> Exit {
    let vkey = match Vkey::parse(vkey) {
        Ok(vkey) => vkey,
        Err(what) => return bad_key(&what),
    };
    let proof = match Proof::read(file) {
        Ok(proof) => proof,
        Err(error) => return failed(&error),
    };
    if let Err(what) = proof.check(&vkey) {
        complain(&format!("{} {what}", file.display()));
        return Exit::Failed;
    }
    let record = String::from_utf8_lossy(&proof.record);
    print(&format!("{}\n", harden_json(&record)))
}
