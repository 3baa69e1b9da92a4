//! The labels of a sample: within the limits, none twice, and hashed. What a sample has in common with the one before is not looked at again.

use super::{Broken, Terms};
use crate::exposition::Label;
use crate::podmetrics::line::own_labels;
use crate::podmetrics::reason::Reason;
use crate::podmetrics::series::{SeriesSet, label_name, plain_name};

/// What is known of a sample's labels up to one of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// Sum of the hashes of all labels but the bound of a bucket or a quantile.
    pub(super) metric: u64,
    /// The hash of that.
    pub(super) bound: u64,
    /// Whether one has the name of a label that is added.
    pub(super) clash: bool,
    /// Whether names change on the way out, so that hashes of what stands there say too little.
    renamed: bool,
    /// A bit for each name, or for several.
    names: u64,
}

/// The labels of the last sample, one after the other.
#[derive(Debug, Default)]
pub(super) struct LabelChecker {
    known: Vec<Known>,
}

impl LabelChecker {
    /// Checks the labels of the next sample, whose first `unchanged` are those of the last. `bound` is the label that tells the samples of one metric
    /// apart, if any does. The sum of the hashes is that of the labels as they go out.
    pub(super) fn check(
        &mut self,
        labels: &[Label<'_>],
        unchanged: usize,
        bound: &[u8],
        terms: &Terms<'_>,
        series: &mut SeriesSet,
    ) -> Result<Known, Broken> {
        let limits = terms.limits;
        if labels.len() > limits.labels {
            return Err((Reason::LabelLimit, format!("a sample has more than {} labels", limits.labels)));
        }
        self.known.truncate(unchanged);
        let mut known = self.known.last().copied().unwrap_or_default();
        for (at, label) in labels.iter().enumerate().skip(self.known.len()) {
            let name = label.name.raw;
            if name.len() > limits.name_bytes || label.value.len() > limits.value_bytes {
                let (name, value) = (limits.name_bytes, limits.value_bytes);
                return Err((
                    Reason::LabelLimit,
                    format!("a label is longer than {name} bytes in its name or {value} in its value"),
                ));
            }
            // Few names meet here by chance, so few are compared.
            let bit = 1 << ((name.len() * 7 + usize::from(name.last().copied().unwrap_or(0))) & 63);
            if known.names & bit != 0 && labels[..at].iter().any(|earlier| same_name(earlier, label)) {
                return Err((Reason::Syntax, format!("the label {} comes twice", plain_name(label.name).escape_debug())));
            }
            known.names |= bit;
            // As it goes out, which mostly is as it stands there.
            let escaped = label.name.quoted.then(|| label_name(label.name, terms.escaping));
            let out_name = escaped.as_ref().map_or(name, |name| name.as_bytes());
            if out_name == b"__name__" {
                return Err((Reason::Syntax, "a label is called __name__".to_owned()));
            }
            known.clash |= terms.added.iter().any(|added| added.len() == out_name.len() && added.as_bytes() == out_name);
            known.renamed |= label.name.quoted || known.clash || out_name.starts_with(b"exported_");
            let sum = if name == bound { &mut known.bound } else { &mut known.metric };
            *sum = sum.wrapping_add(series.label_hash(label, terms.escaping));
            self.known.push(known);
        }
        if known.renamed {
            let own = own_labels(labels, terms.escaping, terms.honor_labels, |name| terms.added.contains(&name));
            if let Some(at) = (1..own.len()).find(|at| own[..*at].iter().any(|(earlier, _)| *earlier == own[*at].0)) {
                let name = own[at].0.escape_debug().to_string();
                return Err((Reason::Syntax, format!("two labels are both called {name} once their names are escaped")));
            }
            known.bound = series.plain_hash(&own).wrapping_sub(known.metric);
        }
        Ok(known)
    }
}

fn same_name(one: &Label<'_>, other: &Label<'_>) -> bool {
    match (one.name.quoted, other.name.quoted) {
        (false, false) => one.name.raw == other.name.raw,
        _ => plain_name(one.name) == plain_name(other.name),
    }
}
