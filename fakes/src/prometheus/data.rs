//! The metrics that a fake Prometheus has: their series, labels and samples, all computed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::selector::{Matcher, NAME, Selector};
use crate::mix::{mix, mix_text};
use crate::text::push_decimal;

/// Milliseconds between two samples. They stand at the multiples of it.
pub(super) const INTERVAL: i64 = 15_000;

/// How long a sample is the newest one of an instant.
const LOOK_BACK: i64 = 300_000;

/// How many different namespaces the series of a metric are in.
const NAMESPACES: usize = 10;

/// How large a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricShape {
    /// How many series it has.
    pub series: usize,
    /// Bytes of a label `padding` of each series; 0 leaves the label out.
    pub padding: usize,
}

/// One metric by name.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) shape: MetricShape,
    /// Times in milliseconds, both included, between which there are no samples.
    pub(super) gaps: Vec<(i64, i64)>,
}

impl Metric {
    /// The value of a label of series `i`; empty if it has no such label.
    pub(super) fn label(&self, i: usize, label: &str) -> Cow<'_, str> {
        match label {
            NAME => Cow::Borrowed(&self.name),
            "instance" => Cow::Owned(format!("instance-{i:0width$}", width = self.digits())),
            "namespace" => Cow::Owned(format!("ns-{}", i % NAMESPACES)),
            "padding" => Cow::Owned("x".repeat(self.shape.padding)),
            _ => Cow::Borrowed(""),
        }
    }

    pub(super) fn label_names(&self) -> &'static [&'static str] {
        let all = &[NAME, "instance", "namespace", "padding"];
        if self.shape.padding == 0 { &all[..3] } else { all }
    }

    /// As many digits as the last series needs, so that the order of texts is that of numbers.
    fn digits(&self) -> usize {
        let last = self.shape.series.saturating_sub(1);
        last.checked_ilog10().map_or(1, |log| log as usize + 1).max(4)
    }

    /// Appends `{"__name__":...}` of series `i`.
    pub(super) fn push_labels(&self, out: &mut Vec<u8>, i: usize) {
        out.extend_from_slice(b"{\"__name__\":");
        out.extend_from_slice(json(&self.name).as_bytes());
        out.extend_from_slice(b",\"instance\":\"instance-");
        push_decimal(out, i as u64, self.digits());
        out.extend_from_slice(b"\",\"namespace\":\"ns-");
        push_decimal(out, (i % NAMESPACES) as u64, 1);
        if self.shape.padding > 0 {
            out.extend_from_slice(b"\",\"padding\":\"");
            out.resize(out.len() + self.shape.padding, b'x');
        }
        out.extend_from_slice(b"\"}");
    }

    /// What [`value`] needs to know of series `i`.
    pub(super) fn seed(&self, i: usize) -> u64 {
        mix_text(i as u64, &self.name)
    }

    pub(super) fn has_sample(&self, at: i64) -> bool {
        !self.gaps.iter().any(|(start, end)| (*start..=*end).contains(&at))
    }

    /// The time of the newest sample for an instant.
    pub(super) fn newest(&self, instant: i64) -> Option<i64> {
        let newest = instant.div_euclid(INTERVAL) * INTERVAL;
        let back = (0..).map(|n| newest - n * INTERVAL);
        back.take_while(|at| *at > instant - LOOK_BACK).find(|at| self.has_sample(*at))
    }
}

/// The value of a sample of the series with this seed: an integer below 1,000.
pub(super) fn value(seed: u64, at: i64) -> u64 {
    mix(seed ^ at.unsigned_abs()) % 1_000
}

/// `text` in quotes.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// All metrics, and the gaps of those to come.
#[derive(Debug, Default)]
pub(super) struct Data {
    metrics: BTreeMap<String, MetricShape>,
    gaps: BTreeMap<String, Vec<(i64, i64)>>,
}

impl Data {
    pub(super) fn set(&mut self, name: &str, shape: MetricShape) {
        self.metrics.insert(name.to_owned(), shape);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.metrics.remove(name);
        self.gaps.remove(name);
    }

    pub(super) fn add_gap(&mut self, name: &str, start: i64, end: i64) {
        self.gaps.entry(name.to_owned()).or_default().push((start, end));
    }

    /// The metrics that a selector may select series of, in order.
    pub(super) fn select(&self, selector: &Selector) -> Vec<Arc<Metric>> {
        let fits = |name: &str| selector.matchers.iter().all(|matcher| matcher.label != NAME || matcher.holds(name));
        let metrics = self.metrics.iter().filter(|(name, _)| fits(name));
        metrics.map(|(name, shape)| Arc::new(self.metric(name, *shape))).collect()
    }

    /// All metrics, in order.
    pub(super) fn all(&self) -> Vec<Arc<Metric>> {
        self.metrics.iter().map(|(name, shape)| Arc::new(self.metric(name, *shape))).collect()
    }

    fn metric(&self, name: &str, shape: MetricShape) -> Metric {
        Metric { name: name.to_owned(), shape, gaps: self.gaps.get(name).cloned().unwrap_or_default() }
    }
}

/// The matchers that differ between the series of a metric.
pub(super) fn of_series(matchers: &[Matcher]) -> Arc<[Matcher]> {
    matchers.iter().filter(|matcher| matcher.label != NAME).cloned().collect()
}

/// Whether series `i` is one that the matchers select.
pub(super) fn selected(metric: &Metric, i: usize, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.holds(&metric.label(i, &matcher.label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(series: usize, padding: usize) -> Metric {
        Metric { name: "a\"b".to_owned(), shape: MetricShape { series, padding }, gaps: vec![(0, 3_600_000)] }
    }

    #[test]
    fn labels() {
        let mut out = Vec::new();
        metric(10_001, 3).push_labels(&mut out, 12);
        let text = r#"{"__name__":"a\"b","instance":"instance-00012","namespace":"ns-2","padding":"xxx"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), text);
        assert_eq!(metric(10_000, 0).label(7, "instance"), "instance-0007");
        assert_eq!(metric(0, 0).label_names(), ["__name__", "instance", "namespace"]);
    }

    #[test]
    fn samples() {
        let metric = metric(1, 0);
        assert_eq!(metric.newest(3_600_000), None);
        assert_eq!(metric.newest(3_615_000), Some(3_615_000));
        assert_eq!(metric.newest(3_629_999), Some(3_615_000));
        // The newest one before the gap, for less than five minutes.
        assert_eq!([metric.newest(284_999), metric.newest(285_000)], [Some(-15_000), None]);
        assert_eq!(metric.newest(-1), Some(-15_000));
        assert_ne!(metric.seed(0), metric.seed(1));
        assert!((0..100).any(|n| value(1, n) != value(1, 0)));
    }
}
