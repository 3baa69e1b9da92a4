//! A query, asked for as a whole or in parts, and its answer as one document.
//!
//! What the server finds too much is halved by time, and by the values of a label where it is one instant or time has not helped. The parts are open at
//! the same time and laid together series by series, which needs them sorted, as Prometheus sorts them, and holds a few KiB of series of each part.

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::endpoint::Address;
use super::error::{self, Limit, QueryError, QueryFailure};
use super::query::{MetricName, Selector, Span};
use super::scan::{Answer, Scanner};
use super::{Attempt, Prometheus, unavailable};
use crate::http::{Failed, Retry, chain};

mod merge;

use self::merge::Merge;

/// Parts of one query. Each is an open connection.
const MOST_PARTS: usize = 64;
/// Values of a label that is preferred: regular expressions of more are long.
const MANY_VALUES: usize = 1_000;
/// Values of a label; series with none of them are in the last part.
const MOST_VALUES: usize = 20_000;
/// Labels whose values are asked for to choose one.
const MOST_LABELS: usize = 40;

/// What is asked of a Prometheus.
#[derive(Debug)]
pub struct Query {
    span: Span,
    /// What is asked for; more than one after the server has found the whole too much.
    parts: Vec<Part>,
}

/// A part of a query.
#[derive(Debug, Clone)]
struct Part {
    selector: Selector,
    span: Span,
    /// How often it was cut.
    depth: u32,
}

impl Query {
    /// All series of a metric.
    pub fn new(name: &MetricName, span: Span) -> Self {
        Self { span, parts: vec![Part { selector: Selector::of(name), span, depth: 0 }] }
    }

    /// Asks, in parts if need be; another attempt begins with the parts of the last one.
    ///
    /// # Errors
    /// When the server, or the answer about a part, is no good.
    pub async fn ask(&mut self, prometheus: &Prometheus) -> Attempt<Reading> {
        let mut open = Vec::new();
        let mut place = 0;
        while let Some(part) = self.parts.get(place).cloned() {
            let (path, parameters) = part.span.request(&part.selector);
            match prometheus.open(path, &prometheus.with_timeout(parameters)).await {
                Ok(response) => {
                    open.push((response, part.span));
                    place += 1;
                }
                Err(failed) => {
                    let QueryFailure::TooMuch(limit) = failed.error.kind else { return Err(failed) };
                    let (one, other) = prometheus.cut(&part, limit, self.parts.len(), &failed.error).await?;
                    self.parts.splice(place..=place, [one, other]);
                }
            }
        }
        Ok(self.read(open, &prometheus.address))
    }

    fn read(&self, mut open: Vec<(reqwest::Response, Span)>, address: &Address) -> Reading {
        let date = open.last().and_then(|(response, _)| date(response.headers()));
        let promql = self.parts[0].selector.promql();
        let place = format!("{address}: {}", promql.chars().take(100).collect::<String>());
        if let (Span::Steps { .. }, 1) = (self.span, open.len()) {
            let (response, _) = open.remove(0);
            let body = Body::new(response, place);
            return Reading { date, source: Source::Whole { body, scanner: Box::default() } };
        }
        let parts = open.into_iter().map(|(response, span)| (Body::new(response, place.clone()), span));
        Reading { date, source: Source::Merged(Box::new(Merge::new(parts))) }
    }
}

impl Prometheus {
    /// Has the server give up before this side does, so that it says why.
    fn with_timeout(&self, mut parameters: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
        parameters.push(("timeout", format!("{}ms", self.timeout.mul_f64(0.9).as_millis())));
        parameters
    }

    /// Two parts of a part that leave nothing out: by time, and where that has not helped twice, by a label.
    async fn cut(&self, part: &Part, limit: Limit, parts: usize, error: &QueryError) -> Attempt<(Part, Part)> {
        let give_up = |why: &str| {
            let message = format!("{}; {why}", error.message);
            Failed { error: QueryError { message, ..error.clone() }, retry: Retry::Never }
        };
        if parts >= MOST_PARTS {
            return Err(give_up(&format!("asking in {parts} parts was of no use")));
        }
        let depth = part.depth + 1;
        let half = |span| Part { span, depth, ..part.clone() };
        let by_time = part.span.halves().map(|(earlier, later)| (half(earlier), half(later)));
        let time_has_not_helped = part.depth >= 2 && part.depth.is_multiple_of(2);
        let by_label = match (limit, &by_time) {
            (Limit::Resolution, _) => return by_time.ok_or_else(|| give_up("and it is a single step")),
            (Limit::Work, Some(_)) if !time_has_not_helped => None,
            (Limit::Work, _) => Some(self.cut_by_label(part).await),
        };
        match (by_label, by_time) {
            (Some(Ok(Some((one, other)))), _) => {
                let slice = |selector| Part { selector, span: part.span, depth };
                Ok((slice(one), slice(other)))
            }
            (_, Some(halves)) => Ok(halves),
            (Some(Err(failed)), None) => {
                Err(give_up(&format!("and the labels to ask for parts by could not be had: {}", failed.error.message)))
            }
            _ => Err(give_up("and there is no label to ask for parts by")),
        }
    }

