//! Checkpoints as C2SP signed notes (tlog-checkpoint, signed-note; Ed25519).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::merkle::Hash;

/// Signature type of Ed25519 in a signed note.
const ED25519: u8 = 1;
/// A checkpoint is a few hundred bytes; with sixteen witnesses of the largest kind, 64 KiB.
const MAX_NOTE: usize = 64 << 10;
/// Signatures read of one note; more are ignored, as C2SP allows from sixteen on.
const MAX_SIGNATURES: usize = 64;

/// A public key with the name it signs under, written as `name+id+key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    name: String,
    key: VerifyingKey,
}

impl Vkey {
    /// The public half of `key` under `name`.
    pub fn new(name: &str, key: &SigningKey) -> Self {
        Self {
            name: name.to_owned(),
            key: key.verifying_key(),
        }
    }

    /// Reads `name+id+key`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("is no verifier key: it has the form NAME+ID+KEY".to_owned());
        };
        let bytes = BASE64
            .decode(key)
            .map_err(|_| "has a key that is not base64".to_owned())?;
        let Some((&ED25519, key)) = bytes.split_first() else {
            return Err("has a key that is not Ed25519".to_owned());
        };
        let key: [u8; 32] = key
            .try_into()
            .map_err(|_| "has a key of the wrong length".to_owned())?;
        let key = VerifyingKey::from_bytes(&key)
            .map_err(|_| "has a key that is no point of the curve".to_owned())?;
        let vkey = Self {
            name: name.to_owned(),
            key,
        };
        if !valid_name(name) || format!("{:08x}", vkey.id()) != id {
            return Err("has an id that does not fit its name and key".to_owned());
        }
        Ok(vkey)
    }

    /// The name, which is the origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', ED25519]);
        hasher.update(self.key.as_bytes());
        let hash: Hash = hasher.finalize().into();
        hash.first_chunk().map_or(0, |id| u32::from_be_bytes(*id))
    }
}

impl std::fmt::Display for Vkey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(
            out,
            "{}+{:08x}+{}",
            self.name,
            self.id(),
            BASE64.encode(key)
        )
    }
}

/// A name that a signed note can carry: no white space, no plus, not empty.
pub(super) fn valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

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
        let mut blob = vkey.id().to_be_bytes().to_vec();
        blob.extend_from_slice(&key.sign(body.as_bytes()).to_bytes());
        format!("{body}\n\u{2014} {} {}\n", vkey.name, BASE64.encode(blob))
    }
}

/// A checkpoint as it was read, its signatures not verified yet.
#[derive(Clone, Debug)]
pub struct Note {
    /// What it says.
    pub checkpoint: Checkpoint,
    text: String,
    signatures: Vec<(String, u32, Vec<u8>)>,
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
            signatures,
        })
    }

    /// Whether `vkey` signed it. Signatures by others are ignored; one by `vkey` that is wrong
    /// makes the note bad even if another is right.
    pub fn verify(&self, vkey: &Vkey) -> bool {
        let id = vkey.id();
        let mut signed = false;
        for (name, its_id, signature) in &self.signatures {
            if *name == vkey.name && *its_id == id {
                let good = Signature::from_slice(signature).is_ok_and(|signature| {
                    vkey.key
                        .verify_strict(self.text.as_bytes(), &signature)
                        .is_ok()
                });
                if !good {
                    return false;
                }
                signed = true;
            }
        }
        signed && self.checkpoint.origin == vkey.name
    }
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, Note, Vkey};
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
    fn a_witness_below_does_not_change_who_signed() {
        let cosigned = format!(
            "{NOTE}\u{2014} witness.example/w1 IDJKvgAAAABpVbkA0SIvfNUT0VpD2ZlfHqYrraDVUNvzxQ+w+0QHQN12LTu5mBJHkHGgC0nZNVG0Braa8xO+TZuUDQ2rlTdj2v9ACg==\n"
        );
        let vkey = Vkey::parse(VKEY).unwrap();
        let note = Note::parse(cosigned.as_bytes()).unwrap();
        assert!(note.verify(&vkey));
        assert_eq!(note.checkpoint.size, 3);
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
