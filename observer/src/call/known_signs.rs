//! Remembers what was read from targets and user agents that come again: most requests of a server
//! have one of a few targets, and one of a few user agents.

use super::remembered::Remembered;
use super::target::{self, Target};
use super::{Signs, suspicion};

/// What is kept of a target, at most 560 bytes.
#[derive(Debug)]
struct OfTarget {
    signs: Signs,
    /// Its path as it may be shown, and whether that was cut.
    path: Box<str>,
    cut: bool,
}

/// The signs of requests, and their paths.
#[derive(Debug)]
pub(super) struct KnownSigns {
    targets: Remembered<OfTarget>,
    agents: Remembered<Signs>,
}

impl KnownSigns {
    pub(super) fn new() -> Self {
        Self {
            targets: Remembered::new(),
            agents: Remembered::new(),
        }
    }

    /// The signs of a target as it was sent, values included; and its path with secrets taken out,
    /// and whether it was cut ([`target::path`]).
    pub(super) fn of_target(&mut self, method: &str, target: &str) -> (Signs, String, bool) {
        let read = || {
            let (path, cut) = target::path(Target::of(method, target).path);
            OfTarget {
                signs: suspicion::of_target(method, target),
                path: path.into(),
                cut,
            }
        };
        let connect = u8::from(method == "CONNECT");
        self.targets.get(connect, target.as_bytes(), read, |found| {
            let OfTarget { signs, path, cut } = found;
            (*signs, String::from(&**path), *cut)
        })
    }

    /// The signs of a user agent, and of the page that a request says it comes from.
    pub(super) fn of_fields(&mut self, agent: Option<&[u8]>, referrer: Option<&[u8]>) -> Signs {
        let of_agent = agent.map_or(Signs::NONE, |agent| {
            let read = || suspicion::of_agent(agent);
            self.agents.get(0, agent, read, |signs| *signs)
        });
        of_agent | referrer.map_or(Signs::NONE, suspicion::of_referrer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::remembered::LONGEST;
    use crate::call::request_signs;

    #[test]
    fn what_is_remembered_is_what_was_read() {
        let mut known = KnownSigns::new();
        let long = format!("/{}", "a/".repeat(LONGEST));
        let targets = [
            "/",
            "/.git/config",
            "/a?b=%27+or+1=1--",
            "http://h/",
            "/ok",
            "/reset-password/5bjghnnqi15o9535?next=/",
            "h:443",
            &long,
        ];
        let agents = [None, Some(&b"sqlmap/1.0"[..]), Some(b"curl/8")];
        for _ in 0..3 {
            for method in ["GET", "CONNECT"] {
                for target in targets {
                    let (signs, path, cut) = known.of_target(method, target);
                    let read = target::path(Target::of(method, target).path);
                    assert_eq!((path, cut), read, "{method} {target}");
                    for agent in agents {
                        assert_eq!(
                            signs | known.of_fields(agent, None),
                            request_signs(method, target, agent, None)
                        );
                    }
                }
            }
        }
    }
}