    async fn cut_by_label(&self, part: &Part) -> Attempt<Option<(Selector, Selector)>> {
        if let Some(halves) = part.selector.halves() {
            return Ok(Some(halves));
        }
        let label = self.label_to_cut_by(&part.selector, part.span).await?;
        Ok(label.and_then(|(label, values)| part.selector.clone().sliced(label, values).halves()))
    }

    /// The label with the most values that are not too many, else any that has several.
    async fn label_to_cut_by(&self, selector: &Selector, span: Span) -> Attempt<Option<(String, Vec<String>)>> {
        let (start, end) = match span {
            Span::Steps { start, end, .. } => (start, end),
            Span::Raw { start, end } => (start.div_euclid(1_000), end.div_euclid(1_000) + 1),
        };
        // A step looks back five minutes.
        let about = [("match[]", selector.promql_of_more()), ("start", (start - 300).to_string()), ("end", end.to_string())];
        let names = self.strings("labels", &about).await?;
        let mut best: Option<(String, Vec<String>)> = None;
        let classic = |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && *name != "__name__";
        let useful = |values: usize| if values <= MANY_VALUES { values } else { 2 };
        for name in names.iter().filter(classic).filter(|name| !selector.is_sliced_by(name)).take(MOST_LABELS) {
            let mut values = self.strings(&format!("label/{name}/values"), &about).await?;
            values.truncate(MOST_VALUES);
            if useful(values.len()) > best.as_ref().map_or(1, |(_, values)| useful(values.len())) {
                best = Some((name.clone(), values));
            }
        }
        Ok(best)
    }

    async fn strings(&self, path: &str, about: &[(&str, String)]) -> Attempt<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Strings {
            data: Vec<String>,
        }
        let body = self.small(path, about).await?;
        let strings: Strings = serde_json::from_slice(&body)
            .map_err(|error| unavailable(&self.place(path), &format!("the answer about labels is none: {error}"), None))?;
        Ok(strings.data)
    }
}

/// Bytes of an answer as they arrive.
pub(super) struct Body {
    stream: futures::stream::BoxStream<'static, reqwest::Result<Bytes>>,
    place: String,
}

impl Body {
    fn new(response: reqwest::Response, place: String) -> Self {
        Self { stream: response.bytes_stream().boxed(), place }
    }

    async fn next(&mut self) -> Attempt<Option<Bytes>> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(chunk)) => Ok(Some(chunk)),
            Some(Err(error)) if error.is_timeout() => Err(unavailable(&self.place, "the answer stopped in the middle", None)),
            Some(Err(error)) => {
                let message = format!("{}: the answer is cut off: {}", self.place, chain(&error.without_url()));
                Err(failed(QueryError::new(QueryFailure::Truncated, message)))
            }
        }
    }
}

/// An answer that is being read.
pub struct Reading {
    /// What the server takes for the present time.
    pub date: Option<Timestamp>,
    source: Source,
}

enum Source {
    /// As the server sends it.
    Whole { body: Body, scanner: Box<Scanner> },
    /// Laid together, or trimmed.
    Merged(Box<Merge>),
}

impl Reading {
    /// The next bytes of the document; none behind its end.
    ///
    /// # Errors
    /// When there are none, or they cannot be those of an answer.
    pub async fn next(&mut self) -> Attempt<Option<Bytes>> {
        match &mut self.source {
            Source::Whole { body, scanner } => {
                let chunk = body.next().await?;
                if let Some(chunk) = &chunk {
                    scanner.feed(chunk).map_err(|error| failed(error::malformed(&error, &body.place)))?;
                }
                Ok(chunk)
            }
            Source::Merged(merge) => merge.next().await,
        }
    }

    /// What it said, once it is read to its end.
    ///
    /// # Errors
    /// When it was cut off, or is no success.
    pub fn finish(self) -> Attempt<Answer> {
        match self.source {
            Source::Whole { body, scanner } => whole_answer(*scanner, &body.place),
            Source::Merged(merge) => Ok(merge.finish()),
        }
    }
}

/// The `Date` of an answer.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text).ok()
}

fn whole_answer(scanner: Scanner, place: &str) -> Attempt<Answer> {
    let answer = scanner.finish().map_err(|error| failed(error::malformed(&error, place)))?;
    error::check(&answer, place).map_err(failed)?;
    Ok(answer)
}

fn failed(error: QueryError) -> Failed<QueryError> {
    Failed { retry: error.retry(None), error }
}
