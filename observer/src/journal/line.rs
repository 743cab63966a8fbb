//! One line of the file: a checksum and a JSON object.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::batch::KeptQuota;

/// What a line says. A later line replaces an earlier one of the same key.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// Sums over all keys of a dimension, and the bound of those not kept.
    Sum {
        by: String,
        total: [u64; 4],
        missed: u64,
    },
    /// A row ([`crate::usage::Row::to_numbers`]).
    Row {
        by: String,
        name: String,
        numbers: Vec<Vec<u64>>,
    },
    /// A quota.
    Quota {
        limit: String,
        name: String,
        period: u64,
        used: u64,
        most: u64,
    },
}

impl Line {
    pub(super) fn quota(quota: &KeptQuota) -> Self {
        let KeptQuota {
            limit,
            name,
            period,
            used,
            most,
        } = quota.clone();
        Self::Quota {
            limit,
            name,
            period,
            used,
            most,
        }
    }

    /// Appends the line with its end.
    pub(super) fn write(&self, out: &mut String) {
        let text = serde_json::to_string(self).unwrap_or_default();
        let _ = writeln!(out, "{:08x} {text}", crc32fast::hash(text.as_bytes()));
    }

    /// Reads a line; `None` if it is damaged.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let (sum, rest) = line.split_at_checked(8)?;
        let text = rest.strip_prefix(b" ")?;
        let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
        if crc32fast::hash(text) != sum {
            return None;
        }
        serde_json::from_slice(text).ok()
    }
}
