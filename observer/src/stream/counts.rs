//! Declares a struct of counters once, with the names and texts that metrics and documents use.

/// Makes a struct of public `u64` counters and `rows`, which lists name, meaning and value.
macro_rules! counts {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $help:literal])+ $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: u64,)+
        }

        impl $name {
            /// Name, meaning and value of every counter, in order of declaration.
            pub fn rows(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($field), concat!($($help),+).trim_ascii(), self.$field)),+]
            }
        }
    };
}
pub(crate) use counts;

/// Counts bytes, whose number is as the source tells it and need not make sense.
pub(crate) fn add(count: &mut u64, bytes: u64) {
    *count = count.saturating_add(bytes);
}

counts! {
    /// What happened to bytes before they were in order.
    StreamCounts {
        /// Segments and plaintext pieces that carried bytes.
        pieces,
        /// Bytes passed on in order.
        bytes,
        /// Bytes seen before: retransmitted or overlapping; the first ones were kept.
        duplicate_bytes,
        /// Segments that came ahead of bytes still missing and were held back.
        reordered_segments,
        /// Gaps: places where bytes that were not asked to be skipped are missing.
        gaps,
        /// Bytes in those gaps.
        gap_bytes,
        /// Bytes that were left out on request.
        skipped_bytes,
        /// Holes given up because their connection or all of them held back too much.
        holes_over_limit,
        /// Holes given up because what was missing did not come in time.
        holes_timed_out,
        /// Segments too far from what was expected to belong to the stream.
        stray_segments,
        /// Streams moved because segments in a row agreed on another position.
        relocations,
        /// RST segments: noted only, since anybody can send one.
        resets,
        /// Pieces that came after the end of their direction.
        after_end,
        /// Connections opened in the table.
        connections,
        /// Connections that were there before the observer.
        joined,
        /// Connections dropped because the table was full, least recently used first.
        evicted,
        /// Connections dropped because nothing came for too long.
        idle,
    }
}
