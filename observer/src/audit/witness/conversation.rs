//! What is said to a witness, and what its answer means.

use std::path::Path;

use super::submission::Submission;
use crate::audit::anchor::Signed;
use crate::audit::note::Note;
use crate::audit::proof;
use crate::audit::vkey::Vkey;
use ed25519_dalek::SigningKey;

/// What a witness has to say of a checkpoint.
#[derive(Clone, Debug)]
pub(in crate::audit) enum Reply {
    /// It signed; the checkpoint with its signature.
    Cosigned(Note),
    /// It wants a proof from this size on.
    From(u64),
    /// It has seen so many records, and this log does not continue them.
    Fork(u64),
    /// It does not work; why.
    Broken(String),
}

/// The submission of a checkpoint to a witness that saw `old` records. `key` is the one that
/// witnesses know the log by.
pub(in crate::audit) fn submission(
    dir: &Path,
    signed: &Signed,
    old: u64,
    key: &SigningKey,
) -> Result<Submission, String> {
    let note = Note::parse(signed.note.as_bytes())?;
    let line = note.signature(key);
    let note = Note::parse(format!("{note}{line}").as_bytes())?;
    let proof = proof::consistency(dir, &signed.edge, old)
        .map_err(|error| format!("gets no proof: {error}"))?;
    Ok(Submission { old, proof, note })
}

/// What the answer to a submission means.
pub(in crate::audit) fn reply(sent: &Submission, vkey: &Vkey, status: u16, body: &[u8]) -> Reply {
    let ours = sent.note.checkpoint.size;
    match status {
        200 => {
            let cosigned = std::str::from_utf8(body)
                .map_err(|_| "answers with what is not text".to_owned())
                .and_then(|lines| Note::parse(format!("{}{lines}", sent.note).as_bytes()));
            match cosigned {
                Ok(note) if note.cosigned(vkey).is_some() => Reply::Cosigned(note),
                Ok(_) => Reply::Broken("did not sign with the key that is expected".to_owned()),
                Err(what) => Reply::Broken(format!("gives a signature that {what}")),
            }
        }
        409 => {
            let size = std::str::from_utf8(body)
                .ok()
                .and_then(|text| text.trim().parse::<u64>().ok());
            match size {
                Some(size) if size > ours || size == sent.old => Reply::Fork(size),
                Some(size) => Reply::From(size),
                None => Reply::Broken("answers 409 without a size".to_owned()),
            }
        }
        // The proof is right for the log as it is here: it is another log that the witness saw.
        422 => Reply::Fork(sent.old),
        404 => {
            Reply::Broken("does not know this log: give it the key in `witness.vkey`".to_owned())
        }
        403 => {
            Reply::Broken("knows this log by another key than that in `witness.vkey`".to_owned())
        }
        other => Reply::Broken(format!("answers {other}")),
    }
}
