//! Which TLS library a number in an event means, and whether it has proved itself.

use std::sync::{Arc, PoisonError, RwLock};

use observer_common::tls::{LIBRARY_KERNEL, LIBRARY_UNKNOWN};

use super::proof::Proof;
use crate::discover::placement::{FoundBy, LibraryPlan};
use crate::stream::Tls;

/// Library files found by signature that prove themselves each on its own; a host has a handful. Those
/// beyond share the proof of one with the same name.
const MOST_PROOFS: usize = 1_024;

/// Numbers given to library files when probes are attached. Shared by the thread that attaches
/// and the thread that reads events; never shrinks, so a number keeps its meaning.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    entries: Arc<RwLock<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    tls: Arc<Tls>,
    /// Of a library found by signature: what was found, and whether it is right.
    unsure: Option<(Arc<LibraryPlan>, Arc<Proof>)>,
}

/// A library that was found by signature, and what it has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Its name and version.
    pub library: String,
    /// Connections that have shown HTTP until it was believed.
    pub connections: u64,
    /// It is believed: calls are told.
    pub proved: bool,
}

impl Libraries {
    /// The number for the library of this plan. The same name gives the same number, but each file
    /// whose functions were found by signature has its own.
    pub fn number(&self, plan: &Arc<LibraryPlan>) -> u32 {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let unsure = plan.found_by == FoundBy::Signature;
        let is_full =
            unsure && entries.iter().filter(|it| it.unsure.is_some()).count() >= MOST_PROOFS;
        let at = entries.iter().position(|entry| match &entry.unsure {
            Some((known, _)) => {
                unsure && (known == plan || (is_full && entry.tls.library == plan.library))
            }
            None => !unsure && entry.tls.library == plan.library,
        });
        let at = at.unwrap_or_else(|| {
            entries.push(Entry {
                tls: Arc::new(Tls {
                    library: plan.library.clone(),
                    version: None,
                }),
                unsure: unsure.then(|| (Arc::clone(plan), Arc::default())),
            });
            entries.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// What a number means; an unknown one is a library without a name, unless there is only one.
    pub fn get(&self, number: u32) -> Arc<Tls> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if number == LIBRARY_KERNEL {
            return Arc::new(Tls {
                library: "the kernel".to_owned(),
                version: None,
            });
        }
        if let (LIBRARY_UNKNOWN, [only]) = (number, entries.as_slice()) {
            return Arc::clone(&only.tls);
        }
        usize::try_from(number)
            .ok()
            .and_then(|at| entries.get(at).map(|entry| Arc::clone(&entry.tls)))
            .unwrap_or_default()
    }

    /// What a library, as [`Self::get`] gave it, has still to prove.
    pub(super) fn proof_of(&self, tls: &Arc<Tls>) -> Option<Arc<Proof>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().find(|entry| Arc::ptr_eq(&entry.tls, tls))?;
        let (_, proof) = entry.unsure.as_ref()?;
        (!proof.is_proved()).then(|| Arc::clone(proof))
    }

    /// Libraries found by signature, and what they have shown.
    pub fn proved(&self) -> Vec<Proved> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let unsure = entries.iter().filter_map(|entry| {
            let (_, proof) = entry.unsure.as_ref()?;
            Some(Proved {
                library: entry.tls.library.clone(),
                connections: proof.connections(),
                proved: proof.is_proved(),
            })
        });
        unsure.collect()
    }
}
