//! The rows of one row group, and their columns as arrays.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow_array::{Array as _, ArrayRef, DictionaryArray, LargeStringArray, ListArray, PrimitiveArray, UInt32Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

use super::columns::{Of, TIME_ZONE, Texts, element};
use crate::usage::facts::{Batch, PodFacts, ReportFacts, Row};

/// Lists become an array until it has so many rows,
const PIECE_ROWS: usize = 1 << 13;
/// or so many bytes of text.
const PIECE_BYTES: usize = 16 << 20;

/// Who gets an array.
type Take<'t> = &'t mut dyn FnMut(ArrayRef) -> Result<(), ParquetError>;

/// Some rows of a sorted batch.
pub(super) struct Group<'a> {
    batch: &'a Batch,
    rows: &'a [Row],
    /// Each pod that follows another. Texts are kept once for each of them, and rows point there.
    pods: Vec<&'a PodFacts>,
    /// Of each row, its place in `pods`.
    pod_of: UInt32Array,
    /// Of each row, its place in the reports of the batch.
    report_of: UInt32Array,
}

impl<'a> Group<'a> {
    pub(super) fn new(batch: &'a Batch, rows: &'a [Row]) -> Self {
        let (mut pods, mut before, mut count) = (Vec::new(), None, 0_u32);
        let pod_of = rows.iter().map(|row| {
            if before.replace(row.pod) != Some(row.pod) {
                pods.push(&batch.pods[row.pod as usize]);
                count += 1;
            }
            count - 1
        });
        let pod_of = UInt32Array::from_iter_values(pod_of);
        let report_of = UInt32Array::from_iter_values(rows.iter().map(|row| row.report));
        Self { batch, rows, pods, pod_of, report_of }
    }

    /// Gives a column to `take`: at once, or, where it may be large, piece by piece.
    pub(super) fn arrays(&self, of: &Of, take: Take<'_>) -> Result<(), ParquetError> {
        let array: ArrayRef = match of {
            Of::ReportText(of) => texts(&self.report_of, self.batch.reports.iter().map(of))?,
            Of::PodText(of) => texts(&self.pod_of, self.pods.iter().map(|pod| of(pod)))?,
            Of::ReportDouble(of) => Arc::new(self.of_reports::<Float64Type>(*of)),
            Of::ReportLong(of) => Arc::new(self.of_reports::<Int64Type>(*of)),
            Of::ReportTime(of) => Arc::new(self.of_reports::<TimestampMicrosecondType>(*of).with_timezone(TIME_ZONE)),
            Of::PodLong(of) => Arc::new(self.of_pods::<Int64Type>(*of)),
            Of::PodInt(of) => Arc::new(self.of_pods::<Int32Type>(*of)),
            Of::RowDouble(of) => Arc::new(self.rows.iter().map(of).collect::<PrimitiveArray<Float64Type>>()),
            Of::RowLong(of) => Arc::new(self.rows.iter().map(of).collect::<PrimitiveArray<Int64Type>>()),
            Of::PodTexts(of) => return self.lists(*of, take),
        };
        take(array)
    }

    fn of_reports<T: ArrowPrimitiveType>(&self, of: fn(&ReportFacts) -> Option<T::Native>) -> PrimitiveArray<T> {
        let values: Vec<Option<T::Native>> = self.batch.reports.iter().map(of).collect();
        self.report_of.values().iter().map(|report| values[*report as usize]).collect()
    }

    fn of_pods<T: ArrowPrimitiveType>(&self, of: fn(&PodFacts) -> Option<T::Native>) -> PrimitiveArray<T> {
        let values: Vec<Option<T::Native>> = self.pods.iter().map(|pod| of(pod)).collect();
        self.pod_of.values().iter().map(|pod| values[*pod as usize]).collect()
    }

    fn lists(&self, of: fn(&PodFacts) -> Texts<'_>, take: Take<'_>) -> Result<(), ParquetError> {
        let mut begin = 0;
        while begin < self.rows.len() {
            let end = self.piece(begin, of);
            take(Arc::new(self.list(&self.pod_of.values()[begin..end], of)?))?;
            begin = end;
        }
        Ok(())
    }

    /// Where the piece ends that begins at a row.
    fn piece(&self, begin: usize, of: fn(&PodFacts) -> Texts<'_>) -> usize {
        let (mut bytes, mut before) = (0, None);
        let rows = self.pod_of.values()[begin..].iter().take(PIECE_ROWS).take_while(|pod| {
            let fits = bytes < PIECE_BYTES;
            if before.replace(**pod) != Some(**pod) {
                bytes += of(self.pods[**pod as usize]).unwrap_or_default().iter().map(|text| text.len()).sum::<usize>();
            }
            fits
        });
        begin + rows.count()
    }

    /// The lists of some rows that follow each other, whose pods are `pod_of`.
    fn list(&self, pod_of: &[u32], of: fn(&PodFacts) -> Texts<'_>) -> Result<ListArray, ArrowError> {
        let first = pod_of[0] as usize;
        let lists: Vec<Texts<'_>> = self.pods[first..=pod_of[pod_of.len() - 1] as usize].iter().map(|pod| of(pod)).collect();
        // Where the texts of each pod are.
        let mut end = 0_u32;
        let places: Vec<Range<u32>> = lists
            .iter()
            .map(|list| {
                let begin = end;
                list.unwrap_or_default().iter().for_each(|_| end += 1);
                begin..end
            })
            .collect();
        let place = |pod: &u32| places[*pod as usize - first].clone();
        let keys = UInt32Array::from_iter_values(pod_of.iter().flat_map(place));
        let elements = texts(&keys, lists.iter().flat_map(|list| list.unwrap_or_default()).map(|text| Some(&**text)))?;
        let offsets = OffsetBuffer::from_lengths(pod_of.iter().map(|pod| place(pod).len()));
        let valid = NullBuffer::from_iter(pod_of.iter().map(|pod| lists[*pod as usize - first].is_some()));
        ListArray::try_new(Arc::new(element(elements.data_type().clone())), offsets, elements, Some(valid))
    }
}

/// Texts that many rows share; `keys` say which.
fn texts<'t>(keys: &UInt32Array, values: impl Iterator<Item = Option<&'t str>>) -> Result<ArrayRef, ArrowError> {
    // Large, since those of a whole batch may be more than an `i32` can count.
    let values: LargeStringArray = values.collect();
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(keys.clone(), Arc::new(values))?))
}
