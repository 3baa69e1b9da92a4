//! What is in the bucket, read back: rows of Parquet as JSON, and dead letters.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

/// A row, by the names of its columns. Times are in microseconds since the Unix epoch.
pub type Row = Map<String, Value>;

/// The schema of a file.
pub fn schema(file: &Bytes) -> SchemaRef {
    ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap().schema().clone()
}

/// The rows of a file.
pub fn rows(file: &Bytes) -> Vec<Row> {
    read(file, &[])
}

/// Columns of the rows of a file; all of them if none are named.
pub fn read(file: &Bytes, columns: &[&str]) -> Vec<Row> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let mask = match columns {
        [] => ProjectionMask::all(),
        _ => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
    };
    let reader = builder.with_projection(mask).build().unwrap();
    reader.flat_map(|batch| of_batch(&batch.unwrap())).collect()
}

fn of_batch(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let row = |index| {
        let cells = schema.fields().iter().zip(batch.columns());
        cells.map(|(field, column)| (field.name().clone(), cell(column.as_ref(), index))).collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

fn cell(column: &dyn Array, index: usize) -> Value {
    if column.is_null(index) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Utf8 => json!(column.as_string::<i32>().value(index)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(index)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(index)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(index)),
        DataType::Timestamp(..) => json!(column.as_primitive::<TimestampMicrosecondType>().value(index)),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(index);
            (0..list.len()).map(|element| cell(list.as_ref(), element)).collect()
        }
        other => panic!("a column of {other}"),
    }
}

/// A text in a row.
#[track_caller]
pub fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row[column].as_str().unwrap_or_else(|| panic!("{column} is no text: {row:?}"))
}
