//! What is asked of a Prometheus: selectors and the time they are asked for.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::time::UtcHour;

/// A metric name that can be queried and can stand in an object key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricName(String);

/// S3 keys end at 1,024 bytes.
const LONGEST_NAME: usize = 512;

impl MetricName {
    /// Classic names, and of UTF-8 names (<https://prometheus.io/docs/guides/utf8/>) those of letters, digits, `_`, `:`, `.` and `-`: anything else
    /// is an expression, or would break a key.
    ///
    /// # Errors
    /// With one line that names it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let begins = |c: char| c.is_alphabetic() || matches!(c, '_' | ':');
        let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.' | '-');
        let named = text.chars().next().is_some_and(begins) && text.chars().all(goes_on);
        if !named {
            return Err(format!(
                "`{text}` is not a metric name; it has letters, digits, `_`, `:`, `.` and `-`, and no digit in front"
            ));
        }
        if text.len() > LONGEST_NAME {
            return Err(format!(
                "the metric name `{}...` is longer than {LONGEST_NAME} bytes",
                text.chars().take(40).collect::<String>()
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_classic(&self) -> bool {
        self.0.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
    }
}

impl std::fmt::Display for MetricName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Series of a metric, all or a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    name: MetricName,
    /// The last one may be cut further.
    slices: Vec<Slice>,
}

/// Some of the values of a label. The last slice has all series that no other slice has: those with values that nobody knew of, and those without the
/// label. So slices leave nothing out and hold nothing twice, however the values were learned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slice {
    label: String,
    values: Arc<[String]>,
    from: usize,
    to: usize,
}

impl Slice {
    /// `None` where it has every series.
    fn matcher(&self) -> Option<String> {
        let regex = |values: &[String]| quoted(&values.iter().map(|value| regex::escape(value)).collect::<Vec<_>>().join("|"));
        if self.to < self.values.len() {
            return Some(format!("{}=~{}", self.label, regex(&self.values[self.from..self.to])));
        }
        (self.from > 0).then(|| format!("{}!~{}", self.label, regex(&self.values[..self.from])))
    }
}

impl Selector {
    /// All series of a metric.
    pub fn of(name: &MetricName) -> Self {
        Self { name: name.clone(), slices: Vec::new() }
    }

    /// The same series, to be cut by the values of a label.
    #[must_use]
    pub fn sliced(mut self, label: String, values: Vec<String>) -> Self {
        self.slices.push(Slice { label, to: values.len(), values: values.into(), from: 0 });
        self
    }

    /// True if it is sliced by this label.
    pub fn is_sliced_by(&self, label: &str) -> bool {
        self.slices.iter().any(|slice| slice.label == label)
    }

    /// Two parts; `None` where it is not sliced, or to a single value.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let (slice, outer) = self.slices.split_last().filter(|(slice, _)| slice.to - slice.from > 1)?;
        let middle = slice.from + (slice.to - slice.from) / 2;
        let part = |from, to| {
            let inner = Slice { from, to, ..slice.clone() };
            Self { name: self.name.clone(), slices: outer.iter().cloned().chain([inner]).collect() }
        };
        Some((part(slice.from, middle), part(middle, slice.to)))
    }

    /// PromQL that every version reads: names beyond the classic ones as a matcher of `__name__`.
    pub fn promql(&self) -> String {
        self.render(|_| true)
    }

    /// A shorter selector, of these series and perhaps some more.
    pub fn promql_of_more(&self) -> String {
        self.render(|slice| slice.to < slice.values.len())
    }

    fn render(&self, with: impl Fn(&Slice) -> bool) -> String {
        let classic = self.name.is_classic();
        let name = (!classic).then(|| format!("__name__={}", quoted(&self.name.0)));
        let slices = self.slices.iter().filter(|slice| with(slice)).filter_map(Slice::matcher);
        let matchers: Vec<String> = name.into_iter().chain(slices).collect();
        let front = if classic { self.name.0.as_str() } else { "" };
        if matchers.is_empty() { front.to_owned() } else { format!("{front}{{{}}}", matchers.join(",")) }
    }
}

/// A string literal of PromQL.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// For which time a metric is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// One value per step: from `start` to `end`, both included, in Unix seconds.
    Steps {
        /// First instant.
        start: i64,
        /// Last instant that may be asked for.
        end: i64,
        /// Seconds between instants.
        step: i64,
    },
    /// Every sample in `[start, end)`, in Unix milliseconds.
    Raw {
        /// First instant.
        start: i64,
        /// First instant behind it.
        end: i64,
    },
}

impl Span {
    /// One value per `step` seconds of an hour.
    pub fn steps(hour: UtcHour, step: i64) -> Self {
        Self::Steps { start: hour.start(), end: hour.end() - 1, step }
    }

    /// Every sample of an hour.
    pub fn raw(hour: UtcHour) -> Self {
        Self::Raw { start: hour.start() * 1_000, end: hour.end() * 1_000 }
    }

