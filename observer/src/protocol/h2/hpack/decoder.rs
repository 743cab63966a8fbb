//! Reads header blocks (RFC 7541 §3, §6).

use super::huffman;
use super::integer::integer;
use super::static_table;
use super::table::{DEFAULT_TABLE, MAX_TABLE, Table};
use super::{Field, HpackError};

/// Buffers for strings that do not lie in the block as they are; used again for every block.
#[derive(Default)]
pub struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// State of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Entries may be in the encoder's table that were not seen.
    partial: bool,
    /// Largest table that the receiver of this direction may have allowed.
    allowed: usize,
}

impl Decoder {
    /// A decoder; `midway` if blocks before the first one given were not seen.
    ///
    /// Then the size of the table is not known either. Taking the largest is safe: an encoder
    /// names no entry that it has evicted.
    pub fn new(midway: bool) -> Self {
        Self {
            table: Table::new(if midway { MAX_TABLE } else { DEFAULT_TABLE }),
            partial: midway,
            allowed: if midway { usize::MAX } else { DEFAULT_TABLE },
        }
    }

    /// The receiver of this direction said `SETTINGS_HEADER_TABLE_SIZE`. The encoder follows
    /// with a size update of its own, some time later.
    pub fn allow(&mut self, size: u32) {
        self.allowed = self
            .allowed
            .max(usize::try_from(size).unwrap_or(usize::MAX));
    }

    /// Blocks were lost: what the table holds is not known any more.
    pub fn forget(&mut self) {
        self.table.release();
        self.table.resize(MAX_TABLE);
        self.partial = true;
        self.allowed = usize::MAX;
    }

    /// Some entries of the encoder's table may not be known.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Memory it takes, bytes.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Reads a block and tells its fields in order.
    ///
    /// # Errors
    /// [`HpackError`]; fields before the fault were told. The table is not known from then on.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        scratch: &mut Scratch,
        sink: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let result = self.fields(&mut block, scratch, sink);
        if result.is_err() {
            self.forget();
        }
        for buffer in [&mut scratch.name, &mut scratch.value] {
            // Not if it is empty: on recent processors filling nothing, at an address that is
            // none, takes a few hundred cycles.
            if !buffer.is_empty() {
                buffer.fill(0);
                buffer.clear();
            }
        }
        result
    }

    fn fields(
        &mut self,
        block: &mut &[u8],
        scratch: &mut Scratch,
        sink: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let mut sizes = true;
        while let Some((&first, rest)) = block.split_first() {
            *block = rest;
            if first & 0x80 != 0 {
                let index = integer(first, 0x7f, block)?;
                self.indexed(index, sink)?;
            } else if first & 0xe0 == 0x20 {
                let size = integer(first, 0x1f, block)?;
                if !sizes || size > self.allowed {
                    return Err(HpackError::SizeUpdate);
                }
                self.partial |= size > MAX_TABLE;
                self.table.resize(size.min(MAX_TABLE));
                continue;
            } else {
                let insert = first & 0x40 != 0;
                let index = integer(first, if insert { 0x3f } else { 0x0f }, block)?;
                self.literal(index, insert, block, scratch, sink)?;
            }
            sizes = false;
        }
        Ok(())
    }

    /// §6.1.
    fn indexed(&self, index: usize, sink: &mut impl FnMut(Field<'_>)) -> Result<(), HpackError> {
        let (name, value) = match static_table::entry(index) {
            Some((name, value)) => (Some(name), Some(value)),
            None => match self.dynamic(index)? {
                Some((name, value)) => (name, Some(value)),
                None => (None, None),
            },
        };
        sink(Field { name, value });
        Ok(())
    }

    /// §6.2.
    fn literal(
        &mut self,
        index: usize,
        insert: bool,
        block: &mut &[u8],
        scratch: &mut Scratch,
        sink: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let Scratch {
            name: name_buffer,
            value: value_buffer,
        } = scratch;
        let name = if index == 0 {
            Some(string(block, name_buffer)?)
        } else if let Some((name, _)) = static_table::entry(index) {
            Some(name)
        } else {
            match self.dynamic(index)? {
                Some((Some(name), _)) => {
                    // It may be evicted by its own use.
                    name_buffer.clear();
                    name_buffer.extend_from_slice(name);
                    Some(name_buffer.as_slice())
                }
                Some((None, _)) | None => None,
            }
        };
        let value = string(block, value_buffer)?;
        sink(Field {
            name,
            value: Some(value),
        });
        if insert {
            self.table.insert(name, value);
        }
        Ok(())
    }

    /// An entry of the dynamic table; `None` if it is there but was not seen.
    #[expect(clippy::type_complexity, reason = "name, if known, and value")]
    fn dynamic(&self, index: usize) -> Result<Option<(Option<&[u8]>, &[u8])>, HpackError> {
        let age = index
            .checked_sub(static_table::LEN + 1)
            .ok_or(HpackError::Index)?;
        match self.table.get(age) {
            None if !self.partial => Err(HpackError::Index),
            entry => Ok(entry),
        }
    }
}

/// A string (§5.2), in the block or decoded to the buffer.
fn string<'o, 'b: 'o>(
    block: &mut &'b [u8],
    buffer: &'o mut Vec<u8>,
) -> Result<&'o [u8], HpackError> {
    let (&first, mut rest) = block.split_first().ok_or(HpackError::Truncated)?;
    let len = integer(first, 0x7f, &mut rest)?;
    let (coded, rest) = rest.split_at_checked(len).ok_or(HpackError::Truncated)?;
    *block = rest;
    if first & 0x80 == 0 {
        return Ok(coded);
    }
    buffer.clear();
    huffman::decode(coded, buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests;
