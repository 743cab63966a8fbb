//! Which TLS library a number in an event means.

use std::sync::{Arc, PoisonError, RwLock};

use observer_common::tls::{LIBRARY_KERNEL, LIBRARY_UNKNOWN};

use crate::stream::Tls;

/// Numbers given to library files when probes are attached. Shared by the thread that attaches
/// and the thread that reads events; never shrinks, so a number keeps its meaning.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    names: Arc<RwLock<Vec<Arc<Tls>>>>,
}

impl Libraries {
    /// The number for a library of this name; the same name gives the same number.
    pub fn number(&self, library: &str) -> u32 {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let at = names
            .iter()
            .position(|tls| tls.library == library)
            .unwrap_or_else(|| {
                names.push(Arc::new(Tls {
                    library: library.to_owned(),
                    version: None,
                }));
                names.len() - 1
            });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// What a number means; an unknown one is a library without a name, unless there is only one.
    pub fn get(&self, number: u32) -> Arc<Tls> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        if number == LIBRARY_KERNEL {
            return Arc::new(Tls {
                library: "the kernel".to_owned(),
                version: None,
            });
        }
        if let (LIBRARY_UNKNOWN, [only]) = (number, names.as_slice()) {
            return Arc::clone(only);
        }
        usize::try_from(number)
            .ok()
            .and_then(|at| names.get(at).cloned())
            .unwrap_or_default()
    }
}
