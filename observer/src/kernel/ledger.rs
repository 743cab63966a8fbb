//! Sums the kernel's books over its processors.

use aya::maps::{Map, MapData, PerCpuArray};
use observer_common::conn::PROTOCOL_NAMES;
use observer_common::counter::{LedgerRow, SOURCE_FUNCTIONS, SOURCE_PACKETS, SOURCE_TLS, Tally};

use super::error::KernelError;
use super::status::{Count, SourceLedger};

const NAME: &str = "LEDGER";
const PROTOCOLS: &str = "PROTOCOLS";

/// Reads the maps `LEDGER` and `PROTOCOLS`.
pub struct LedgerReader {
    map: PerCpuArray<MapData, LedgerRow>,
    protocols: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for LedgerReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LedgerReader")
    }
}

impl LedgerReader {
    pub(super) fn new(map: Map, protocols: Map) -> Result<Self, KernelError> {
        let map = PerCpuArray::try_from(map)
            .map_err(|source| KernelError::MapAccess { name: NAME, source })?;
        let protocols =
            PerCpuArray::try_from(protocols).map_err(|source| KernelError::MapAccess {
                name: PROTOCOLS,
                source,
            })?;
        Ok(Self { map, protocols })
    }

    /// Connections that were found not to be HTTP, by what they speak.
    pub fn protocols(&self) -> Result<Vec<(&'static str, u64)>, KernelError> {
        (0..)
            .zip(PROTOCOL_NAMES)
            .map(|(index, name)| {
                let counts =
                    self.protocols
                        .get(&index, 0)
                        .map_err(|source| KernelError::MapAccess {
                            name: PROTOCOLS,
                            source,
                        })?;
                Ok((name, counts.iter().sum()))
            })
            .collect()
    }

    /// The books of every source as they stand now.
    pub fn read(&self) -> Result<Vec<SourceLedger>, KernelError> {
        [
            (SOURCE_PACKETS, "packets"),
            (SOURCE_FUNCTIONS, "functions"),
            (SOURCE_TLS, "tls"),
        ]
        .into_iter()
        .map(|(index, source)| {
            let rows = self
                .map
                .get(&index, 0)
                .map_err(|source| KernelError::MapAccess { name: NAME, source })?;
            Ok(sum(source, rows.iter()))
        })
        .collect()
    }
}

fn sum<'a>(
    source: &'static str,
    rows: impl Iterator<Item = &'a LedgerRow> + Clone,
) -> SourceLedger {
    let total = |field: fn(&LedgerRow) -> Tally| {
        rows.clone().fold(Count::default(), |sum, row| {
            let Tally { calls, bytes } = field(row);
            Count {
                calls: sum.calls + calls,
                bytes: sum.bytes + bytes,
            }
        })
    };
    SourceLedger {
        source,
        seen: total(|row| row.seen),
        delivered: total(|row| row.delivered),
        filtered: vec![
            ("own", total(|row| row.own)),
            ("duplicate", total(|row| row.duplicate)),
            ("tls", total(|row| row.tls)),
            ("not_http", total(|row| row.other)),
            ("no_memory", total(|row| row.no_memory)),
            ("excluded", total(|row| row.excluded)),
        ],
        skipped: total(|row| row.skipped),
        lost: vec![
            ("ring_full", total(|row| row.ring_full)),
            ("unreadable", total(|row| row.unreadable)),
            ("too_large", total(|row| row.too_large)),
        ],
        lost_requests: total(|row| row.lost_requests),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_summed_over_processors() {
        let tally = |calls, bytes| Tally { calls, bytes };
        let one = LedgerRow {
            seen: tally(3, 30),
            delivered: tally(1, 10),
            ring_full: tally(2, 20),
            ..LedgerRow::default()
        };
        let two = LedgerRow {
            seen: tally(1, 5),
            duplicate: tally(1, 5),
            ..LedgerRow::default()
        };
        let sum = sum("packets", [one, two].iter());
        assert_eq!(
            sum.seen,
            Count {
                calls: 4,
                bytes: 35
            }
        );
        assert_eq!(sum.filtered[1], ("duplicate", Count { calls: 1, bytes: 5 }));
        assert_eq!(
            sum.lost[0],
            (
                "ring_full",
                Count {
                    calls: 2,
                    bytes: 20
                }
            )
        );
    }
}
