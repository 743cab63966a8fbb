//! Remembers the signs of texts that come again: most requests of a server have one of a few
//! targets, and one of a few user agents.

use std::hash::BuildHasher as _;

use super::{Signs, suspicion};
use crate::hashing::Keyed;

/// Texts remembered, a power of two; each takes 16 bytes.
const REMEMBERED: usize = 1024;

/// Longest text that is remembered, bytes: hashing a longer one costs as much as reading it.
const LONGEST: usize = 512;

/// Signs by a keyed hash of 64 bits of their text: that another text has the same is not met by
/// chance, and cannot be made without the key.
#[derive(Debug)]
pub(super) struct KnownSigns {
    hasher: Keyed,
    known: Box<[(u64, Signs)]>,
}

impl KnownSigns {
    pub(super) fn new() -> Self {
        Self {
            hasher: Keyed::default(),
            // No text has the hash 0, as far as this is concerned.
            known: vec![(0, Signs::NONE); REMEMBERED].into(),
        }
    }

    /// The signs of a request: of its target as it was sent, values included, and of its user
    /// agent and the page it says it comes from.
    pub(super) fn of(
        &mut self,
        method: &str,
        target: &str,
        agent: Option<&[u8]>,
        referrer: Option<&[u8]>,
    ) -> Signs {
        let connect = method == "CONNECT";
        let of_target = self.get(u8::from(connect), target.as_bytes(), || {
            suspicion::of_target(method, target)
        });
        let of_agent = agent.map_or(Signs::NONE, |agent| {
            self.get(2, agent, || suspicion::of_agent(agent))
        });
        of_target | of_agent | referrer.map_or(Signs::NONE, suspicion::of_referrer)
    }

    fn get(&mut self, kind: u8, text: &[u8], read: impl FnOnce() -> Signs) -> Signs {
        if text.len() > LONGEST {
            return read();
        }
        let hash = self.hasher.hash_one((kind, text));
        // The remainder is below the length.
        let place = (hash % REMEMBERED as u64) as usize;
        match self.known.get_mut(place) {
            Some((known, signs)) if *known == hash && hash != 0 => *signs,
            Some(known) => {
                let signs = read();
                *known = (hash, signs);
                signs
            }
            None => read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::request_signs;

    #[test]
    fn what_is_remembered_is_what_was_read() {
        let mut known = KnownSigns::new();
        let targets = ["/", "/.git/config", "/a?b=%27+or+1=1--", "http://h/", "/ok"];
        let agents = [None, Some(&b"sqlmap/1.0"[..]), Some(b"curl/8")];
        for _ in 0..3 {
            for method in ["GET", "CONNECT"] {
                for target in targets {
                    for agent in agents {
                        assert_eq!(
                            known.of(method, target, agent, None),
                            request_signs(method, target, agent, None)
                        );
                    }
                }
            }
        }
    }
}
