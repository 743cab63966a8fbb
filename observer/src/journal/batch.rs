//! What is written at a time.

use crate::usage::{Dimension, Meter, Row};

/// A quota as it is kept: by the words of its limit, which may have another place in the settings
/// of the next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptQuota {
    /// [`crate::usage::Limit::id`].
    pub limit: String,
    /// Who used it.
    pub name: String,
    /// Number of the period.
    pub period: u64,
    /// What was used in it.
    pub used: u64,
    /// What may be used.
    pub most: u64,
}

/// Changes, or all there is.
#[derive(Debug, Default)]
pub struct Batch {
    /// It is all there is: the file is written anew.
    pub whole: bool,
    /// Sums over all keys of each dimension, and the bound of those not kept.
    pub sums: Vec<(Dimension, [u64; 4], u64)>,
    /// Rows.
    pub rows: Vec<(Dimension, Row)>,
    /// Quotas.
    pub quotas: Vec<KeptQuota>,
}

impl Batch {
    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.quotas.is_empty()
    }

    /// What of `meter` changed, at most so many rows of each dimension, or all of it.
    pub fn of(meter: &mut Meter, whole: bool, most: usize) -> Self {
        let mut batch = Self {
            whole,
            ..Self::default()
        };
        for dimension in Dimension::ALL {
            let changed = meter.take_changed(dimension, if whole { usize::MAX } else { most });
            let ranking = meter.ranking(dimension);
            let total = ranking.total();
            batch
                .sums
                .push((dimension, total.parts(), ranking.missed()));
            if whole {
                let rows = ranking.rows().cloned();
                batch.rows.extend(rows.map(|row| (dimension, row)));
            } else {
                batch
                    .rows
                    .extend(changed.into_iter().map(|row| (dimension, row)));
            }
        }
        batch
    }
}
