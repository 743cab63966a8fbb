//! Checkpoints as C2SP signed notes (tlog-checkpoint, signed-note; Ed25519).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey};

use super::merkle::Hash;
use super::vkey::{Purpose, Vkey};

/// A checkpoint is a few hundred bytes; with sixteen witnesses of the largest kind, 64 KiB.
const MAX_NOTE: usize = 64 << 10;
/// Signatures read of one note; more are ignored, as C2SP allows from sixteen on.
const MAX_SIGNATURES: usize = 64;

/// What a checkpoint says: the tree of `origin` had this root at this size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Records in the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            BASE64.encode(self.root)
        )
    }

    /// The signed note.
    pub fn sign(&self, key: &SigningKey) -> String {
        let vkey = Vkey::new(&self.origin, key);
        let body = self.body();
        let line = signature_line(&vkey, &key.sign(body.as_bytes()).to_bytes());
        format!("{body}\n{line}")
    }
}

/// One line below a note.
fn signature_line(vkey: &Vkey, signature: &[u8]) -> String {
    let mut blob = vkey.id().to_be_bytes().to_vec();
    blob.extend_from_slice(signature);
    format!("\u{2014} {} {}\n", vkey.name(), BASE64.encode(blob))
}

/// What a witness signs (tlog-cosignature, Ed25519): when, and the whole body.
fn cosigned_message(time_s: u64, body: &str) -> String {
    format!("cosignature/v1\ntime {time_s}\n{body}")
}

/// A checkpoint as it was read, its signatures not verified yet.
#[derive(Clone, Debug)]
pub struct Note {
    /// What it says.
    pub checkpoint: Checkpoint,
    text: String,
    /// The lines below the text.
    lines: String,
    signatures: Vec<(String, u32, Vec<u8>)>,
}

impl std::fmt::Display for Note {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}\n{}", self.text, self.lines)
    }
}

