//! Where the objects of a bucket are, as the last listing found them: what is remembered from one listing for the next. Pure.

use super::ranges::Key;

/// Samples that are kept: enough to cut a bucket for a thousand listers, and a megabyte at most. Four times as many while they are taken.
const MOST_SAMPLES: usize = 1_024;
/// A range begun from memory has at least so many pages: in a bucket that has changed, each range costs half a page more.
const LEAST_PAGES: u64 = 4;

#[derive(Debug, Clone)]
struct Sample {
    /// The last of them.
    key: Key,
    objects: u64,
}

/// Keys, and how many objects lie between each and the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    samples: Vec<Sample>,
    /// Objects on the largest page.
    page: u64,
}

impl Histogram {
    /// Notes that `objects` follow upon each other, of which `last` is the last.
    pub(super) fn add(&mut self, last: &[u8], objects: u64) {
        if self.samples.len() >= 4 * MOST_SAMPLES {
            self.settle();
        }
        self.page = self.page.max(objects);
        self.samples.push(Sample { key: last.into(), objects });
    }

    /// With this it can be asked.
    pub(super) fn settled(mut self) -> Self {
        self.settle();
        self
    }

    /// Sorts the samples and thins them out.
    fn settle(&mut self) {
        self.samples.sort_by(|left, right| left.key.cmp(&right.key));
        let total: u64 = self.samples.iter().map(|sample| sample.objects).sum();
        let enough = total / MOST_SAMPLES as u64;
        let mut carried = 0;
        let last = self.samples.len().saturating_sub(1);
        let mut position = 0;
        self.samples.retain_mut(|sample| {
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
        self.samples.is_empty()
    }

    /// Keys that cut the bucket into at most `ways` ranges of the same size.
    pub(super) fn cuts(&self, ways: usize) -> Vec<Key> {
        let total: u64 = self.samples.iter().map(|sample| sample.objects).sum();
        let ranges = (total / (LEAST_PAGES * self.page).max(1)).min(ways as u64).max(1);
        let mut cuts: Vec<Key> = Vec::new();
        let mut before = 0;
        for pair in self.samples.windows(2) {
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
        self.part(after, until).iter().map(|sample| sample.objects).sum()
    }

    /// The key in the middle of the objects between two keys.
    pub(super) fn middle(&self, after: &[u8], until: Option<&[u8]>) -> Option<Key> {
        let samples = self.part(Some(after), until);
        let half = samples.iter().map(|sample| sample.objects).sum::<u64>() / 2;
        let mut sum = 0;
        let middle = samples.iter().find(|sample| {
            sum += sample.objects;
            sum >= half
        })?;
        let end = until.or_else(|| self.samples.last().map(|last| &*last.key))?;
        (*middle.key < *end).then(|| middle.key.clone())
    }

    /// Those whose key is behind `after`, up to `until`.
    fn part(&self, after: Option<&[u8]>, until: Option<&[u8]>) -> &[Sample] {
        let start = after.map_or(0, |after| self.samples.partition_point(|sample| *sample.key <= *after));
        let end = until.map_or(self.samples.len(), |until| self.samples.partition_point(|sample| *sample.key <= *until));
        &self.samples[start..end.max(start)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn thinning_loses_no_object_and_cuts_are_even(sizes in proptest::collection::vec(1_u64..=1_000, 0..6_000), ways in 1_usize..100) {
            let mut histogram = Histogram::default();
            let mut order: Vec<usize> = (0..sizes.len()).collect();
            fastrand::Rng::with_seed(7).shuffle(&mut order);
            order.iter().for_each(|&number| histogram.add(format!("{number:05}").as_bytes(), sizes[number]));
            let histogram = histogram.settled();
            let total: u64 = sizes.iter().sum();
            prop_assert_eq!(histogram.between(None, None), total);
            prop_assert!(histogram.samples.len() <= 2 * MOST_SAMPLES + 1);
            let cuts = histogram.cuts(ways);
            prop_assert!(cuts.is_sorted() && cuts.len() < ways);
            let ends = cuts.iter().map(Some).chain([None]);
            let mut after = None;
            for end in ends {
                let part = histogram.between(after.map(|key: &Key| &**key), end.map(|key| &**key));
                prop_assert!(part > 0 || total == 0);
                prop_assert!(part <= total / (cuts.len() as u64 + 1) + 2 * (total / MOST_SAMPLES as u64 + 1_000));
                after = end;
            }
        }
    }

    #[test]
    fn the_middle_is_a_key_that_leaves_something_on_both_sides() {
        let mut histogram = Histogram::default();
        ["b", "d", "f"].iter().for_each(|key| histogram.add(key.as_bytes(), 10));
        let histogram = histogram.settled();
        assert_eq!(histogram.middle(b"a", None).as_deref(), Some(b"d".as_slice()));
        assert_eq!(histogram.middle(b"b", Some(b"d")), None);
        assert_eq!(histogram.middle(b"d", None), None);
        assert_eq!(histogram.middle(b"f", None), None);
    }
}
