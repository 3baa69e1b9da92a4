//! What is asked for: the parameters of a query, and the instants that its answer has.

use super::data::{INTERVAL, Metric};
use super::problem::Problem;
use super::selector::Selector;
use super::time;

/// Name and value, in the order of the request.
pub(super) type Params = [(String, String)];

/// The first value of a parameter.
pub(super) fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A query with its time, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) selector: Selector,
    pub(super) span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Steps { start: i64, end: i64, step: i64 },
    At(i64),
}

impl Query {
    /// The query of `/api/v1/query_range`.
    pub(super) fn range(params: &Params) -> Result<Self, Problem> {
        let start = instant(params, "start")?.ok_or_else(|| missing_time("start"))?;
        let end = instant(params, "end")?.ok_or_else(|| missing_time("end"))?;
        if end < start {
            return Err(invalid("end", "end timestamp must not be before start time"));
        }
        let text = param(params, "step").unwrap_or_default();
        let step = time::step(text).ok_or_else(|| invalid("step", &format!("cannot parse {text:?} to a valid duration")))?;
        let selector = selector(params)?;
        if selector.range.is_some() {
            let error = r#"invalid expression type "range vector" for range query, must be Scalar or instant Vector"#;
            return Err(invalid("query", error));
        }
        Ok(Self { selector, span: Span::Steps { start, end, step } })
    }

    /// The query of `/api/v1/query`; without a time it is `now`.
    pub(super) fn instant(params: &Params, now: i64) -> Result<Self, Problem> {
        let at = instant(params, "time")?.unwrap_or(now);
        Ok(Self { selector: selector(params)?, span: Span::At(at) })
    }

    /// Where the time begins that is asked about.
    pub(super) fn window_start(&self) -> i64 {
        match self.span {
            Span::Steps { start, .. } => start,
            Span::At(at) => at - self.selector.range.unwrap_or(0),
        }
    }

    /// How many steps lie between the first and the last instant.
    pub(super) fn steps(&self) -> u64 {
        match self.span {
            Span::Steps { start, end, step } => ((end - start) / step).unsigned_abs(),
            Span::At(_) => 0,
        }
    }

    /// Whether the answer is a vector: one sample of each series.
    pub(super) fn is_vector(&self) -> bool {
        matches!(self.span, Span::At(_)) && self.selector.range.is_none()
    }

    /// The samples that each series of `metric` has in the answer. A range is closed on both sides, or
    /// `left_open`, as since Prometheus 3.
    pub(super) fn points(&self, metric: &Metric, left_open: bool) -> Vec<Point> {
        let newest = |instant: i64| metric.newest(instant).map(|at| Point::new(instant, at));
        match (self.span, self.selector.range) {
            (Span::Steps { start, end, step }, _) => {
                (0..=(end - start) / step).filter_map(|n| newest(start + n * step)).collect()
            }
            (Span::At(at), None) => newest(at).into_iter().collect(),
            (Span::At(at), Some(range)) => {
                let from = at.saturating_sub(range).saturating_add(i64::from(left_open));
                let first = from.saturating_add(INTERVAL - 1).div_euclid(INTERVAL);
                let instants = (first..=at.div_euclid(INTERVAL)).map(|n| n * INTERVAL);
                instants.filter(|at| metric.has_sample(*at)).map(|at| Point::new(at, at)).collect()
            }
        }
    }
}

/// A sample of an answer, up to its value. The text is the same for all series of a metric, and writing
/// numbers is most of the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    text: [u8; 24],
    length: usize,
    /// When the sample was taken.
    pub(super) at: i64,
}

impl Point {
    fn new(instant: i64, at: i64) -> Self {
        let mut written = vec![b'['];
        time::push_instant(&mut written, instant);
        written.extend_from_slice(b",\"");
        let (mut text, length) = ([0; 24], written.len());
        text[..length].copy_from_slice(&written);
        Self { text, length, at }
    }

    /// `[1700000000,"`.
    pub(super) fn text(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

fn selector(params: &Params) -> Result<Selector, Problem> {
    Selector::parse(param(params, "query").unwrap_or_default()).map_err(|error| invalid("query", &error))
}

fn instant(params: &Params, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = param(params, name) else {
        return Ok(None);
    };
    time::instant(text).map(Some).ok_or_else(|| invalid(name, &format!("cannot parse {text:?} to a valid timestamp")))
}

fn missing_time(name: &str) -> Problem {
    invalid(name, "cannot parse \"\" to a valid timestamp")
}

fn invalid(name: &str, error: &str) -> Problem {
    Problem::bad_data(format!("invalid parameter {name:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::data::MetricShape;
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Instant and time of each sample, in seconds.
    fn points(query: &Query, gaps: &[(i64, i64)], left_open: bool) -> Vec<(String, i64)> {
        let metric = Metric { name: "up".to_owned(), shape: MetricShape { series: 1, padding: 0 }, gaps: gaps.to_vec() };
        let text = |point: &Point| String::from_utf8(point.text().to_vec()).unwrap();
        let instant = |point: &Point| text(point).trim_matches(['[', ',', '"']).to_owned();
        query.points(&metric, left_open).iter().map(|point| (instant(point), point.at / 1_000)).collect()
    }

    fn expected(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
        pairs.iter().map(|(instant, at)| ((*instant).to_owned(), *at)).collect()
    }

    #[test]
    fn steps() {
        let asked = params(&[("query", "up"), ("start", "1000"), ("end", "1025.5"), ("step", "12.5")]);
        let query = Query::range(&asked).unwrap();
        assert_eq!((query.window_start(), query.steps(), query.is_vector()), (1_000_000, 2, false));
        assert_eq!(points(&query, &[], false), expected(&[("1000", 990), ("1012.500", 1005), ("1025", 1020)]));
        assert_eq!(points(&query, &[(700_000, 1_010_000)], false), expected(&[("1025", 1020)]));
    }

    #[test]
    fn ranges() {
        let at = |query: &str, time: &str| Query::instant(&params(&[("query", query), ("time", time)]), 0).unwrap();
        let query = at("up[30s]", "1020");
        assert_eq!((query.window_start(), query.is_vector()), (990_000, false));
        assert_eq!(points(&query, &[], false), expected(&[("990", 990), ("1005", 1005), ("1020", 1020)]));
        assert_eq!(points(&query, &[], true), expected(&[("1005", 1005), ("1020", 1020)]));
        assert_eq!(points(&query, &[(1_005_000, 1_005_000)], true), expected(&[("1020", 1020)]));
        assert_eq!(points(&at("up[10s]", "1019"), &[], false), []);
        assert_eq!(points(&at("up[15s]", "1019.999"), &[], false), expected(&[("1005", 1005)]));
        assert_eq!(points(&at("up", "1019.9"), &[], false), expected(&[("1019.900", 1005)]));
        assert!(at("up", "1").is_vector());
        assert_eq!(Query::instant(&params(&[("query", "up")]), 7).unwrap().span, Span::At(7));
    }

    #[test]
    fn refused() {
        let good = [("query", "up"), ("start", "10"), ("end", "20"), ("step", "5")];
        assert!(Query::range(&params(&good)).is_ok());
        for (index, value) in [(0, "up["), (0, "up[5m]"), (1, "x"), (1, "21"), (2, ""), (3, "0"), (3, "x")] {
            let mut bad = good;
            bad[index].1 = value;
            assert!(Query::range(&params(&bad)).is_err(), "{bad:?}");
            bad.swap(index, 3);
            assert!(Query::range(&params(&bad[..3])).is_err(), "{bad:?}");
        }
    }
}