    /// Two halves that leave no instant out; `None` where there is one instant.
    pub fn halves(self) -> Option<(Self, Self)> {
        match self {
            Self::Steps { start, end, step } => {
                let later = (end - start) / step;
                let middle = start + (later / 2 + 1) * step;
                (later > 0).then_some((Self::Steps { start, end: middle - 1, step }, Self::Steps { start: middle, end, step }))
            }
            // Shorter than a second is no use: what is too much then is the number of series.
            Self::Raw { start, end } if end - start >= 2_000 => {
                let middle = start + (end - start) / 2;
                Some((Self::Raw { start, end: middle }, Self::Raw { start: middle, end }))
            }
            Self::Raw { .. } => None,
        }
    }

    /// The endpoint below `/api/v1/`, and the parameters.
    ///
    /// A range selector takes `(t - range, t]` on Prometheus 3 and `[t - range, t]` before
    /// (<https://prometheus.io/docs/prometheus/latest/migration/#range-selectors-and-lookback-exclude-samples-coinciding-with-the-left-boundary>). Asked
    /// a millisecond before `end`, both hold all of `[start, end)`, and the older one sometimes one sample more, in front.
    pub fn request(self, selector: &Selector) -> (&'static str, Vec<(&'static str, String)>) {
        let promql = selector.promql();
        match self {
            Self::Steps { start, end, step } => (
                "query_range",
                vec![("query", promql), ("start", start.to_string()), ("end", end.to_string()), ("step", step.to_string())],
            ),
            Self::Raw { start, end } => {
                let time = end - 1;
                let time = format!("{}.{:03}", time.div_euclid(1_000), time.rem_euclid(1_000));
                ("query", vec![("query", format!("{promql}[{}ms]", end - start)), ("time", time)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_no_expressions() {
        for name in ["up", "cluster:namespace:pod_cpu:active", "_x", "http.server-requests", "größe", ":a"] {
            assert_eq!(MetricName::parse(name).unwrap().as_str(), name);
        }
        for wrong in ["", "1up", "up{a=\"b\"}", "rate(up[5m])", "a b", "a/b", ".", "..", "up\n", "a*b"] {
            let error = MetricName::parse(wrong).unwrap_err();
            assert!(error.contains(wrong) && error.contains("not a metric name"), "{error}");
        }
        assert!(MetricName::parse(&"a".repeat(513)).is_err());
    }

    #[test]
    fn parts_of_a_metric_complement_each_other() {
        let all = Selector::of(&MetricName::parse("up").unwrap());
        assert_eq!(all.promql(), "up");
        assert_eq!(all.halves(), None);
        let values = ["a.b", "c\"d", "e"].map(str::to_owned).to_vec();
        let sliced = all.sliced("pod".into(), values);
        assert_eq!(sliced.promql(), "up");
        let (some, others) = sliced.halves().unwrap();
        assert_eq!((some.promql().as_str(), some.halves()), (r#"up{pod=~"a\\.b"}"#, None));
        assert_eq!(others.promql(), r#"up{pod!~"a\\.b"}"#);
        let (second, last) = others.halves().unwrap();
        assert_eq!(second.promql(), r#"up{pod=~"c\"d"}"#);
        assert_eq!(last.promql(), r#"up{pod!~"a\\.b|c\"d"}"#);
        let (deeper, _) = last.sliced("x".into(), vec!["1".into(), "2".into()]).halves().unwrap();
        assert_eq!(deeper.promql(), r#"up{pod!~"a\\.b|c\"d",x=~"1"}"#);
        assert_eq!((deeper.promql_of_more().as_str(), deeper.is_sliced_by("pod")), (r#"up{x=~"1"}"#, true));
        let dotted = Selector::of(&MetricName::parse("http.größe").unwrap());
        assert_eq!(dotted.promql(), r#"{__name__="http.größe"}"#);
    }

    #[test]
    fn halves_of_steps_hold_each_instant_once() {
        let instants = |span: Span| match span {
            Span::Steps { start, end, step } => (start..=end).step_by(usize::try_from(step).unwrap()).collect::<Vec<_>>(),
            Span::Raw { .. } => unreachable!(),
        };
        for step in [1, 7, 15, 60, 1_000, 1_800, 3_599, 3_600] {
            let mut spans = vec![Span::Steps { start: 7_200, end: 10_799, step }];
            let whole = instants(spans[0]);
            for _ in 0..4 {
                spans = spans.into_iter().flat_map(|span| span.halves().map_or(vec![span], |(a, b)| vec![a, b])).collect();
                assert_eq!(spans.iter().flat_map(|span| instants(*span)).collect::<Vec<_>>(), whole, "{step}");
            }
        }
        assert_eq!(Span::steps(UtcHour::containing("1970-01-01T02:00:00Z".parse().unwrap()), 3_600).halves(), None);
    }

    #[test]
    fn raw_samples_are_asked_for_a_millisecond_before_the_end() {
        let hour = UtcHour::containing("1970-01-01T02:00:00Z".parse().unwrap());
        let (path, parameters) = Span::raw(hour).request(&Selector::of(&MetricName::parse("up").unwrap()));
        assert_eq!((path, parameters[0].1.as_str(), parameters[1].1.as_str()), ("query", "up[3600000ms]", "10799.999"));
    }
}
