//! The body of an answer, written while it is sent: no answer is ever held as a whole.

use std::sync::Arc;

use bytes::Bytes;

use super::data::{Metric, json, selected, value};
use super::query::Point;
use super::selector::Matcher;
use crate::text::push_decimal;

/// Bytes of a chunk, about.
const CHUNK: usize = 64 * 1024;

/// The series of one metric in an answer.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) metric: Arc<Metric>,
    pub(super) matchers: Arc<[Matcher]>,
    pub(super) points: Arc<[Point]>,
}

/// A body as an iterator of chunks. A clone begins where the original is.
#[derive(Debug, Clone, Default)]
pub(super) struct Document {
    head: Vec<u8>,
    /// What the answer has instead of series.
    items: Vec<u8>,
    blocks: Vec<Block>,
    vector: bool,
    tail: Vec<u8>,
    /// Whether this is an answer without error, which may have warnings.
    success: bool,
    walk: Walk,
    open: Option<Open>,
    /// Whether a series was written before.
    separate: bool,
}

/// The series that is being written.
#[derive(Debug, Clone)]
struct Open {
    points: Arc<[Point]>,
    next: usize,
    seed: u64,
}

/// Goes over the series of the blocks.
#[derive(Debug, Clone, Default)]
struct Walk {
    block: usize,
    series: usize,
    seen: usize,
    keep_every: Option<usize>,
}

impl Walk {
    fn next<'a>(&mut self, blocks: &'a [Block]) -> Option<(&'a Block, usize)> {
        loop {
            let block = blocks.get(self.block)?;
            if block.points.is_empty() || self.series >= block.metric.shape.series {
                self.block += 1;
                self.series = 0;
                continue;
            }
            let i = self.series;
            self.series += 1;
            if !selected(&block.metric, i, &block.matchers) {
                continue;
            }
            let kept = self.seen.is_multiple_of(self.keep_every.unwrap_or(1));
            self.seen += 1;
            if kept {
                return Some((block, i));
            }
        }
    }
}

