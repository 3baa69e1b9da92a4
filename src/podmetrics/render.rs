//! Writes a merged answer piece by piece, so that it is never held as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use super::body::{Body, Traits};
use super::line::{Rewrite, can_copy, copy_lines, may_have_exemplars, write_added, write_quoted};
use super::merge::{Member, Merged, Part, Planned, Source, body_of, lines_in_order};
use super::own;
use super::series::{SeriesSet, out_name};
use crate::exposition::{Entry, Escaping, Format, Kind, Scanner, convert_help, is_metric_name};

/// Size of a piece, about.
const PIECE: usize = 64 << 10;

/// Where the writing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Own,
    Families,
    End,
    Done,
}

/// Writes an answer. Several can write the same at once.
#[derive(Debug)]
pub(super) struct Renderer {
    merged: Arc<Merged>,
    stage: Stage,
    family: usize,
    /// Whether its head is written; it can be the last of a piece.
    headed: bool,
    /// The next member of the family.
    member: usize,
    /// Bytes of the member's lines that are written.
    offset: usize,
    /// The labels that are added, as text, of the source at hand.
    added: (usize, Vec<u8>),
}

impl Renderer {
    pub(super) fn new(merged: Arc<Merged>) -> Self {
        Self { merged, stage: Stage::Own, family: 0, headed: false, member: 0, offset: 0, added: (usize::MAX, Vec::new()) }
    }

    /// The next piece; `None` behind the last.
    pub(super) fn piece(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(PIECE + (PIECE >> 3));
        while out.len() < PIECE && self.stage != Stage::Done {
            match self.stage {
                Stage::Own => {
                    own::write(&self.merged, &mut out);
                    self.stage = Stage::Families;
                }
                Stage::Families if self.family < self.merged.families.len() => self.write_family(&mut out),
                Stage::Families => self.stage = Stage::End,
                Stage::End => {
                    own::write_end(self.merged.answer.format, &mut out);
                    self.stage = Stage::Done;
                }
                Stage::Done => {}
            }
        }
        (!out.is_empty()).then_some(out)
    }

    /// Goes on with the family at hand until the piece is full or the family ends.
    fn write_family(&mut self, out: &mut Vec<u8>) {
        let merged = Arc::clone(&self.merged);
        let family = &merged.families[self.family];
        if !self.headed {
            write_head(&merged, family, out);
            self.headed = true;
        }
        while out.len() < PIECE {
            let Some(first) = family.members.get(self.member) else {
                (self.family, self.headed, self.member, self.offset) = (self.family + 1, false, 0, 0);
                return;
            };
            let of_source = family.members[self.member..].iter().take_while(|member| member.source == first.source).count();
            let members = &family.members[self.member..self.member + of_source];
            if self.write_members(&merged, family, members, out) {
                self.member += of_source;
                self.offset = 0;
            }
        }
    }

    /// Writes the members of one source; true when all is written.
    fn write_members(&mut self, merged: &Merged, family: &Planned, members: &[Member], out: &mut Vec<u8>) -> bool {
        let Some((source, body, of)) = members.first().and_then(|member| merged.body(member)) else { return true };
        let together = family.kind.suffixes(merged.answer.format).len() > 1;
        let scattered =
            merged.answer.format == Format::OpenMetrics && together && (members.len() > 1 || of.traits.any(Traits::SCATTERED));
        let exemplars = may_have_exemplars(family.kind, merged.answer);
        let simple = members.len() == 1
            && members[0].part == Part::All
            && merged.repeated.is_empty()
            && !scattered
            && (exemplars || !of.traits.any(Traits::EXEMPLAR));
        if simple && can_copy(of.traits, body.format, merged.answer.format) {
            return self.copy(source, members[0], body, merged, out);
        }
        let (answer, honor_labels) = (merged.answer, merged.honor_labels);
        let rewrite = Rewrite { source, from: body.format, answer, honor_labels, exemplars };
        if !scattered {
            return self.rewrite(&rewrite, body, members, merged, out);
        }
        for line in regroup(merged, body, members, family.kind) {
            rewrite.write_at(&body.text, line, out);
        }
        true
    }

