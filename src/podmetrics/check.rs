//! Checks a body as a whole before anything of it is merged, and notes where its families are.
//!
//! **One target can never spoil the answer**: what Prometheus would refuse is refused here, with the line and the reason; what would make the
//! merged answer ambiguous (series that come twice, the names of the scrape's own samples) is left out and counted.

mod labels;

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use self::labels::LabelChecker;
use super::body::{Body, Span, Traits};
use super::line::may_have_exemplar;
use super::reason::{Failure, Reason};
use super::series::{SeriesSet, out_name};
use crate::exposition::{Entry, Escaping, Format, Kind, Name, Scanner, fits_milliseconds};

/// The most that a body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples.
    pub samples: usize,
    /// Families.
    pub families: usize,
    /// Labels of a sample.
    pub labels: usize,
    /// Bytes in a name, of a metric or a label.
    pub name_bytes: usize,
    /// Bytes in the value of a label.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { samples: 500_000, families: 20_000, labels: 128, name_bytes: 1024, value_bytes: 16 << 10 }
    }
}

/// What a body is checked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) format: Format,
    pub(super) escaping: Escaping,
    pub(super) limits: Limits,
    /// Names of the labels that every sample gains.
    pub(super) added: &'a [&'a str],
    /// Whether a sample's own label of such a name stands.
    pub(super) honor_labels: bool,
}

/// Checks `text`, of which every byte must have come.
///
/// # Errors
/// With the first line that is not of the format, or the limit that is passed.
pub(super) fn check(mut text: Vec<u8>, terms: Terms<'_>) -> Result<Body, Failure> {
    let bytes = text.len();
    // A line that is copied ends with a line feed, also the last.
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    let mut body = Body::new(terms.format);
    let mut checker = Checker {
        terms,
        text: &text,
        families: HashMap::default(),
        seconds: HashMap::default(),
        samples: HashMap::default(),
        generation: 0,
        series: SeriesSet::with_capacity(text.len() / 90),
        labels: LabelChecker::default(),
        last: None,
        last_metric: None,
    };
    let mut scanner = Scanner::new(&text, terms.format);
    while let Some(entry) = scanner.entry().map_err(|error| Failure::new(Reason::Syntax, error.to_string()))? {
        match entry {
            Entry::Sample => checker
                .sample(&mut body, &scanner)
                .map_err(|(reason, what)| Failure::new(reason, format!("line {}: {what}", scanner.line())))?,
            Entry::Type(name, kind) => checker.declare(&mut body, name, kind),
            Entry::Help(name, help) => {
                let index = checker.described(&mut body, name);
                body.set_help(index, checker.span(help));
            }
            Entry::Unit(name, unit) => {
                let index = checker.described(&mut body, name);
                body.set_unit(index, checker.span(unit));
            }
            Entry::Nothing | Entry::Eof => {}
        }
        if body.families().len() > terms.limits.families {
            let what = format!("line {}: more than {} families", scanner.line(), terms.limits.families);
            return Err(Failure::new(Reason::SampleLimit, what));
        }
    }
    drop(checker);
    Ok(body.finish(text, bytes))
}

/// True for names that the scrape itself gives.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name == b"up" || name.starts_with(b"scrape_") || name == super::own::FAILED.as_bytes()
}

type Broken = (Reason, String);

/// What a name of samples means.
#[derive(Debug, Clone, Copy)]
struct Named {
    hash: u64,
    /// `None` for names of the scrape itself.
    family: Option<usize>,
    /// It is that of `_created` samples of OpenMetrics.
    created: bool,
    /// The label that tells samples of one metric apart.
    bound: &'static [u8],
}

struct Checker<'a> {
    terms: Terms<'a>,
    text: &'a [u8],
    /// Declared families, and those of samples that belong to none.
    families: HashMap<Cow<'a, [u8]>, usize, RandomState>,
    /// Families of a second type: Go's clients declare a gauge `x` and a counter `x`, whose samples are `x` and `x_total`.
    seconds: HashMap<Cow<'a, [u8]>, usize, RandomState>,
    /// Families by the names of samples, each with the generation in which it was found: a TYPE begins another.
    samples: HashMap<&'a [u8], (usize, u32), RandomState>,
    generation: u32,
    series: SeriesSet,
    labels: LabelChecker,
    /// Of the last sample; forgotten when a TYPE may have changed it.
    last: Option<Named>,
    /// Family and metric of the last sample.
    last_metric: Option<(usize, u64)>,
}

