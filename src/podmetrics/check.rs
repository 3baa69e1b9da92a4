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
use super::series::{SeriesSet, plain_name};
use crate::exposition::{Entry, Escaping, Format, Kind, Name, Scanner, fits_milliseconds};

/// The most that a body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples.
    pub samples: usize,
    /// Labels of a sample.
    pub labels: usize,
    /// Bytes in a name, of a metric or a label.
    pub name_bytes: usize,
    /// Bytes in the value of a label.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { samples: 500_000, labels: 128, name_bytes: 1024, value_bytes: 16 << 10 }
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
}

struct Checker<'a> {
    terms: Terms<'a>,
    text: &'a [u8],
    /// Declared families, and those of samples that belong to none.
    families: HashMap<Cow<'a, [u8]>, usize, RandomState>,
    /// Families of a second type: Go's clients declare a gauge `x` and a counter `x`, whose samples are `x` and `x_total`.
    seconds: HashMap<Cow<'a, [u8]>, usize, RandomState>,
    /// Families by the names of samples.
    samples: HashMap<&'a [u8], usize, RandomState>,
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
        let named = match self.last {
            Some(named) if same_name => named,
            _ => self.named(body, sample.name)?,
        };
        self.last = Some(named);
        let known = self.labels.check(scanner.labels(), unchanged, &self.terms, &mut self.series)?;
        let Some(index) = named.family else {
            body.reserved += 1;
            return Ok(());
        };
        if self.terms.format == Format::OpenMetrics && !sample.timestamp.is_none_or(fits_milliseconds) {
            body.untimely += 1;
            return Ok(());
        }
        let series = SeriesSet::series_hash(named.hash, known.metric.wrapping_add(known.bounds));
        if !self.series.insert(series, sample.start, self.text, self.terms.format, self.terms.escaping) {
            body.duplicates += 1;
            return Ok(());
        }
        let unfit = sample.exemplar.is_some() && !may_have_exemplar(sample.name.raw, self.terms.escaping);
        let odd = !sample.layout.plain || unfit || self.terms.escaping == Escaping::Dots;
        let family = body.family_mut(index);
        for (holds, it) in [
            (odd, Traits::ODD),
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
        let out_name = self.out_name(name);
        let hash = self.series.name_hash(&out_name);
        if is_reserved(&out_name) {
            return Ok(Named { hash, family: None, created: false });
        }
        let index = self.family_of(body, name.raw, out_name);
        let created = self.terms.format == Format::OpenMetrics && name.raw.ends_with(b"_created");
        Ok(Named { hash, family: Some(index), created: created && has_created(body.families()[index].kind) })
    }

    /// The name as it goes out.
    fn out_name(&self, name: Name<'a>) -> Cow<'a, [u8]> {
        if !name.quoted && self.terms.escaping != Escaping::Dots {
            return Cow::Borrowed(name.raw);
        }
        let plain = plain_name(name);
        match self.terms.escaping.apply(&plain) {
            Cow::Borrowed(same) if same.len() == name.raw.len() => Cow::Borrowed(name.raw),
            changed => Cow::Owned(changed.into_owned().into_bytes()),
        }
    }

    fn span(&self, part: &[u8]) -> Span {
        // `part` is a slice of the text: both addresses are of one allocation.
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        Span::new(start..start + part.len())
    }

    /// The first TYPE stands; one behind samples says what they are all the same.
    fn declare(&mut self, body: &mut Body, name: Name<'a>, kind: Kind) {
        let out_name = self.out_name(name);
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
        self.samples.clear();
        self.last = None;
    }

    fn described(&mut self, body: &mut Body, name: Name<'a>) -> usize {
        let out_name = self.out_name(name);
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
        if let Some(index) = self.samples.get(raw) {
            return *index;
        }
        let index = self.declared_family(body, &name).unwrap_or_else(|| match self.families.get(&name) {
            // A name that its own TYPE does not allow: nothing is known of it.
            Some(own) if body.families()[*own].kind != Kind::Unknown => self.stray(body, name, Kind::Unknown),
            _ => self.family(body, name, Kind::Unknown),
        });
        self.samples.insert(raw, index);
        index
    }

    /// The family whose TYPE allows a sample of this name.
    fn declared_family(&self, body: &mut Body, name: &[u8]) -> Option<usize> {
        let format = self.terms.format;
        let kind = |index: usize| body.families()[index].kind;
        let own = self.families.get(name).copied();
        if let Some(own) = own.filter(|own| kind(*own).suffixes(format).contains(&"")) {
            return Some(own);
        }
        let long = own.filter(|own| {
            format == Format::OpenMetrics
                && (kind(*own) == Kind::Counter && name.ends_with(b"_total")
                    || kind(*own) == Kind::Info && name.ends_with(b"_info"))
        });
        if let Some(long) = long {
            body.family_mut(long).traits.add(Traits::LONG);
            return Some(long);
        }
        SUFFIXES.iter().find_map(|suffix| {
            let stem = name.strip_suffix(suffix.as_bytes())?;
            let candidates = [self.families.get(stem), self.seconds.get(stem)];
            candidates.into_iter().flatten().copied().find(|index| kind(*index).suffixes(format).contains(suffix))
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

/// What names of samples may add to those of families.
const SUFFIXES: [&str; 8] = ["_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount"];

fn has_created(kind: Kind) -> bool {
    matches!(kind, Kind::Counter | Kind::Histogram | Kind::Summary)
}

#[cfg(test)]
mod tests;
