//! Sample lines on their way out: copied with labels inserted, or, where that is not enough, written anew.

use std::borrow::Cow;

use super::body::Traits;
use super::merge::Source;
use super::series::{label_name, plain_name};
use crate::exposition::{
    Answer, Entry, Escaping, Format, Kind, Label, Sample, Scanner, escape_into, exemplar_has_quoted_names, is_label_name,
    is_metric_name, milliseconds_to_seconds, seconds_to_milliseconds, unescape,
};

/// Whether lines of these traits can be copied from one format to the other.
pub(super) fn can_copy(traits: Traits, from: Format, to: Format) -> bool {
    let never = Traits::ODD.or(Traits::CLASH);
    let across = Traits::TIMESTAMP.or(Traits::EXEMPLAR);
    !traits.any(never) && (from == to || !traits.any(across)) && (to == Format::Text || !traits.any(Traits::LOOSE))
}

/// The labels that are added, as they stand between braces; none of them needs more than an escape.
pub(super) fn write_added(added: &[(String, String)], out: &mut Vec<u8>) {
    for (at, (name, value)) in added.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b"," } else { b"" });
        write_label(name, value.as_bytes(), out);
    }
}

/// Copies whole lines with `added` as their first labels, until `out` has `enough` bytes. Gives how many bytes of `lines` were used.
pub(super) fn copy_lines(lines: &[u8], added: &[u8], out: &mut Vec<u8>, enough: usize) -> usize {
    let mut rest = lines;
    while !rest.is_empty() && out.len() < enough {
        // Checked before: a name, then a brace or a space, and a line feed at the end.
        let name = memchr::memchr2(b'{', b' ', rest).unwrap_or(rest.len());
        let end = name + memchr::memchr(b'\n', &rest[name..]).map_or(rest.len() - name, |at| at + 1);
        let (line, next) = rest.split_at(end);
        out.extend_from_slice(&line[..name]);
        out.push(b'{');
        out.extend_from_slice(added);
        match &line[name..] {
            [b'{', labels @ ..] => {
                if labels.first() != Some(&b'}') {
                    out.push(b',');
                }
                out.extend_from_slice(labels);
            }
            value => {
                out.push(b'}');
                out.extend_from_slice(value);
            }
        }
        rest = next;
    }
    lines.len() - rest.len()
}

/// Whether samples of this name keep their exemplars. Before 2.43, Prometheus refuses the whole answer for one at another name; who asks for UTF-8 is
/// younger.
pub(super) fn may_have_exemplar(name: &[u8], escaping: Escaping) -> bool {
    escaping == Escaping::AllowUtf8 || name.ends_with(b"_total") || name.ends_with(b"_bucket")
}

/// Whether samples of this type keep their exemplars; that not every type has them is what readers other than Prometheus insist on.
pub(super) fn may_have_exemplars(kind: Kind, answer: Answer) -> bool {
    let counts = matches!(kind, Kind::Counter | Kind::Histogram | Kind::GaugeHistogram);
    answer.format == Format::OpenMetrics && (counts || answer.escaping == Escaping::AllowUtf8)
}

/// How lines of a source are written anew.
pub(super) struct Rewrite<'a> {
    pub(super) source: &'a Source,
    pub(super) from: Format,
    pub(super) answer: Answer,
    pub(super) honor_labels: bool,
    /// Whether the family can have exemplars.
    pub(super) exemplars: bool,
}

impl Rewrite<'_> {
    /// Writes the sample with its `labels`.
    pub(super) fn write(&self, sample: &Sample<'_>, labels: &[Label<'_>], out: &mut Vec<u8>) {
        let plain = plain_name(sample.name);
        let name = self.answer.escaping.apply(&plain);
        if is_metric_name(name.as_bytes()) {
            out.extend_from_slice(name.as_bytes());
            out.push(b'{');
        } else {
            out.push(b'{');
            write_quoted(name.as_bytes(), out);
            out.push(b',');
        }
        for (at, (name, value)) in final_labels(self.source, labels, self.answer.escaping, self.honor_labels).iter().enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b"" });
            write_label(name, value, out);
        }
        out.extend_from_slice(b"} ");
        out.extend_from_slice(sample.value);
        if let Some(timestamp) = sample.timestamp {
            out.push(b' ');
            match (self.from, self.answer.format) {
                (Format::Text, Format::OpenMetrics) => milliseconds_to_seconds(timestamp, out),
                (Format::OpenMetrics, Format::Text) => seconds_to_milliseconds(timestamp, out),
                _ => out.extend_from_slice(timestamp),
            }
        }
        let keeps = self.exemplars && may_have_exemplar(sample.name.raw, self.answer.escaping);
        if let Some(exemplar) = sample.exemplar.filter(|_| keeps) {
            // Quoted names are for those who asked for them.
            if self.answer.escaping == Escaping::AllowUtf8 || !exemplar_has_quoted_names(exemplar) {
                out.extend_from_slice(b" # ");
                out.extend_from_slice(exemplar);
            }
        }
        out.push(b'\n');
    }

    /// Writes the line at `offset` of a good text.
    pub(super) fn write_at(&self, text: &[u8], offset: usize, out: &mut Vec<u8>) {
        let mut scanner = Scanner::resume(text, self.from, offset);
        if let Ok(Some(Entry::Sample)) = scanner.entry() {
            self.write(scanner.sample(), scanner.labels(), out);
        }
    }
}

/// All labels of a sample as they go out, without escapes: those that are added, then its own.
pub(super) fn final_labels<'a>(
    source: &'a Source,
    labels: &[Label<'a>],
    escaping: Escaping,
    honor_labels: bool,
) -> Vec<Plain<'a>> {
    let own = own_labels(labels, escaping, honor_labels, |name| source.added.iter().any(|(added, _)| added == name));
    let added = source.added.iter().filter(|(name, _)| !(honor_labels && own.iter().any(|(own, _)| own == name)));
    let added = added.map(|(name, value)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value.as_bytes())));
    added.chain(own.iter().cloned()).collect()
}

/// A label without escapes.
pub(super) type Plain<'a> = (Cow<'a, str>, Cow<'a, [u8]>);

/// The labels of a sample as they go out, without escapes. One that has the name of an added label becomes `exported_...`, as in Prometheus, or stands
/// if labels are honoured.
pub(super) fn own_labels<'a>(
    labels: &[Label<'a>],
    escaping: Escaping,
    honor_labels: bool,
    is_added: impl Fn(&str) -> bool,
) -> Vec<Plain<'a>> {
    let mut own: Vec<Plain<'a>> = labels.iter().map(|label| (label_name(label.name, escaping), plain_value(label))).collect();
    for at in 0..own.len() {
        if !honor_labels && is_added(&own[at].0) {
            let mut name = format!("exported_{}", own[at].0);
            while is_added(&name) || own.iter().any(|(other, _)| *other == name) {
                name = format!("exported_{name}");
            }
            own[at].0 = Cow::Owned(name);
        }
    }
    own
}

fn plain_value<'a>(label: &Label<'a>) -> Cow<'a, [u8]> {
    if !label.escaped {
        return Cow::Borrowed(label.value);
    }
    let mut value = Vec::with_capacity(label.value.len());
    unescape(label.value, true, &mut value);
    Cow::Owned(value)
}

fn write_label(name: &str, value: &[u8], out: &mut Vec<u8>) {
    if is_label_name(name.as_bytes()) {
        out.extend_from_slice(name.as_bytes());
    } else {
        write_quoted(name.as_bytes(), out);
    }
    out.push(b'=');
    write_quoted(value, out);
}

pub(super) fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_into(text, true, out);
    out.push(b'"');
}
