//! The key space of a bucket in ranges that are listed side by side: who lists what, what to ask next, and whether it adds up. Pure.
//!
//! A range is `(after, until]`. Its next page is asked for behind the last key counted, by token only after a page without a new key. A range is cut
//! only on evidence: it has shown a page, and more follow.
//!
//! **Why the result is exact.** `start-after` goes on in the server's own order, whatever that is; this is the one thing that is taken for granted. So
//! each range reads a contiguous stretch of that order. Keys must ascend within a range, and at the end the ranges are laid edge to edge
//! ([`Ranges::join`]): the first key that a range saw behind its end must be the first that the next range saw at all. Where it is, the stretches follow
//! upon each other without gap or overlap. Where it is not, nobody has vouched for what lies between the last key counted on the left and the first
//! counted on the right: that [`Gap`] is listed once more.

mod range;

use std::sync::Arc;

use self::range::{Edge, Known, State};
pub(super) use self::range::{MOST_EMPTY_PAGES, Range, endless};
use super::histogram::Histogram;
use super::page::Page;
use super::shape::Shape;
use super::{Cursor, Object};

pub(super) type Key = Box<[u8]>;

/// Objects on a page of S3, until one has been seen.
const USUAL_PAGE: f64 = 1_000.0;
/// A range with fewer pages left is not worth a second lister.
const LEAST_TO_CUT: f64 = 2.5;
/// No more pages than this are believed to be left in a range when it is weighed against others.
const MOST_FORESEEN: f64 = 256.0;
/// Of so many objects one is looked at to learn what keys look like.
const SAMPLED: usize = 128;
/// Cuts that may be tried on the evidence of the first page.
const FIRST_CUTS: usize = 4;
/// Requests that a listing may cost beyond one for each full page, by lister and by page. A twentieth of the pages and two for each lister are
/// promised; what is cut already may still cost a little more than it has.
const EXTRA_BY_LISTER: f64 = 1.8;
const EXTRA_BY_PAGE: f64 = 1.0 / 24.0;

/// A server whose answers do not fit together when asked by key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    #[error("it answers start-after with keys that are not after it")]
    StartAfter,
    #[error("its keys are not in the order of their bytes")]
    Order,
    #[error("it does not answer a question by start-after: {0}")]
    Unanswered(String),
    #[error("it lists a key if asked from one side, but not from the other")]
    Seam(Witness),
}

/// A key that is listed if asked for behind another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) key: Key,
    pub(super) after: Key,
}

impl Distrust {
    /// A key that must be in every complete listing, unless it has been deleted.
    pub(super) fn witness(&self) -> Option<&Witness> {
        if let Self::Seam(witness) = self { Some(witness) } else { None }
    }
}

/// Why a page was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// List page after page by token instead.
    Distrust(Distrust),
    /// The listing cannot go on.
    Invalid(String),
}

/// What no range has vouched for. Its ends have been counted, or are those of the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) after: Option<Key>,
    pub(super) until: Option<Key>,
    /// Where the range began that has counted `until`.
    pub(super) right: Option<Key>,
}

/// The ranges of a running listing.
#[derive(Debug)]
pub(super) struct Ranges {
    ranges: Vec<Range>,
    /// Those that are not done.
    active: Vec<usize>,
    shape: Shape,
    memory: Arc<Histogram>,
    histogram: Histogram,
    prefix: Key,
    ways: usize,
    objects: u64,
    pages: usize,
    /// Objects on the largest page.
    largest_page: usize,
    /// Ranges that have not shown a page yet.
    unproven: usize,
    /// Those of them that were cut off for a guess.
    guesses: usize,
}

impl Ranges {
    /// One range, or as many as the last listing has taught.
    pub(super) fn new(prefix: &[u8], memory: Arc<Histogram>, ways: usize) -> Self {
        let cuts = memory.cuts(ways);
        let mut ranges: Vec<Range> = Vec::with_capacity(cuts.len() + 1);
        let mut after = None;
        for cut in cuts {
            ranges.push(Range::new(after.replace(cut.clone()), Some(cut)));
        }
        ranges.push(Range::new(after, None));
        let unproven = ranges.len();
        Self {
            active: (0..unproven).collect(),
            ranges,
            shape: Shape::default(),
            memory,
            histogram: Histogram::default(),
            prefix: prefix.into(),
            ways,
            objects: 0,
            pages: 0,
            largest_page: 0,
            unproven,
            guesses: 0,
        }
    }

    /// What to ask next, for which range. `None` if nothing is worth asking before another answer.
    pub(super) fn next(&mut self) -> Option<(usize, Cursor)> {
        let waiting = self.active.iter().copied().find(|&id| self.ranges[id].state == State::Waiting);
        let id = waiting.or_else(|| self.cut())?;
        let range = &mut self.ranges[id];
        range.state = State::Asked;
        Some((id, range.cursor()))
    }