    /// Writes lines anew from where the last piece ended until this one is full; true at their end.
    fn rewrite(&mut self, rewrite: &Rewrite<'_>, body: &Body, members: &[Member], merged: &Merged, out: &mut Vec<u8>) -> bool {
        for (run, part, family) in lines_in_order(body, members) {
            if run.end <= self.offset {
                continue;
            }
            let mut scanner = Scanner::resume(&body.text, body.format, run.start.max(self.offset));
            while scanner.offset() < run.end {
                if out.len() >= PIECE {
                    self.offset = scanner.offset();
                    return false;
                }
                let Ok(Some(Entry::Sample)) = scanner.entry() else { break };
                if is_kept(merged, members, &scanner, part, family) {
                    rewrite.write(scanner.sample(), scanner.labels(), out);
                }
            }
        }
        true
    }

    fn copy(&mut self, source: &Source, member: Member, body: &Body, merged: &Merged, out: &mut Vec<u8>) -> bool {
        let at = member.source as usize;
        if self.added.0 != at {
            self.added.0 = at;
            self.added.1.clear();
            write_added(&source.added, &mut self.added.1);
        }
        let Some((_, _, family)) = body_of(&merged.sources, &member) else { return true };
        let mut before = 0;
        for run in body.runs(family) {
            let length = run.len();
            if self.offset < before + length {
                let from = run.start + (self.offset - before);
                self.offset += copy_lines(&body.text[from..run.end], &self.added.1, out, PIECE);
                if self.offset < before + length {
                    return false;
                }
            }
            before += length;
        }
        true
    }
}

/// HELP, TYPE and UNIT.
fn write_head(merged: &Merged, family: &Planned, out: &mut Vec<u8>) {
    let format = merged.answer.format;
    let mut name = Vec::with_capacity(family.name.len() + 2);
    if is_metric_name(&family.name) {
        name.extend_from_slice(&family.name);
    } else {
        write_quoted(&family.name, &mut name);
    }
    let mut line = |word: &str, text: &[u8]| {
        for part in [b"# ", word.as_bytes(), b" ", &name, b" ", text, b"\n"] {
            out.extend_from_slice(part);
        }
    };
    if let Some((_, body, of)) = family.help.as_ref().and_then(|member| merged.body(member)) {
        let help = body.help(of).unwrap_or_default();
        let mut converted = Vec::new();
        // Escapes that are none are mended, too.
        let copied = body.format == format && !help.contains(&b'\\');
        if !copied {
            convert_help(help, body.format, format, &mut converted);
        }
        line("HELP", if copied { help } else { &converted });
    }
    line("TYPE", family.kind.word(format).as_bytes());
    let unit = family.unit.as_ref().and_then(|member| merged.body(member)?.1.unit(member.family as usize));
    if let Some(unit) = unit.filter(|_| format == Format::OpenMetrics) {
        line("UNIT", unit);
    }
}

/// Whether the sample at hand belongs to the part of a family that is written, and is not left out.
fn is_kept(merged: &Merged, members: &[Member], scanner: &Scanner<'_>, part: Part, family: &[u8]) -> bool {
    let sample = scanner.sample();
    let repeated = || members.first().is_some_and(|member| merged.repeated.contains(&(member.source, sample.start)));
    part.holds(&out_name(sample.name, merged.answer.escaping), family) && (merged.repeated.is_empty() || !repeated())
}

/// Offsets of the lines of members with the samples of one metric together, which OpenMetrics asks for: metrics in the order in which they begin, samples
/// in their own.
fn regroup(merged: &Merged, body: &Body, members: &[Member], kind: Kind) -> Vec<usize> {
    let bound: &[u8] = if kind == Kind::Summary { b"quantile" } else { b"le" };
    let mut hashes = SeriesSet::with_capacity(0);
    let mut order: HashMap<u64, usize> = HashMap::new();
    let mut keyed: Vec<(usize, usize)> = Vec::new();
    for (run, part, family) in lines_in_order(body, members) {
        let mut scanner = Scanner::resume(&body.text, body.format, run.start);
        while scanner.offset() < run.end {
            let Ok(Some(Entry::Sample)) = scanner.entry() else { break };
            if is_kept(merged, members, &scanner, part, family) {
                let labels = scanner.labels().iter().filter(|label| label.name.raw != bound);
                let metric = labels.fold(0_u64, |sum, label| sum.wrapping_add(hashes.label_hash(label, Escaping::AllowUtf8)));
                let next = order.len();
                keyed.push((*order.entry(metric).or_insert(next), scanner.sample().start));
            }
        }
    }
    keyed.sort_by_key(|(metric, _)| *metric);
    keyed.into_iter().map(|(_, line)| line).collect()
}
