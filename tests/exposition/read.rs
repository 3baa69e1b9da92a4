//! What an exposition says, read again, and whether it is laid out as every reader needs it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use kube_s3_exporter::exposition::{Entry, Escaping, Format, Kind, Label, Name, Scanner, exemplar_has_quoted_names, unescape};

/// A name and its labels, sorted, those without a value left out.
pub type Series = (String, Vec<(String, String)>);

/// What stands behind a series, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// What the family above it says; of no meaning where there is no family yet.
    pub kind: Kind,
    pub value: String,
    pub timestamp: Option<String>,
    pub exemplar: Option<String>,
}

pub type Samples = BTreeMap<Series, Point>;

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn plain(raw: &[u8]) -> String {
    let mut out = Vec::new();
    unescape(raw, true, &mut out);
    show(&out)
}

fn name(name: Name<'_>) -> String {
    if name.quoted { plain(name.raw) } else { show(name.raw) }
}

/// Names that the scrape itself gives.
pub fn is_own(name: &str) -> bool {
    name == "up" || name.starts_with("scrape_") || name == "s3exporter_podmetrics_scrape_failed"
}

/// Reads a merged answer. `Err` if it does not parse, has a series or a TYPE twice, or a sample that is not below its own TYPE.
pub fn read(text: &[u8], format: Format) -> Result<Samples, String> {
    let mut scanner = Scanner::new(text, format);
    let mut samples = Samples::new();
    let mut seen = HashSet::new();
    let mut family = None;
    while let Some(entry) = scanner.entry().map_err(|error| error.to_string())? {
        match entry {
            Entry::Type(of, kind) => {
                let of = name(of);
                if !seen.insert(of.clone()) {
                    return Err(format!("TYPE of {of} comes twice"));
                }
                family = Some((of, kind));
            }
            Entry::Sample => {
                let sample = scanner.sample();
                let name = name(sample.name);
                let (of, kind) = family.as_ref().ok_or("a sample without a TYPE")?;
                let end = name.strip_prefix(of.as_str());
                if !end.is_some_and(|end| kind.suffixes(format).contains(&end)) {
                    return Err(format!("{name} stands below {of}, a {kind:?}"));
                }
                let part = |part: Option<&[u8]>| part.map(show);
                let point = Point {
                    kind: *kind,
                    value: show(sample.value),
                    timestamp: part(sample.timestamp),
                    exemplar: part(sample.exemplar),
                };
                let series = (name, sorted(scanner.labels().iter().map(pair)));
                if samples.insert(series.clone(), point).is_some() {
                    return Err(format!("{series:?} comes twice"));
                }
            }
            _ => {}
        }
    }
    Ok(samples)
}

fn pair(label: &Label<'_>) -> (String, String) {
    (name(label.name), plain(label.value))
}

fn sorted(labels: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
    labels.sort();
    labels
}

/// How a body is merged.
pub struct Terms<'a> {
    pub added: &'a [(String, String)],
    /// Of the body.
    pub from: Format,
    /// Of the answer.
    pub to: Format,
    pub escaping: Escaping,
}

/// The samples that a good body gives to a merged answer, by the rules and not by the library's code for them.
pub fn expected(text: &[u8], terms: &Terms<'_>) -> Samples {
    let mut scanner = Scanner::new(text, terms.from);
    let mut samples = Samples::new();
    while let Some(entry) = scanner.entry().expect("a good body") {
        let Entry::Sample = entry else { continue };
        let sample = scanner.sample();
        let metric = terms.escaping.apply(&name(sample.name)).into_owned();
        // Prometheus has no such times in the text format.
        let untimely =
            |time: &[u8]| terms.from == Format::OpenMetrics && !(0.0..9.2e15).contains(&seconds(&show(time), terms.from));
        if is_own(&metric) || sample.timestamp.is_some_and(untimely) {
            continue;
        }
        let mut labels: Vec<(String, String)> = terms.added.to_vec();
        let own: Vec<(String, String)> = scanner.labels().iter().map(pair).collect();
        let is_own = |name: &str| own.iter().any(|(own, _)| terms.escaping.apply_to_label(own) == name);
        for (name, value) in &own {
            let mut name = terms.escaping.apply_to_label(name);
            let is_added = |name: &str| terms.added.iter().any(|(added, _)| added == name);
            if is_added(&name) {
                name = Cow::Owned(format!("exported_{name}"));
                while is_own(&name) {
                    name = Cow::Owned(format!("exported_{name}"));
                }
            }
            labels.push((name.into_owned(), value.clone()));
        }
        let exemplar = sample.exemplar.filter(|exemplar| {
            let everywhere = (metric.ends_with("_total") || metric.ends_with("_bucket")) && !exemplar_has_quoted_names(exemplar);
            terms.to == Format::OpenMetrics && (everywhere || terms.escaping == Escaping::AllowUtf8)
        });
        let point = Point {
            kind: Kind::Unknown,
            value: show(sample.value),
            timestamp: sample.timestamp.map(show),
            exemplar: exemplar.map(show),
        };
        // The first of several stands.
        samples.entry((metric, sorted(labels.into_iter()))).or_insert(point);
    }
    samples
}

/// Seconds of a timestamp.
fn seconds(timestamp: &str, format: Format) -> f64 {
    let number: f64 = timestamp.parse().unwrap();
    if format == Format::Text { number / 1000.0 } else { number }
}

/// Whether a sample arrived as it was sent: byte for byte within a format, by its value and its time across.
pub fn same(sent: &Point, from: Format, got: &Point, to: Format) -> bool {
    let counts = matches!(got.kind, Kind::Counter | Kind::Histogram | Kind::GaugeHistogram);
    // A family of another type can have none.
    let exemplars = sent.exemplar == got.exemplar || (got.exemplar.is_none() && !counts);
    if from == to {
        return sent.value == got.value && sent.timestamp == got.timestamp && exemplars;
    }
    let times = match (&sent.timestamp, &got.timestamp) {
        (None, None) => true,
        // What is finer than a millisecond is cut off.
        (Some(sent), Some(got)) => (seconds(sent, from) - seconds(got, to)).abs() < 0.0015,
        _ => false,
    };
    sent.value == got.value && times && exemplars
}