    /// Takes the page that answers the cursor of range `id`, and gives each new object in it to `count`.
    pub(super) fn take(&mut self, id: usize, page: &mut Page, count: impl FnMut(&Object<'_>)) -> Result<u64, Refused> {
        self.pages += 1;
        self.largest_page = self.largest_page.max(page.len());
        let range = &mut self.ranges[id];
        let was_proven = range.first != Edge::Unseen;
        let objects = range.take(page, &self.prefix, count)?;
        let is_proven = range.first != Edge::Unseen;
        self.unproven -= usize::from(is_proven && !was_proven);
        self.objects += objects;
        if let Some(last) = range.last().filter(|_| objects > 0) {
            page.objects().step_by(SAMPLED).for_each(|object| self.shape.observe(object.key));
            self.histogram.add(last, objects);
        }
        if let Some(guess) = range.guess.take_if(|_| is_proven) {
            self.guesses -= 1;
            if objects == 0 {
                self.shape.disappointed(&guess);
            }
        }
        if range.is_done() {
            self.active.retain(|&other| other != id);
        } else {
            let left = self.ranges[id].estimate(&self.known());
            let range = &mut self.ranges[id];
            (range.guesses, range.left) = (0, left);
        }
        Ok(objects)
    }

    fn known(&self) -> Known<'_> {
        Known { shape: &self.shape, memory: &self.memory, prefix: self.prefix.len(), page: self.page() }
    }

    fn page(&self) -> f64 {
        if self.largest_page == 0 { USUAL_PAGE } else { self.largest_page as f64 }
    }

    /// Cuts the far half off the largest range.
    fn cut(&mut self) -> Option<usize> {
        let least = self.least_to_cut()?;
        let idle = self.active.len() < self.ways / 2;
        let may_guess = self.guesses < (self.ways / 8).max(4);
        loop {
            let by_size = |left: &usize, right: &usize| self.ranges[*left].left.total_cmp(&self.ranges[*right].left);
            let largest = self.active.iter().copied().max_by(by_size)?;
            if self.ranges[largest].left < least {
                return None;
            }
            let mut range = std::mem::take(&mut self.ranges[largest]);
            let far = range.cut(&self.known(), may_guess && range.guesses < if idle { 3 } else { 1 });
            if far.is_none() {
                range.left = 0.0;
            }
            self.ranges[largest] = range;
            if let Some(far) = far {
                self.guesses += usize::from(far.guess.is_some());
                self.unproven += 1;
                self.ranges.push(far);
                self.active.push(self.ranges.len() - 1);
                return Some(self.ranges.len() - 1);
            }
        }
    }

    /// How many objects must be left in a range that is worth cutting. A cut that comes to nothing costs a request, and every cut half a page,
    /// so a range must have more than its share if all listers that can still be paid for were at work. `None` if no cut can be risked before
    /// another answer.
    fn least_to_cut(&self) -> Option<f64> {
        let full_pages = self.objects as f64 / self.page();
        let spent = self.pages as f64 - full_pages + self.active.len() as f64 / 2.0 + self.unproven as f64;
        let extra = EXTRA_BY_LISTER * self.ways as f64 + EXTRA_BY_PAGE * full_pages - spent;
        if self.unproven >= FIRST_CUTS + self.pages || extra <= 0.0 {
            return None;
        }
        let left: f64 = self.active.iter().map(|&id| self.ranges[id].left.min(MOST_FORESEEN * self.page())).sum();
        let listers = (self.active.len() as f64 + extra).min(self.ways as f64);
        Some((LEAST_TO_CUT * self.page()).max(left / listers))
    }

    /// Lays the ranges, which are all done, edge to edge. Gives the gaps between them, and what was learned for the next listing.
    ///
    /// # Errors
    /// When the ranges do not cover the key space, which would be a fault of this program.
    pub(super) fn join(mut self) -> Result<(Vec<Gap>, Histogram), Refused> {
        self.ranges.sort_by(|left, right| left.after.cmp(&right.after));
        let ends_meet = self.ranges.windows(2).all(|pair| pair[0].until.is_some() && pair[0].until == pair[1].after);
        let (first, last) = (self.ranges.first(), self.ranges.last());
        let open = first.is_some_and(|range| range.after.is_none()) && last.is_some_and(|range| range.until.is_none());
        if !ends_meet || !open || !self.active.is_empty() {
            return Err(Refused::Invalid("the ranges do not cover the bucket".into()));
        }
        let mut gaps: Vec<Gap> = Vec::new();
        let mut after = None;
        for (number, pair) in self.ranges.windows(2).enumerate() {
            after = pair[0].last().or(after);
            // A range that ended with the very key that it ends at has seen nothing behind it, and need not.
            if pair[0].beyond == Edge::Unseen || pair[0].beyond == pair[1].first {
                continue;
            }
            let right = self.ranges[number + 1..].iter().find_map(|range| Some((range.counted.as_ref()?, &range.after)));
            let gap = Gap {
                after: after.cloned(),
                until: right.map(|(counted, _)| counted.start.clone()),
                right: right.and_then(|(_, after)| after.clone()),
            };
            if gaps.last() != Some(&gap) {
                gaps.push(gap);
            }
        }
        Ok((gaps, self.histogram.settled()))
    }
}

#[cfg(test)]
mod tests;