impl<'a> Checker<'a> {
    fn sample(&mut self, body: &mut Body, scanner: &Scanner<'a>) -> Result<(), Broken> {
        let sample = scanner.sample();
        let limits = self.terms.limits;
        body.samples += 1;
        if body.samples as usize > limits.samples {
            return Err((Reason::SampleLimit, format!("more than {} samples", limits.samples)));
        }
        let (same_name, unchanged) = scanner.unchanged();
        let (named, unchanged) = match self.last {
            Some(named) if same_name => (named, unchanged),
            _ => (self.named(body, sample.name)?, 0),
        };
        self.last = Some(named);
        let known = self.labels.check(scanner.labels(), unchanged, named.bound, &self.terms, &mut self.series)?;
        let Some(index) = named.family else {
            body.reserved += 1;
            return Ok(());
        };
        if self.terms.format == Format::OpenMetrics && !sample.timestamp.is_none_or(fits_milliseconds) {
            body.untimely += 1;
            return Ok(());
        }
        let series = SeriesSet::series_hash(named.hash, known.metric.wrapping_add(known.bound));
        if !self.series.insert(series, sample.start, self.text, &self.terms) {
            body.duplicates += 1;
            return Ok(());
        }
        let unfit = sample.exemplar.is_some() && !may_have_exemplar(sample.name.raw, self.terms.escaping);
        let family = body.family_mut(index);
        for (holds, it) in [
            (!sample.layout.plain || unfit, Traits::ODD),
            (sample.layout.loose, Traits::LOOSE),
            (sample.timestamp.is_some(), Traits::TIMESTAMP),
            (sample.exemplar.is_some(), Traits::EXEMPLAR),
            (known.clash, Traits::CLASH),
            (named.created, Traits::CREATED),
        ] {
            if holds {
                family.traits.add(it);
            }
        }
        if family.kind.suffixes(self.terms.format).len() > 1 && self.last_metric != Some((index, known.metric)) {
            if !self.series.begin_metric(index, known.metric) {
                family.traits.add(Traits::SCATTERED);
            }
            self.last_metric = Some((index, known.metric));
        }
        body.add_line(index, Span::new(sample.start..sample.end));
        Ok(())
    }

    /// What a name of samples means.
    fn named(&mut self, body: &mut Body, name: Name<'a>) -> Result<Named, Broken> {
        let limit = self.terms.limits.name_bytes;
        if name.raw.len() > limit {
            return Err((Reason::LabelLimit, format!("the name of a metric is longer than {limit} bytes")));
        }
        let out_name = out_name(name, self.terms.escaping);
        let hash = self.series.name_hash(&out_name);
        let mut named = Named { hash, family: None, created: false, bound: b"" };
        if is_reserved(&out_name) {
            return Ok(named);
        }
        let index = self.family_of(body, name.raw, out_name.clone());
        let family = &body.families()[index];
        let stem = body.name_in(self.text, family);
        named.bound = match family.kind {
            Kind::Histogram | Kind::GaugeHistogram => b"le",
            Kind::Summary => b"quantile",
            _ => b"",
        };
        // The whole family would have a name of the scrape itself.
        if !named.bound.is_empty() && is_reserved(stem) {
            return Ok(named);
        }
        named.family = Some(index);
        named.created = self.terms.format == Format::OpenMetrics
            && has_created(family.kind)
            && out_name.strip_prefix(stem) == Some(b"_created");
        Ok(named)
    }

    fn span(&self, part: &[u8]) -> Span {
        // `part` is a slice of the text: both addresses are of one allocation.
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        Span::new(start..start + part.len())
    }

