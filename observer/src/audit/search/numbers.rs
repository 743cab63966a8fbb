//! A list of numbers as the index stores it.
//!
//! The numbers, or where that takes fewer bytes the steps from one to the next (the signs folded
//! in, as `zigzag`), in as many bytes as the largest needs; first the lowest bytes of all, then
//! the next lowest, so that high bytes that hardly change pack well. All of it as an LZ4 block.

/// How a list is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packing {
    /// Bytes of a number, 0 to 8.
    pub(super) width: u8,
    /// The steps are stored.
    pub(super) steps: bool,
    /// Bytes that are stored.
    pub(super) packed: u32,
}

/// A signed step as a number that is small if the step is.
const fn zigzag(step: i64) -> u64 {
    ((step << 1) ^ (step >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// Bytes that this number needs.
fn width(most: u64) -> u8 {
    (64 - most.leading_zeros()).div_ceil(8) as u8
}

/// Appends `numbers`.
pub(super) fn pack(numbers: &[u64], out: &mut Vec<u8>) -> Packing {
    let step = |before: u64, now: u64| zigzag(now.wrapping_sub(before).cast_signed());
    let most = numbers.iter().copied().max().unwrap_or(0);
    let most_step = std::iter::once(&0)
        .chain(numbers)
        .zip(numbers)
        .map(|(before, now)| step(*before, *now))
        .skip(1)
        .max()
        .unwrap_or(0);
    // The first step starts from nothing, and is as wide as the number.
    let first = numbers.first().map_or(0, |first| step(0, *first));
    let steps = width(most_step) < width(most) && numbers.len() > 1;
    let stepped: Vec<u64>;
    let (list, width) = if steps {
        let mut before = 0;
        stepped = numbers
            .iter()
            .map(|now| step(std::mem::replace(&mut before, *now), *now))
            .collect();
        // It stands before the list in full.
        out.extend_from_slice(&first.to_le_bytes());
        (stepped.get(1..).unwrap_or_default(), width(most_step))
    } else {
        (numbers, width(most))
    };
    let mut plain = Vec::with_capacity(list.len() * usize::from(width));
    for byte in 0..width {
        plain.extend(list.iter().map(|number| (number >> (8 * byte)) as u8));
    }
    let packed = lz4_flex::block::compress(&plain);
    out.extend_from_slice(&packed);
    let head = if steps { size_of::<u64>() } else { 0 };
    Packing {
        width,
        steps,
        packed: u32::try_from(head + packed.len()).unwrap_or(u32::MAX),
    }
}

/// Reads `count` numbers back; `None` if there are not as many.
pub(super) fn unpack(packing: Packing, count: usize, bytes: &[u8]) -> Option<Vec<u64>> {
    let Packing {
        width,
        steps,
        packed: _,
    } = packing;
    if width > 8 {
        return None;
    }
    let (first, bytes) = match steps {
        true => {
            let (first, rest) = bytes.split_first_chunk()?;
            (Some(u64::from_le_bytes(*first)), rest)
        }
        false => (None, bytes),
    };
    let stored = count.checked_sub(usize::from(steps))?;
    let mut plain = vec![0; stored.checked_mul(usize::from(width))?];
    let length = lz4_flex::block::decompress_into(bytes, &mut plain).ok()?;
    if length != plain.len() {
        return None;
    }
    let mut numbers = vec![0_u64; stored];
    if stored > 0 {
        for (byte, plane) in plain.chunks_exact(stored).enumerate() {
            for (number, part) in numbers.iter_mut().zip(plane) {
                *number |= u64::from(*part) << (8 * byte);
            }
        }
    }
    let Some(first) = first else {
        return Some(numbers);
    };
    let mut now = unzigzag(first).cast_unsigned();
    let mut all = Vec::with_capacity(count);
    all.push(now);
    for step in numbers {
        now = now.wrapping_add(unzigzag(step).cast_unsigned());
        all.push(now);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};
    use proptest::prelude::*;

    #[test]
    fn numbers_that_follow_each_other_take_almost_nothing() {
        let mut out = Vec::new();
        let numbers: Vec<u64> = (5_000_000_000..5_000_030_000).collect();
        let packing = pack(&numbers, &mut out);
        assert!(out.len() < 200, "{} bytes, {packing:?}", out.len());
        assert_eq!(unpack(packing, numbers.len(), &out), Some(numbers));
    }

    proptest! {
        #[test]
        fn every_list_reads_back(
            numbers in proptest::collection::vec(any::<u64>(), 0..60), shift in 0_u32..64,
        ) {
            let numbers: Vec<u64> = numbers.iter().map(|number| number >> shift).collect();
            let mut out = Vec::new();
            let packing = pack(&numbers, &mut out);
            prop_assert_eq!(packing.packed as usize, out.len());
            prop_assert_eq!(unpack(packing, numbers.len(), &out), Some(numbers));
        }

        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..60), width in 0_u8..=255,
            steps: bool, count in 0_usize..40,
        ) {
            let packing = super::Packing { width, steps, packed: 0 };
            let _ = unpack(packing, count, &bytes);
        }
    }
}
