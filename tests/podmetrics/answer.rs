//! What was answered, and what every answer must be like.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::header::HeaderMap;

/// An answer to a request for a job, or to any other.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// A line with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer of one who has pods: 200, and a text that Prometheus takes.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_valid(&self.text, self.header("content-type").starts_with("application/openmetrics-text"));
        self
    }

    /// All samples of a name.
    pub fn samples(&self, name: &str) -> Vec<Sample> {
        lines(&self.text).map(sample).filter(|sample| sample.name == name).collect()
    }

    /// The value of the sample of this name and target; panics if there are several.
    #[track_caller]
    pub fn value(&self, name: &str, instance: &str) -> Option<f64> {
        let mut samples = self.samples(name);
        samples.retain(|sample| sample.label("instance") == instance);
        assert!(samples.len() <= 1, "{name} of {instance}: {samples:?}");
        samples.pop().map(|sample| sample.value.parse().unwrap())
    }

    pub fn up(&self, instance: &str) -> Option<f64> {
        self.value("up", instance)
    }

    /// Why a target is down.
    #[track_caller]
    pub fn reason(&self, instance: &str) -> Option<String> {
        let mut samples = self.samples("s3exporter_podmetrics_scrape_failed");
        samples.retain(|sample| sample.label("instance") == instance);
        assert!(samples.len() <= 1, "{instance}: {samples:?}");
        samples.pop().map(|sample| sample.label("reason").to_owned())
    }

    /// The targets and their `up`, in their order.
    pub fn targets(&self) -> Vec<(String, bool)> {
        self.samples("up").iter().map(|sample| (sample.label("instance").to_owned(), sample.value == "1")).collect()
    }

    /// All targets that are up.
    pub fn healthy(&self) -> Vec<String> {
        self.targets().into_iter().filter_map(|(instance, up)| up.then_some(instance)).collect()
    }
}

impl Sample {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// Reads a line of a text whose values have neither braces nor quotation marks.
fn sample(line: &str) -> Sample {
    let (series, rest) = match line.split_once('}') {
        Some((series, rest)) => (series, rest),
        None => line.split_once(' ').unwrap(),
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.split("\",").filter(|label| !label.is_empty()).map(|label| {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label in {line}"));
        (name.trim_matches('"').to_owned(), value.trim_end_matches('"').to_owned())
    });
    let value = rest.split_whitespace().next().unwrap_or_else(|| panic!("no value in {line}")).to_owned();
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}

/// Each family once, with one TYPE before its samples and all of them together; no series twice; the end where it belongs.
#[track_caller]
fn assert_valid(text: &str, openmetrics: bool) {
    assert_eq!(text.ends_with("# EOF\n"), openmetrics, "{text}");
    let (mut types, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            family = declared.split(' ').next().unwrap();
            assert!(types.insert(family), "{family} has two types\n{text}");
        } else if !line.starts_with('#') {
            assert!(!line.is_empty() && line.starts_with(family), "{line} stands under {family}\n{text}");
            let sample = sample(line);
            assert!(series.insert((sample.name, sample.labels)), "{line} comes twice\n{text}");
        }
    }
}
