//! One series of an answer, cut out of it: its labels, and its samples as they stand there.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Labels in the order in which Prometheus sorts series: by name and value of the first label that differs.
pub(super) type Labels = BTreeMap<String, String>;

/// A series of a matrix.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// As it stands in the answer.
    metric: Box<RawValue>,
    pub(super) values: Vec<Box<RawValue>>,
    pub(super) histograms: Vec<Box<RawValue>>,
}

/// As it stands in the answer.
#[derive(Deserialize)]
struct Element {
    metric: Box<RawValue>,
    #[serde(default)]
    values: Vec<Box<RawValue>>,
    #[serde(default)]
    histograms: Vec<Box<RawValue>>,
}

impl Series {
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let Element { metric, values, histograms } = serde_json::from_slice(json)?;
        Ok(Self { labels: serde_json::from_str(metric.get())?, metric, values, histograms })
    }

    /// Drops samples outside `[start, end)`, in milliseconds.
    pub(super) fn trim(&mut self, start: i64, end: i64) -> serde_json::Result<()> {
        for samples in [&mut self.values, &mut self.histograms] {
            // In order of time, so only the ends need a look.
            let mut before = 0;
            while before < samples.len() && milliseconds(&samples[before])? < start {
                before += 1;
            }
            samples.drain(..before);
            while let Some(last) = samples.last()
                && milliseconds(last)? >= end
            {
                samples.pop();
            }
        }
        Ok(())
    }

    /// Adds the samples of the same series from a later time.
    pub(super) fn append(&mut self, later: Self) {
        self.values.extend(later.values);
        self.histograms.extend(later.histograms);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }

    /// In the form of Prometheus' own answers.
    pub(super) fn render(&self) -> Bytes {
        let mut out = Vec::with_capacity(64 + self.values.len() * 32);
        out.extend_from_slice(b"{\"metric\":");
        out.extend_from_slice(self.metric.get().as_bytes());
        for (name, samples) in [("values", &self.values), ("histograms", &self.histograms)] {
            if samples.is_empty() {
                continue;
            }
            out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
            for (position, sample) in samples.iter().enumerate() {
                out.extend_from_slice(if position > 0 { b"," } else { b"" });
                out.extend_from_slice(sample.get().as_bytes());
            }
            out.push(b']');
        }
        out.push(b'}');
        out.into()
    }
}

/// When a sample was taken. Timestamps have three decimals at most.
#[expect(clippy::cast_possible_truncation, reason = "a time in milliseconds")]
fn milliseconds(sample: &RawValue) -> serde_json::Result<i64> {
    let (seconds, _): (f64, IgnoredAny) = serde_json::from_str(sample.get())?;
    Ok((seconds * 1_000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_trimmed_and_rendered_as_it_was() {
        let json = r#"{"metric":{"b":"é\"","a":"1"},"values":[[1.999,"1"],[2,"2"],[3.999,"+Inf"],[4,"4"]]}"#;
        let mut series = Series::parse(json.as_bytes()).unwrap();
        assert_eq!(series.render(), json.as_bytes());
        assert_eq!(series.labels["b"], "é\"");
        series.trim(2_000, 4_000).unwrap();
        let trimmed = r#"{"metric":{"b":"é\"","a":"1"},"values":[[2,"2"],[3.999,"+Inf"]]}"#;
        assert_eq!(series.render(), trimmed.as_bytes());
        series.append(Series::parse(br#"{"metric":{},"histograms":[[5,{"count":"1"}]],"values":[[5,"5"]]}"#).unwrap());
        assert!(String::from_utf8_lossy(&series.render()).ends_with(r#"[5,"5"]],"histograms":[[5,{"count":"1"}]]}"#));
        series.trim(9_000, 10_000).unwrap();
        assert!(series.is_empty());
    }
}