impl Document {
    /// Any text.
    pub(super) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self { head: text.into(), ..Self::default() }
    }

    /// A success with this JSON as its data.
    pub(super) fn data(json: &str) -> Self {
        let head = format!(r#"{{"status":"success","data":{json}"#).into_bytes();
        Self { head, tail: b"}".to_vec(), success: true, ..Self::default() }
    }

    /// A success with a list of texts.
    pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let items: Vec<String> = texts.into_iter().map(json).collect();
        Self { items: items.join(",").into_bytes(), tail: b"]}".to_vec(), ..Self::data("[") }
    }

    /// A success with series: a matrix, or a vector.
    pub(super) fn series(blocks: Vec<Block>, vector: bool) -> Self {
        let kind = if vector { "vector" } else { "matrix" };
        let head = format!(r#"{{"resultType":"{kind}","result":["#);
        Self { blocks, vector, tail: b"]}}".to_vec(), ..Self::data(&head) }
    }

    /// Leaves out what was found.
    pub(super) fn empty(&mut self) {
        self.items.clear();
        self.blocks.clear();
    }

    /// Leaves out all but every n-th series.
    pub(super) fn keep_every(&mut self, n: usize) {
        self.walk.keep_every = Some(n.max(1));
    }

    /// Adds `"warnings"` or `"infos"` to a success.
    pub(super) fn note(&mut self, kind: &str, notes: &[String]) {
        if self.success {
            let notes: Vec<String> = notes.iter().map(|note| json(note)).collect();
            self.tail.pop();
            self.tail.extend_from_slice(format!(r#","{kind}":[{}]}}"#, notes.join(",")).as_bytes());
        }
    }

    /// How many samples are in it.
    pub(super) fn samples(&self) -> u64 {
        let mut walk = self.walk.clone();
        std::iter::from_fn(|| walk.next(&self.blocks)).map(|(block, _)| block.points.len() as u64).sum()
    }

    /// How many bytes it has, found out by writing it.
    pub(super) fn length(&self) -> u64 {
        self.clone().map(|chunk| chunk.len() as u64).sum()
    }

    /// Begins the next series; false when there is none.
    fn open_next(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((block, i)) = self.walk.next(&self.blocks) else {
            return false;
        };
        if std::mem::replace(&mut self.separate, true) {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"metric\":");
        block.metric.push_labels(out, i);
        out.extend_from_slice(if self.vector { b",\"value\":" } else { b",\"values\":[" });
        self.open = Some(Open { points: Arc::clone(&block.points), next: 0, seed: block.metric.seed(i) });
        true
    }

    /// Writes on in the series that is open, until it ends or the chunk is full.
    fn go_on(&mut self, out: &mut Vec<u8>) {
        let Some(open) = &mut self.open else {
            return;
        };
        for point in &open.points[open.next..] {
            if open.next > 0 {
                out.push(b',');
            }
            out.extend_from_slice(point.text());
            push_decimal(out, value(open.seed, point.at), 1);
            out.extend_from_slice(b"\"]");
            open.next += 1;
            if out.len() >= CHUNK {
                break;
            }
        }
        if open.next == open.points.len() {
            out.extend_from_slice(if self.vector { b"}" } else { b"]}" });
            self.open = None;
        }
    }
}

impl Iterator for Document {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = std::mem::take(&mut self.head);
        out.reserve(if self.blocks.is_empty() { 0 } else { CHUNK + 256 });
        out.append(&mut self.items);
        while out.len() < CHUNK {
            if self.open.is_none() && !self.open_next(&mut out) {
                out.append(&mut self.tail);
                break;
            }
            self.go_on(&mut out);
        }
        (!out.is_empty()).then(|| out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::{Data, MetricShape, of_series};
    use super::super::query::Query;
    use super::*;

    /// Two metrics with samples at the first `count` multiples of 15 seconds.
    fn document(series: usize, count: i64) -> Document {
        let mut data = Data::default();
        for name in ["a", "b"] {
            data.set(name, MetricShape { series, padding: 0 });
        }
        let param = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let end = (15 * (count - 1)).to_string();
        let asked = [param("query", r#"{__name__=~"a|b"}"#), param("start", "0"), param("end", &end), param("step", "15")];
        let query = Query::range(&asked).unwrap();
        let block = |metric: Arc<Metric>| {
            let points = query.points(&metric, false).into();
            Block { matchers: of_series(&query.selector.matchers), points, metric }
        };
        Document::series(data.select(&query.selector).into_iter().map(block).collect(), false)
    }

    fn parsed(document: Document) -> serde_json::Value {
        serde_json::from_slice(&document.flatten().collect::<Vec<u8>>()).unwrap()
    }

    #[test]
    fn chunks_make_up_a_document() {
        let large = document(3, 20_000);
        assert_eq!(large.samples(), 120_000);
        assert!(large.clone().count() > 10 && large.clone().all(|chunk| chunk.len() < CHUNK + 512));
        let parsed = parsed(large);
        let series = parsed["data"]["result"].as_array().unwrap();
        for one in series {
            let values = one["values"].as_array().unwrap();
            assert_eq!((values.len(), &values[19_999][0]), (20_000, &serde_json::json!(299_985)));
        }
        assert_eq!(series[5]["metric"]["instance"], "instance-0002");
    }

    #[test]
    fn parts_and_notes() {
        let mut partial = document(5, 1);
        partial.keep_every(3);
        partial.note("warnings", &["a \"warning\"".to_owned()]);
        partial.note("infos", &["b".to_owned(), "c".to_owned()]);
        assert_eq!(partial.samples(), 4);
        let parsed = parsed(partial);
        assert_eq!((&parsed["warnings"][0], &parsed["infos"][1]), (&"a \"warning\"".into(), &"c".into()));

        let mut empty = document(5, 1);
        empty.empty();
        let text: Vec<u8> = empty.flatten().collect();
        assert_eq!(text, br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#);
    }
}
