//! The body of `add-checkpoint`: an old size, a consistency proof, a checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::audit::merkle::Hash;
use crate::audit::note::Note;

/// Most hashes of a proof, as the protocol says.
const MAX_HASHES: usize = 63;

/// What is sent to a witness.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Submission {
    /// Size of the last checkpoint that the witness signed.
    pub(in crate::audit) old: u64,
    pub(in crate::audit) proof: Vec<Hash>,
    pub(in crate::audit) note: Note,
}

impl Submission {
    /// The body.
    pub(in crate::audit) fn text(&self) -> String {
        let mut out = format!("old {}\n", self.old);
        for hash in &self.proof {
            out.push_str(&BASE64.encode(hash));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.note.to_string());
        out
    }

    /// Reads a body.
    pub(in crate::audit) fn parse(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "is not UTF-8".to_owned())?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or_else(|| "has no checkpoint".to_owned())?;
        let mut lines = head.split('\n');
        let old = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(|line| line.parse().ok().filter(|n: &u64| n.to_string() == line))
            .ok_or_else(|| "does not start with the old size".to_owned())?;
        let mut proof = Vec::new();
        for line in lines {
            let hash = BASE64
                .decode(line)
                .ok()
                .and_then(|hash| hash.try_into().ok());
            match hash {
                Some(hash) if proof.len() < MAX_HASHES => proof.push(hash),
                Some(_) => return Err("has too long a proof".to_owned()),
                None => return Err("has a line of the proof that is no hash".to_owned()),
            }
        }
        let note =
            Note::parse(note.as_bytes()).map_err(|what| format!("has a checkpoint that {what}"))?;
        Ok(Self { old, proof, note })
    }
}

#[cfg(test)]
mod tests {
    use super::Submission;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_body_panics(body in "(old [0-9]{1,3}\n)?([A-Za-z0-9+/=]{0,50}\n){0,4}\n?[ -~\n]{0,200}") {
            let _ = Submission::parse(body.as_bytes());
        }
    }
}
