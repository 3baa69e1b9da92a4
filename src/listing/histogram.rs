//! Where the objects of a bucket are, as the last listing found them: what is remembered from one listing for the next. Pure.

use super::ranges::Key;

/// Samples that are kept. Enough to cut a bucket for a thousand listers, and a megabyte at most.
const MOST_SAMPLES: usize = 1_024;
/// A range begun from memory has at least so many objects: a bucket that has changed costs half a page more for each range.
const LEAST_IN_RANGE: u64 = 4_000;

#[derive(Debug, Clone)]
struct Sample {
    /// The last of them.
    key: Key,
    objects: u64,
}

/// Keys, and how many objects lie between each and the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram(Vec<Sample>);

impl Histogram {
    /// Notes that `objects` follow upon each other, of which `last` is the last.
    pub(super) fn add(&mut self, last: &[u8], objects: u64) {
        if self.0.len() >= 4 * MOST_SAMPLES {
            self.settle();
        }
        self.0.push(Sample { key: last.into(), objects });
    }

    /// Sorts the samples and thins them out; needed before it is asked.
    pub(super) fn settle(&mut self) {
        self.0.sort_by(|left, right| left.key.cmp(&right.key));
        let total: u64 = self.0.iter().map(|sample| sample.objects).sum();
        let enough = total / MOST_SAMPLES as u64;
        let mut carried = 0;
        let last = self.0.len().saturating_sub(1);
        let mut position = 0;
        self.0.retain_mut(|sample| {
            sample.objects += std::mem::take(&mut carried);
            let keep = sample.objects > enough || position == last;
            position += 1;
            if !keep {
                carried = sample.objects;
            }
            keep
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys that cut the bucket into at most `ways` ranges of the same size.
    pub(super) fn cuts(&self, ways: usize) -> Vec<Key> {
        let total: u64 = self.0.iter().map(|sample| sample.objects).sum();
        let ranges = (total / LEAST_IN_RANGE).min(ways as u64).max(1);
        let mut cuts: Vec<Key> = Vec::new();
        let mut before = 0;
        for pair in self.0.windows(2) {
            let behind = before + pair[0].objects;
            // The first sample that ends nearer to the next equal part than the sample behind it.
            let target = (cuts.len() as u64 + 1) * total / ranges;
            if behind.abs_diff(target) <= (behind + pair[1].objects).abs_diff(target)
                && behind > 0
                && (cuts.len() as u64) < ranges - 1
            {
                cuts.push(pair[0].key.clone());
            }
            before = behind;
        }
        cuts
    }

    /// About how many objects lie behind `after`, up to `until`.
    pub(super) fn between(&self, after: Option<&[u8]>, until: Option<&[u8]>) -> u64 {
        self.samples(after, until).iter().map(|sample| sample.objects).sum()
    }

    /// The key in the middle of the objects between two keys.
    pub(super) fn middle(&self, after: &[u8], until: Option<&[u8]>) -> Option<Key> {
        let samples = self.samples(Some(after), until);
        let half = samples.iter().map(|sample| sample.objects).sum::<u64>() / 2;
        let mut sum = 0;
        let middle = samples.iter().find(|sample| {
            sum += sample.objects;
            sum >= half
        })?;
        until.is_none_or(|until| *middle.key < *until).then(|| middle.key.clone())
    }

    /// Those whose key is behind `after`, up to `until`.
    fn samples(&self, after: Option<&[u8]>, until: Option<&[u8]>) -> &[Sample] {
        let start = after.map_or(0, |after| self.0.partition_point(|sample| *sample.key <= *after));
        let end = until.map_or(self.0.len(), |until| self.0.partition_point(|sample| *sample.key <= *until));
        &self.0[start..end.max(start)]
    }
}
