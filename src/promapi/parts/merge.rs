//! Parts of an answer, laid together series by series.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::super::Attempt;
use super::super::error::{self, QueryError, QueryFailure};
use super::super::query::Span;
use super::super::scan::{Answer, Boundary, Scanner};
use super::super::series::{Labels, Series};
use super::{Body, failed, whole_answer};
use crate::http::{Failed, Retry};

/// A series is a label set and an hour of samples; more than this is something else.
const LARGEST_SERIES: usize = 16 << 20;
/// Series are handed on in pieces of about this size.
const PIECE: usize = 64 << 10;
/// Bytes of a part that are read at a time: its series take several times as much in memory.
const SIP: usize = 8 << 10;

/// The answer that parts make together.
pub(super) struct Merge {
    parts: Vec<Part>,
    answer: Answer,
    state: State,
}

enum State {
    Head,
    Series,
    Done,
}

impl Merge {
    pub(super) fn new(parts: impl Iterator<Item = (Body, Span)>) -> Self {
        let mut parts: Vec<Part> = parts.map(|(body, span)| Part::new(body, span)).collect();
        let several = parts.len() > 1;
        parts.iter_mut().for_each(|part| part.must_be_sorted = several);
        let answer = Answer { status: "success".to_owned(), result_type: "matrix".to_owned(), ..Default::default() };
        Self { parts, answer, state: State::Head }
    }

    pub(super) async fn next(&mut self) -> Attempt<Option<Bytes>> {
        let mut out = BytesMut::new();
        match self.state {
            State::Done => return Ok(None),
            State::Head => {
                out.extend_from_slice(br#"{"status":"success","data":{"resultType":"matrix","result":["#);
                self.state = State::Series;
            }
            State::Series => {}
        }
        while out.len() < PIECE {
            let Some(series) = self.next_series().await? else {
                self.end(&mut out);
                self.state = State::Done;
                break;
            };
            if self.answer.series > 0 {
                out.extend_from_slice(b",");
            }
            self.answer.series += 1;
            self.answer.samples += (series.values.len() + series.histograms.len()) as u64;
            out.extend_from_slice(&series.render());
        }
        Ok(Some(out.freeze()))
    }

    pub(super) fn finish(self) -> Answer {
        self.answer
    }

    /// The first of all parts, with its samples from each.
    async fn next_series(&mut self) -> Attempt<Option<Series>> {
        for part in &mut self.parts {
            part.fill().await?;
        }
        let heads = self.parts.iter().filter_map(|part| part.series.front());
        let Some(first) = heads.map(|series| &series.labels).min().cloned() else { return Ok(None) };
        let mut whole: Option<Series> = None;
        for part in &mut self.parts {
            let next = part.series.pop_front_if(|series| series.labels == first);
            match (&mut whole, next) {
                (_, None) => {}
                (Some(whole), Some(series)) => whole.append(series),
                (whole @ None, Some(series)) => *whole = Some(series),
            }
        }
        Ok(whole)
    }

    fn end(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b"]}");
        for part in &mut self.parts {
            let Some(answer) = part.answer.take() else { continue };
            let both = [(&mut self.answer.warnings, answer.warnings), (&mut self.answer.infos, answer.infos)];
            for (all, new) in both {
                for note in new {
                    if !all.contains(&note) {
                        all.push(note);
                    }
                }
            }
        }
        for (name, notes) in [("warnings", &self.answer.warnings), ("infos", &self.answer.infos)] {
            if !notes.is_empty() {
                out.extend_from_slice(format!(",\"{name}\":{}", serde_json::json!(notes)).as_bytes());
            }
        }
        out.extend_from_slice(b"}");
    }
}

/// A part that is being read.
struct Part {
    body: Body,
    span: Span,
    scanner: Option<Scanner>,
    /// Received and not yet read.
    received: Bytes,
    /// Read and not yet handed on.
    series: VecDeque<Series>,
    /// The beginning of a series.
    begun: Option<Vec<u8>>,
    must_be_sorted: bool,
    last: Option<Labels>,
    /// Once the part is at its end.
    answer: Option<Answer>,
}

impl Part {
    fn new(body: Body, span: Span) -> Self {
        Self {
            body,
            span,
            scanner: Some(Scanner::default()),
            received: Bytes::new(),
            series: VecDeque::new(),
            begun: None,
            must_be_sorted: false,
            last: None,
            answer: None,
        }
    }

    /// Reads until there is a series, or the end.
    async fn fill(&mut self) -> Attempt<()> {
        while self.series.is_empty()
            && let Some(scanner) = &mut self.scanner
        {
            if self.received.is_empty() {
                let Some(chunk) = self.body.next().await? else {
                    let scanner = self.scanner.take().unwrap_or_default();
                    self.answer = Some(whole_answer(scanner, &self.body.place)?);
                    return Ok(());
                };
                self.received = chunk;
            }
            let chunk = self.received.split_to(self.received.len().min(SIP));
            let mut boundaries = Vec::new();
            let fed = scanner.feed_marking(&chunk, |boundary| boundaries.push(boundary));
            fed.map_err(|error| failed(error::malformed(&error, &self.body.place)))?;
            self.cut(&chunk, &boundaries)?;
        }
        Ok(())
    }

    /// Takes the series out of a chunk.
    fn cut(&mut self, chunk: &[u8], boundaries: &[Boundary]) -> Attempt<()> {
        let mut from = 0;
        for boundary in boundaries {
            match *boundary {
                Boundary::Begin(at) => {
                    from = at;
                    self.begun = Some(Vec::new());
                }
                Boundary::End(at) => {
                    let mut json = self.begun.take().unwrap_or_default();
                    json.extend_from_slice(&chunk[from..at]);
                    self.read(&json)?;
                }
            }
        }
        if let Some(begun) = &mut self.begun {
            begun.extend_from_slice(&chunk[from..]);
            if begun.len() > LARGEST_SERIES {
                return Err(self.refused("a series is larger than 16 MiB"));
            }
        }
        Ok(())
    }

    fn read(&mut self, json: &[u8]) -> Attempt<()> {
        let series = Series::parse(json).and_then(|mut series| {
            if let Span::Raw { start, end } = self.span {
                series.trim(start, end)?;
            }
            Ok(series)
        });
        let series = series.map_err(|error| {
            let message = format!("{}: a series is none of a Prometheus: {error}", self.body.place);
            failed(QueryError::new(QueryFailure::Malformed, message))
        })?;
        if self.must_be_sorted {
            if self.last.as_ref().is_some_and(|last| *last >= series.labels) {
                return Err(self.refused("the server does not sort series, so parts of an answer cannot be laid together"));
            }
            self.last = Some(series.labels.clone());
        }
        if !series.is_empty() {
            self.series.push_back(series);
        }
        Ok(())
    }

    fn refused(&self, why: &str) -> Failed<QueryError> {
        let error = QueryError::new(QueryFailure::Refused, format!("{}: {why}", self.body.place));
        Failed { error, retry: Retry::Never }
    }
}
