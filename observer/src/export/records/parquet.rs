//! Apache Parquet: a column for each field, and the time, the index and the message.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::fields;
use crate::audit::{Record, Value};

pub use parquet::errors::ParquetError;

/// Rows held in memory, and so in a row group: some ten MiB.
const GROUP: usize = 65_536;
/// Columns before the fields: time and index.
const BEFORE: usize = 2;

/// The values of a column, and for each row whether there is one.
#[derive(Debug)]
enum Column {
    Numbers(Vec<i64>, Vec<i16>),
    Texts(Vec<ByteArray>, Vec<i16>),
}

impl Column {
    fn number(&mut self, value: Option<u64>) {
        if let Self::Numbers(values, known) = self {
            known.push(i16::from(value.is_some()));
            values.extend(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    fn text(&mut self, value: Option<&str>) {
        if let Self::Texts(values, known) = self {
            known.push(i16::from(value.is_some()));
            values.extend(value.map(ByteArray::from));
        }
    }

    fn value(&mut self, value: Value<'_>) {
        match (&self, value) {
            (Self::Numbers(..), Value::Number(number)) => self.number(Some(number)),
            (Self::Numbers(..), _) => self.number(None),
            (Self::Texts(..), Value::Text(text)) => self.text(Some(text)),
            (Self::Texts(..), Value::Number(number)) => self.text(Some(&number.to_string())),
            (Self::Texts(..), Value::Absent) => self.text(None),
        }
    }
}

/// Writes records to a Parquet file.
pub struct ParquetRecords<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
}

impl<W: Write + Send> std::fmt::Debug for ParquetRecords<W> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ParquetRecords")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<W: Write + Send> ParquetRecords<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(out: W) -> Result<Self, ParquetError> {
        let column = |name: &str, physical, logical: Option<LogicalType>| {
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
                .map(Arc::new)
        };
        let text = Some(LogicalType::String);
        let time = LogicalType::timestamp(true, TimeUnit::MILLIS);
        let mut fields = vec![
            column("time", Physical::INT64, Some(time))?,
            column("sequence", Physical::INT64, None)?,
        ];
        for field in super::fields() {
            fields.push(if field.is_number() {
                column(field.name(), Physical::INT64, None)?
            } else {
                column(field.name(), Physical::BYTE_ARRAY, text.clone())?
            });
        }
        fields.push(column("message", Physical::BYTE_ARRAY, text)?);
        let schema = Type::group_type_builder("record")
            .with_fields(fields)
            .build()?;
        let properties = Arc::new(WriterProperties::builder().build());
        Ok(Self {
            file: SerializedFileWriter::new(out, Arc::new(schema), properties)?,
            columns: empty(),
            rows: 0,
        })
    }

    /// Takes a record.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), ParquetError> {
        let mut columns = self.columns.iter_mut();
        for number in [Some(record.time_ms()), record.index()] {
            if let Some(column) = columns.next() {
                column.number(number);
            }
        }
        for (column, field) in columns.by_ref().zip(fields()) {
            column.value(record.value(field));
        }
        if let Some(column) = self.columns.last_mut() {
            column.text(record.message());
        }
        self.rows += 1;
        if self.rows == GROUP {
            self.group()?;
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), ParquetError> {
        self.rows = 0;
        let columns = std::mem::replace(&mut self.columns, empty());
        let mut group = self.file.next_row_group()?;
        for column in columns {
            let Some(mut writer) = group.next_column()? else {
                break;
            };
            match column {
                Column::Numbers(values, known) => {
                    let typed = writer.typed::<Int64Type>();
                    typed.write_batch(&values, Some(&known), None)?;
                }
                Column::Texts(values, known) => {
                    let typed = writer.typed::<ByteArrayType>();
                    typed.write_batch(&values, Some(&known), None)?;
                }
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<(), ParquetError> {
        if self.rows > 0 {
            self.group()?;
        }
        self.file.close()?;
        Ok(())
    }
}

fn empty() -> Vec<Column> {
    let numbers = || Column::Numbers(Vec::new(), Vec::new());
    let texts = || Column::Texts(Vec::new(), Vec::new());
    let fields = fields().map(|field| {
        if field.is_number() {
            numbers()
        } else {
            texts()
        }
    });
    std::iter::repeat_with(numbers)
        .take(BEFORE)
        .chain(fields)
        .chain([texts()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{GROUP, ParquetRecords};
    use crate::audit::{Ocsf, Record};
    use crate::catalog::sample;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    #[test]
    fn every_record_is_a_row_and_what_is_not_known_is_null() {
        let mut bytes = Vec::new();
        let mut file = ParquetRecords::new(&mut bytes).unwrap();
        let mut ocsf = Ocsf::default();
        let count = GROUP as u64 + 10;
        for n in 0..count {
            let status = (n % 3 > 0).then_some(404);
            let call = sample::call("GET", &format!("/users/{n}"), status);
            file.push(&Record::parse(ocsf.call(&call, n).1.as_bytes()))
                .unwrap();
        }
        file.finish().unwrap();
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(file.num_row_groups(), 2);
        let mut rows = 0;
        for (row, n) in file.get_row_iter(None).unwrap().zip(0_i64..) {
            let row = row.unwrap();
            let names: Vec<String> = row
                .get_column_iter()
                .map(|(name, _)| name.clone())
                .collect();
            let at = |name: &str| names.iter().position(|it| it == name).unwrap();
            assert_eq!(row.get_long(at("sequence")).unwrap(), n);
            assert_eq!(
                row.get_timestamp_millis(at("time")).unwrap(),
                1_795_342_830_123
            );
            assert_eq!(row.get_string(at("path")).unwrap(), &format!("/users/{n}"));
            assert_eq!(row.get_long(at("status")).ok(), (n % 3 > 0).then_some(404));
            assert!(row.get_string(at("rule")).is_err());
            rows += 1;
        }
        assert_eq!(rows, count);
    }
}
