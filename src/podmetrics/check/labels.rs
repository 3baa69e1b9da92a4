//! The labels of a sample: within the limits, none twice, and hashed. What a sample has in common with the one before is not looked at again.

use super::{Broken, Terms};
use crate::exposition::{Escaping, Label};
use crate::podmetrics::reason::Reason;
use crate::podmetrics::series::{SeriesSet, label_name, plain_name};

/// What is known of a sample's labels up to one of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// Sum of the hashes of all labels but `le` and `quantile`.
    pub(super) metric: u64,
    /// Sum of the hashes of those.
    pub(super) bounds: u64,
    /// Whether one has the name of a label that is added.
    pub(super) clash: bool,
    /// A bit for each name, or for several.
    names: u64,
}

/// The labels of the last sample, one after the other.
#[derive(Debug, Default)]
pub(super) struct LabelChecker {
    known: Vec<Known>,
}

impl LabelChecker {
    /// Checks the labels of the next sample, whose first `unchanged` are those of the last.
    pub(super) fn check(
        &mut self,
        labels: &[Label<'_>],
        unchanged: usize,
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
            if known.names & bit != 0 && labels[..at].iter().any(|earlier| plain_name(earlier.name) == plain_name(label.name)) {
                return Err((Reason::Syntax, format!("the label {} comes twice", plain_name(label.name))));
            }
            known.names |= bit;
            // As it goes out, which mostly is as it stands there.
            let escapes = label.name.quoted || terms.escaping == Escaping::Dots;
            let escaped = escapes.then(|| label_name(label.name, terms.escaping));
            let out_name = escaped.as_ref().map_or(name, |name| name.as_bytes());
            if out_name == b"__name__" {
                return Err((Reason::Syntax, "a label is called __name__".to_owned()));
            }
            known.clash |= terms.added.iter().any(|added| added.len() == out_name.len() && added.as_bytes() == out_name);
            let hash = series.label_hash(label, terms.escaping);
            let sum = if matches!(name, b"le" | b"quantile") { &mut known.bounds } else { &mut known.metric };
            *sum = sum.wrapping_add(hash);
            self.known.push(known);
        }
        Ok(known)
    }
}
