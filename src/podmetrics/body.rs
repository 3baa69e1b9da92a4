//! A body that was found to be good, with an index of its families that is a small part of its size.

use std::ops::Range;

use crate::exposition::{Format, Kind};

/// Marks the end of a chain of runs.
const NONE: u32 = u32::MAX;

/// A part of a body's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn new(range: Range<usize>) -> Self {
        // Bodies are limited to sizes far below.
        let narrow = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: narrow(range.start), end: narrow(range.end) }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// What is to be known of lines before they are copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traits(u8);

impl Traits {
    /// Cannot be copied: an odd layout, or names that must be escaped.
    pub(super) const ODD: Self = Self(1);
    /// Legal in the text format alone.
    pub(super) const LOOSE: Self = Self(2);
    /// With timestamps.
    pub(super) const TIMESTAMP: Self = Self(4);
    /// With exemplars.
    pub(super) const EXEMPLAR: Self = Self(8);
    /// With labels of the names that are added.
    pub(super) const CLASH: Self = Self(16);
    /// Samples of one metric (all labels equal but `le` and `quantile`) are not all together.
    pub(super) const SCATTERED: Self = Self(32);
    /// With `_created` samples of OpenMetrics, which the text format has as a family of their own.
    pub(super) const CREATED: Self = Self(64);

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Neighbouring sample lines of one family.
#[derive(Debug, Clone, Copy)]
struct Run {
    lines: Span,
    next: u32,
}

/// A family of a body. Most have one run, so the first stands here.
#[derive(Debug, Clone)]
pub(super) struct Family {
    name: Span,
    help: Span,
    lines: Span,
    more_lines: u32,
    pub(super) samples: u32,
    pub(super) kind: Kind,
    pub(super) traits: Traits,
    /// Its name is in `Body::names`, at the index where its span starts.
    renamed: bool,
}

/// The text of a good body and where its families are.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) text: Vec<u8>,
    pub(super) format: Format,
    families: Vec<Family>,
    /// Runs of families behind their first.
    runs: Vec<Run>,
    /// The last run of each family, while lines are added.
    last_runs: Vec<u32>,
    /// Names that do not stand in the text as they go out.
    names: Vec<Box<[u8]>>,
    /// Units by family; few have one.
    units: Vec<(u32, Span)>,
    /// Bytes that came; the text can have a line feed more.
    pub(super) size: usize,
    /// All samples, those that are left out included.
    pub(super) samples: u32,
    /// Samples left out since there was one of the same labels before.
    pub(super) duplicates: u32,
    /// Samples left out since their names are those of the scrape itself.
    pub(super) reserved: u32,
    /// Samples left out since their times are before 1970 or hundreds of millions of years ahead: Prometheus keeps none, and refuses the text format with them.
    pub(super) untimely: u32,
}

impl Body {
    pub(super) fn new(format: Format) -> Self {
        Self {
            text: Vec::new(),
            format,
            families: Vec::new(),
            runs: Vec::new(),
            last_runs: Vec::new(),
            names: Vec::new(),
            units: Vec::new(),
            size: 0,
            samples: 0,
            duplicates: 0,
            reserved: 0,
            untimely: 0,
        }
    }

    /// Takes the text, of which `size` bytes came, and gives back what was allocated in vain.
    pub(super) fn finish(mut self, mut text: Vec<u8>, size: usize) -> Self {
        text.shrink_to_fit();
        (self.text, self.size) = (text, size);
        self.families.shrink_to_fit();
        self.runs.shrink_to_fit();
        self.last_runs = Vec::new();
        // The first unit of a family stands.
        self.units.sort_by_key(|(family, _)| *family);
        self.units.dedup_by_key(|(family, _)| *family);
        self
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let index = self.families.capacity() * size_of::<Family>() + self.runs.capacity() * size_of::<Run>();
        self.text.capacity() + index + self.names.iter().map(|name| name.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }

    pub(super) fn families(&self) -> &[Family] {
        &self.families
    }

    pub(super) fn name<'a>(&'a self, family: &Family) -> &'a [u8] {
        self.name_in(&self.text, family)
    }

    /// The name of a family while `text` is not taken yet.
    pub(super) fn name_in<'a>(&'a self, text: &'a [u8], family: &Family) -> &'a [u8] {
        if family.renamed { &self.names[family.name.start as usize] } else { &text[family.name.range()] }
    }

    /// As it stands in the text; `None` if nothing was said.
    pub(super) fn help<'a>(&'a self, family: &Family) -> Option<&'a [u8]> {
        (!family.help.is_empty()).then(|| &self.text[family.help.range()])
    }

    pub(super) fn unit(&self, family: usize) -> Option<&[u8]> {
        let at = self.units.binary_search_by_key(&family, |(index, _)| *index as usize).ok()?;
        Some(&self.text[self.units[at].1.range()])
    }

    /// The sample lines of a family, run by run.
    pub(super) fn runs<'a>(&'a self, family: &Family) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let mut next = family.more_lines;
        let more = std::iter::from_fn(move || {
            let run = self.runs.get(next as usize)?;
            next = run.next;
            Some(run.lines.range())
        });
        (family.samples > 0).then(|| family.lines.range()).into_iter().chain(more)
    }

    /// Adds a family without samples; gives its index. `Err` holds a name that does not stand in the text.
    pub(super) fn add_family(&mut self, name: Result<Span, Box<[u8]>>, kind: Kind) -> usize {
        let (name, renamed) = match name {
            Ok(span) => (span, false),
            Err(owned) => {
                self.names.push(owned);
                (Span::new(self.names.len() - 1..self.names.len()), true)
            }
        };
        let (none, traits) = (Span::default(), Traits::default());
        self.families.push(Family { name, help: none, lines: none, more_lines: NONE, samples: 0, kind, traits, renamed });
        self.last_runs.push(NONE);
        self.families.len() - 1
    }

    pub(super) fn family_mut(&mut self, index: usize) -> &mut Family {
        &mut self.families[index]
    }

    /// Notes the help of a family; the first stands.
    pub(super) fn set_help(&mut self, index: usize, help: Span) {
        let family = &mut self.families[index];
        if family.help.is_empty() {
            family.help = help;
        }
    }

    /// Notes the unit of a family; the first stands.
    pub(super) fn set_unit(&mut self, index: usize, unit: Span) {
        if let Some(index) = u32::try_from(index).ok().filter(|_| !unit.is_empty()) {
            self.units.push((index, unit));
        }
    }

    /// Adds a line to a family: to its last run if the line follows it directly.
    pub(super) fn add_line(&mut self, index: usize, line: Span) {
        let next = u32::try_from(self.runs.len()).unwrap_or(NONE);
        let (family, last) = (&mut self.families[index], &mut self.last_runs[index]);
        family.samples += 1;
        if family.samples == 1 {
            family.lines = line;
            return;
        }
        let (lines, link) = match self.runs.get_mut(*last as usize) {
            Some(run) => (&mut run.lines, &mut run.next),
            None => (&mut family.lines, &mut family.more_lines),
        };
        if lines.end == line.start {
            lines.end = line.end;
            return;
        }
        (*link, *last) = (next, next);
        self.runs.push(Run { lines: line, next: NONE });
    }
}