impl Note {
    /// Reads a signed note.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_NOTE {
            return Err("is too long for a checkpoint".to_owned());
        }
        let note = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        if note.chars().any(|c| c.is_ascii_control() && c != '\n') {
            return Err("holds a control character".to_owned());
        }
        let at = note
            .rfind("\n\n")
            .ok_or_else(|| "has no signature".to_owned())?;
        let (text, rest) = note
            .split_at_checked(at + 1)
            .ok_or_else(|| "has no signature".to_owned())?;
        let lines = rest
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'))
            .ok_or_else(|| "has a signature that is cut".to_owned())?;
        let below = format!("{lines}\n");
        let mut signatures = Vec::new();
        for line in lines.split('\n').take(MAX_SIGNATURES) {
            let (name, blob) = line
                .strip_prefix("\u{2014} ")
                .and_then(|line| line.split_once(' '))
                .ok_or_else(|| "has a signature line that is none".to_owned())?;
            let blob = BASE64
                .decode(blob)
                .map_err(|_| "has a signature that is not base64".to_owned())?;
            let (id, signature) = blob
                .split_first_chunk()
                .ok_or_else(|| "has a signature that is cut".to_owned())?;
            signatures.push((name.to_owned(), u32::from_be_bytes(*id), signature.to_vec()));
        }
        let mut lines = text.lines();
        let origin = lines.next().unwrap_or_default().to_owned();
        let size = lines.next().unwrap_or_default();
        let number = size
            .parse::<u64>()
            .ok()
            .filter(|number| number.to_string() == size)
            .ok_or_else(|| "has a size that is no number".to_owned())?;
        let root = BASE64
            .decode(lines.next().unwrap_or_default())
            .ok()
            .and_then(|root| root.try_into().ok())
            .ok_or_else(|| "has a root that is no hash".to_owned())?;
        Ok(Self {
            checkpoint: Checkpoint {
                origin,
                size: number,
                root,
            },
            text: text.to_owned(),
            lines: below,
            signatures,
        })
    }

    /// The signature line of `key` under another name than the log's first, for those who know the
    /// log by that key.
    pub(super) fn signature(&self, key: &SigningKey) -> String {
        let vkey = Vkey::new(&self.checkpoint.origin, key);
        signature_line(&vkey, &key.sign(self.text.as_bytes()).to_bytes())
    }

    /// The line with which the witness `name` signs that it saw this at Unix time `time_s`.
    pub(super) fn cosignature(&self, name: &str, key: &SigningKey, time_s: u64) -> String {
        let vkey = Vkey::of_witness(name, key);
        let message = cosigned_message(time_s, &self.text);
        let mut signature = time_s.to_be_bytes().to_vec();
        signature.extend_from_slice(&key.sign(message.as_bytes()).to_bytes());
        signature_line(&vkey, &signature)
    }

    /// When the witness `vkey` saw this, Unix time in seconds; `None` if it did not sign, or if one
    /// of its signatures is wrong.
    pub fn cosigned(&self, vkey: &Vkey) -> Option<u64> {
        let id = vkey.id();
        let mut seen = None;
        for (name, its_id, blob) in &self.signatures {
            if name != vkey.name() || *its_id != id || vkey.purpose() != Purpose::Witness {
                continue;
            }
            let (time, signature) = blob.split_first_chunk()?;
            let time_s = u64::from_be_bytes(*time);
            let message = cosigned_message(time_s, &self.text);
            let signature = Signature::from_slice(signature).ok()?;
            vkey.verify(message.as_bytes(), &signature).then_some(())?;
            seen = seen.max(Some(time_s));
        }
        seen
    }

    /// Whether `vkey` signed it. Signatures by others are ignored; one by `vkey` that is wrong
    /// makes the note bad even if another is right.
    pub fn verify(&self, vkey: &Vkey) -> bool {
        let id = vkey.id();
        let mut signed = false;
        for (name, its_id, signature) in &self.signatures {
            if name == vkey.name() && *its_id == id {
                let good = Signature::from_slice(signature)
                    .is_ok_and(|signature| vkey.verify(self.text.as_bytes(), &signature));
                if !good {
                    return false;
                }
                signed = true;
            }
        }
        signed && self.checkpoint.origin == vkey.name() && vkey.purpose() == Purpose::Log
    }
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, Note};
    use crate::audit::Vkey;
    use crate::audit::merkle::{Frontier, leaf_hash};
    use ed25519_dalek::SigningKey;

    const VKEY: &str =
        "host-01.example/apilog+38407c77+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    const NOTE: &str = "host-01.example/apilog\n3\nPbZ2Ze6owm3jQWaMHTGZ9h3kt4CoKFaaiYzkjCjZMfM=\n\n\
        \u{2014} host-01.example/apilog OEB8d2QHkGOfP1a4ui3gONNf6EETZU+dIwfF9vmTWwPvD8rbqtH7ZQzVFZ20chswE+YxvH1OsVoNgV6efkZ4e3DMfwg=\n";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&std::array::from_fn(|at| at as u8))
    }

    #[test]
    fn a_known_key_over_known_records_gives_the_known_note() {
        let mut tree = Frontier::default();
        for n in 0..3 {
            tree.push(
                leaf_hash(format!("{{\"seq\":{n}}}").as_bytes()),
                &mut |_, _, _| {},
            );
        }
        let checkpoint = Checkpoint {
            origin: "host-01.example/apilog".to_owned(),
            size: tree.size(),
            root: tree.root(),
        };
        assert_eq!(checkpoint.sign(&key()), NOTE);
        assert_eq!(
            Vkey::new("host-01.example/apilog", &key()).to_string(),
            VKEY
        );
    }

    #[test]
    fn a_witness_below_is_known_by_its_key_and_does_not_change_who_signed() {
        let cosigned = format!(
            "{NOTE}\u{2014} witness.example/w1 IDJKvgAAAABpVbkA0SIvfNUT0VpD2ZlfHqYrraDVUNvzxQ+w+0QHQN12LTu5mBJHkHGgC0nZNVG0Braa8xO+TZuUDQ2rlTdj2v9ACg==\n"
        );
        let vkey = Vkey::parse(VKEY).unwrap();
        let note = Note::parse(cosigned.as_bytes()).unwrap();
        assert!(note.verify(&vkey));
        assert_eq!(note.checkpoint.size, 3);
        // The same key at the same time gives the same line.
        let key = SigningKey::from_bytes(&std::array::from_fn(|at| 0x20 + at as u8));
        let line = Note::parse(NOTE.as_bytes()).unwrap().cosignature(
            "witness.example/w1",
            &key,
            1_767_225_600,
        );
        assert_eq!(format!("{NOTE}{line}"), cosigned);
        let witness = Vkey::of_witness("witness.example/w1", &key);
        assert_eq!(note.cosigned(&witness), Some(1_767_225_600));
        assert!(!note.verify(&witness) && note.cosigned(&vkey).is_none());
        for at in NOTE.len()..cosigned.len() {
            let mut bytes = cosigned.as_bytes().to_vec();
            bytes[at] ^= 1;
            let seen = Note::parse(&bytes).map(|note| note.cosigned(&witness));
            assert!(!matches!(seen, Ok(Some(_))), "byte {at}");
        }
    }

    #[test]
    fn every_changed_byte_of_a_note_is_noticed() {
        let vkey = Vkey::parse(VKEY).unwrap();
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let good = Note::parse(&bytes).is_ok_and(|note| note.verify(&vkey));
            assert!(!good, "byte {at}");
        }
        for at in 0..VKEY.len() {
            let mut bytes = VKEY.as_bytes().to_vec();
            bytes[at] ^= 1;
            let other = std::str::from_utf8(&bytes).map(Vkey::parse);
            assert!(
                !matches!(other, Ok(Ok(ref key)) if *key == vkey),
                "byte {at}"
            );
        }
    }

    #[test]
    fn an_independent_implementation_accepts_our_notes_and_keys() {
        let verifier = signed_note::StandardVerifier::new(VKEY).unwrap();
        let note = signed_note::Note::from_bytes(NOTE.as_bytes()).unwrap();
        let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        let (good, unknown) = note.verify(&known).unwrap();
        assert_eq!((good.len(), unknown.len()), (1, 0));
        let checkpoint = tlog_tiles::checkpoint::Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!(checkpoint.size(), 3);
    }
}
