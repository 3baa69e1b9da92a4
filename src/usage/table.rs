//! The table: its one schema, and Parquet files of it.
//!
//! Rows are sorted by namespace, pod and time, so that most columns are long runs, and a reader that wants one namespace skips the rest by the
//! statistics. A file is written row group by row group, and in these column by column: beside the batch itself little more is held than one column of
//! one row group.
//!
//! Encodings are those of the first version of the format, dictionaries and plain values: Athena, Trino, Spark and Hive read them in every release
//! that is still in use. Newer ones are smaller for counters, but Spark reads `DELTA_BINARY_PACKED` only since 3.3, and `BYTE_STREAM_SPLIT` not even
//! there.

mod columns;
mod group;
mod order;

use std::io::Write;
use std::sync::Arc;

use arrow_array::Array as _;
use arrow_schema::{Field, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use self::columns::{COLUMNS, Column};
use self::group::Group;
use super::facts::Batch;

/// Rows of a row group.
const GROUP_ROWS: usize = 1 << 18;

/// A page holds what a row group has of a column of numbers, since what is equal is found only within a page.
const PAGE_BYTES: usize = GROUP_ROWS * 8;

/// A column that has more than this in different texts is written without a dictionary from there on.
const DICTIONARY_BYTES: usize = 8 << 20;

/// Key in the metadata of every file; rises when columns are added.
const VERSION: (&str, &str) = ("kube-s3-exporter.usage.schema", "1");

/// What the rows are sorted by.
const SORTED_BY: [&str; 4] = ["namespace", "pod_name", "collected_at", "pod_id"];

/// A file that has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its row groups.
    pub row_groups: usize,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Files without rows only cost those who list them.
    #[error("a table without rows is not written")]
    Empty,
    /// A row points to a report or a pod that the batch does not have.
    #[error("row {row} is of report {report} of {reports}, and of pod {pod} of {pods}")]
    Dangling {
        /// Which row, from zero.
        row: usize,
        /// [`Row::report`](super::facts::Row::report)
        report: u32,
        /// How many there are.
        reports: usize,
        /// [`Row::pod`](super::facts::Row::pod)
        pod: u32,
        /// How many there are.
        pods: usize,
    },
    /// It could not be encoded, or not be written to where it should go.
    #[error("cannot write the table: {0}")]
    Parquet(#[from] ParquetError),
}

/// The columns of every file, in their order: those that have always been documented, those that were there too, and new ones. All may be null.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(COLUMNS.iter().map(Column::field).collect::<Vec<_>>()))
}

/// Writes `batch` as one file. The same batch gives the same bytes. What was written before an error is no table.
pub fn write<W: Write + Send>(mut batch: Batch, to: W) -> Result<Written, TableError> {
    check(&batch)?;
    order::sort(&mut batch);
    let schema = schema();
    let parquet = ArrowSchemaConverter::new().convert(&schema)?;
    let mut file = SerializedFileWriter::new(to, parquet.root_schema_ptr(), Arc::new(properties(&batch)?))?;
    let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&schema));
    for (index, rows) in batch.rows.chunks(GROUP_ROWS).enumerate() {
        let group = Group::new(&batch, rows);
        let mut out = file.next_row_group()?;
        let writers = factory.create_column_writers(index)?;
        for (column, mut writer) in COLUMNS.iter().zip(writers) {
            group.arrays(&column.of, &mut |array| {
                let field = Field::new(column.name, array.data_type().clone(), true);
                for leaf in compute_leaves(&field, &array)? {
                    writer.write(&leaf)?;
                }
                Ok(())
            })?;
            writer.close()?.append_to_row_group(&mut out)?;
        }
        out.close()?;
    }
    let metadata = file.finish()?;
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
    Ok(Written { rows, bytes: file.bytes_written() as u64, row_groups: metadata.num_row_groups() })
}

fn check(batch: &Batch) -> Result<(), TableError> {
    if batch.rows.is_empty() {
        return Err(TableError::Empty);
    }
    let (reports, pods) = (batch.reports.len(), batch.pods.len());
    let dangling = |row: &super::facts::Row| row.report as usize >= reports || row.pod as usize >= pods;
    match batch.rows.iter().position(dangling) {
        None => Ok(()),
        Some(row) => {
            let (report, pod) = (batch.rows[row].report, batch.rows[row].pod);
            Err(TableError::Dangling { row, report, reports, pod, pods })
        }
    }
}

fn properties(batch: &Batch) -> Result<WriterProperties, TableError> {
    let key = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let place = |name| COLUMNS.iter().position(|column| column.name == name).and_then(|at| i32::try_from(at).ok());
    // Places among the leaves: a list has one, so they are the places among the columns.
    let sorted_by = SORTED_BY.iter().filter_map(|name| place(*name));
    let sorted_by = sorted_by.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false });
    let mut properties = WriterProperties::builder()
        // For the lists, whose leaves have longer names.
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_data_page_row_count_limit(GROUP_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_created_by(concat!(env!("CARGO_PKG_NAME"), " version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(VERSION.0.to_owned(), VERSION.1.to_owned())]))
        .set_sorting_columns(Some(sorted_by.collect()))
        .set_column_bloom_filter_fpp(key("pod_id"), 0.01)
        .set_column_bloom_filter_max_ndv(key("pod_id"), batch.pods.len().min(GROUP_ROWS) as u64);
    for column in &COLUMNS {
        let (dictionary, level) = column.packing();
        properties = properties
            .set_column_dictionary_enabled(key(column.name), dictionary)
            .set_column_compression(key(column.name), Compression::ZSTD(ZstdLevel::try_new(level)?));
    }
    Ok(properties.build())
}

#[cfg(test)]
mod tests;