    /// The first TYPE stands; one behind samples says what they are all the same.
    fn declare(&mut self, body: &mut Body, name: Name<'a>, kind: Kind) {
        let out_name = out_name(name, self.terms.escaping);
        let mut index = self.family(body, out_name.clone(), Kind::Unknown);
        let (known, late) = (body.families()[index].kind, body.families()[index].samples > 0);
        if known == Kind::Unknown {
            if late && !kind.suffixes(self.terms.format).contains(&"") {
                // But samples of a name that it does not allow stay apart.
                index = self.stray(body, out_name.clone(), Kind::Unknown);
                self.families.insert(out_name, index);
            }
            let family = body.family_mut(index);
            family.kind = kind;
            if late {
                family.traits.add(Traits::SCATTERED);
            }
        } else if known != kind && self.terms.format == Format::OpenMetrics && !self.seconds.contains_key(&out_name) {
            let index = self.stray(body, out_name.clone(), kind);
            self.seconds.insert(out_name, index);
        }
        // Samples that were alone may belong to it now.
        self.generation += 1;
        self.last = None;
    }

    fn described(&mut self, body: &mut Body, name: Name<'a>) -> usize {
        let out_name = out_name(name, self.terms.escaping);
        self.family(body, out_name, Kind::Unknown)
    }

    fn family(&mut self, body: &mut Body, name: Cow<'a, [u8]>, kind: Kind) -> usize {
        if let Some(index) = self.families.get(&name) {
            return *index;
        }
        let stored = match &name {
            Cow::Borrowed(raw) => Ok(self.span(raw)),
            Cow::Owned(owned) => Err(owned.clone().into_boxed_slice()),
        };
        let index = body.add_family(stored, kind);
        self.families.insert(name, index);
        index
    }

    /// The family that a sample belongs to by its name, made if there is none.
    fn family_of(&mut self, body: &mut Body, raw: &'a [u8], name: Cow<'a, [u8]>) -> usize {
        if let Some((index, _)) = self.samples.get(raw).filter(|(_, generation)| *generation == self.generation) {
            return *index;
        }
        let index = self.declared_family(body, &name).unwrap_or_else(|| match self.families.get(&name) {
            // A name that its own TYPE does not allow: nothing is known of it.
            Some(own) if body.families()[*own].kind != Kind::Unknown => self.stray(body, name, Kind::Unknown),
            _ => self.family(body, name, Kind::Unknown),
        });
        self.samples.insert(raw, (index, self.generation));
        index
    }

    /// The family whose TYPE allows a sample of this name.
    fn declared_family(&self, body: &Body, name: &[u8]) -> Option<usize> {
        let format = self.terms.format;
        let kind = |index: usize| body.families()[index].kind;
        let own = self.families.get(name).copied();
        let typed = |own: &usize| kind(*own) != Kind::Unknown && kind(*own).suffixes(format).contains(&"");
        if let Some(own) = own.filter(|own| is_long(kind(*own), name, format) || typed(own)) {
            return Some(own);
        }
        // A name of its own that nothing is known of, as before a late TYPE, is rather a part of a family that has such.
        SUFFIXES.iter().find_map(|suffix| {
            let stem = name.strip_suffix(suffix.as_bytes())?;
            let candidates = [self.families.get(stem), self.seconds.get(stem)].into_iter().flatten().copied();
            candidates
                .filter(|index| !is_long(kind(*index), stem, format))
                .find(|index| kind(*index).suffixes(format).contains(suffix))
        })
    }

    fn stray(&self, body: &mut Body, name: Cow<'a, [u8]>, kind: Kind) -> usize {
        let stored = match name {
            Cow::Borrowed(raw) => Ok(self.span(raw)),
            Cow::Owned(owned) => Err(owned.into_boxed_slice()),
        };
        body.add_family(stored, kind)
    }
}

/// True for a family that OpenMetrics has under the name of its samples, though their end should be missing there: kube-state-metrics does so.
pub(super) fn is_long(kind: Kind, name: &[u8], format: Format) -> bool {
    let end: &[u8] = match kind {
        Kind::Counter => b"_total",
        Kind::Info => b"_info",
        _ => return false,
    };
    format == Format::OpenMetrics && name.ends_with(end)
}

/// What names of samples may add to those of families.
const SUFFIXES: [&str; 8] = ["_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount"];

pub(super) fn has_created(kind: Kind) -> bool {
    matches!(kind, Kind::Counter | Kind::Histogram | Kind::Summary)
}

#[cfg(test)]
mod tests;
