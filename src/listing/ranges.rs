//! The key space of a bucket in ranges that are listed side by side: who lists what, what to ask next, and whether it adds up. Pure.
//!
//! A range is `(after, until]`. Its next page is asked for behind the last key really seen, never by a token that a server made up from an
//! invented key. A range is cut only on evidence: it has shown a page, and more follow.
//!
//! **Why the result is exact.** Whatever order a server keeps its keys in, each range reads a contiguous stretch of it. Keys must ascend within
//! a range, and at the end the ranges are laid edge to edge ([`Ranges::seams`]): the first key that a range saw behind its end must be the first
//! key that the next range saw at all. So the stretches follow upon each other without a gap or an overlap.

use std::sync::Arc;

use super::histogram::Histogram;
use super::page::Page;
use super::shape::{Cut, Guess, Rest, Shape, common_prefix};
use super::{Cursor, Object};

pub(super) type Key = Box<[u8]>;

/// Objects on a full page.
const PAGE: f64 = 1_000.0;
/// A range with less than this left is not worth a second lister.
const LEAST_TO_CUT: f64 = 2.5 * PAGE;
/// And its own part must be worth a page beyond the one that is asked for already.
const LEAST_NEAR: f64 = 1.5 * PAGE;
/// What is assumed to lie where nothing is known.
const UNEXPLORED: f64 = 10.0 * PAGE;
/// A range that has hardly begun, with nothing to compare it to.
const VAST: f64 = 1e12;
/// No more than this is believed of what is left in a range when it is weighed against others.
const MOST_FORESEEN: f64 = 256.0 * PAGE;
/// Cuts that may be tried on the evidence of the first page.
const FIRST_GUESSES: f64 = 4.0;
/// After so many pages in a row without a new key the server will not come to an end.
pub(super) const MOST_EMPTY_PAGES: u32 = 1_000;

/// A server whose answers do not fit together when asked by key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    #[error("it answers start-after with keys that are not after it")]
    StartAfter,
    #[error("its keys are not in the order of their bytes")]
    Order,
    /// With a key that it lists if asked from one side, but not from the other.
    #[error("what it lists behind a key depends on how it is asked")]
    Seam(Key),
}

impl Distrust {
    /// A key that is in the bucket, and must be in every complete listing of it.
    pub(super) fn witness(&self) -> Option<&[u8]> {
        if let Self::Seam(key) = self { Some(key) } else { None }
    }
}

/// Why a page was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// List page after page by token instead.
    Distrust(Distrust),
    /// The listing cannot go on.
    Invalid(&'static str),
}

/// What a range saw at one of its ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Edge {
    #[default]
    Unseen,
    Key(Key),
    /// Nothing more.
    End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Asked,
    Done,
}

#[derive(Debug, Default)]
struct Range {
    after: Option<Key>,
    until: Option<Key>,
    /// The last key that had been seen before this range when it was cut off.
    origin: Option<Key>,
    /// The first key seen, whether it is in the range or behind it.
    first: Edge,
    /// The first key seen behind `until`.
    beyond: Edge,
    /// The last key counted.
    last: Option<Key>,
    /// The first key counted, and the first on the last page.
    starts: Option<[Key; 2]>,
    objects: u64,
    /// Objects on the last page that had any.
    on_page: u64,
    empty_pages: u32,
    /// To be followed after a page without a new key.
    token: Option<String>,
    state: State,
    /// How many objects are left, as far as can be told.
    left: f64,
    /// What it was cut off for.
    guess: Option<Guess>,
    /// How often it was cut since its last page, without knowing what lies behind.
    guesses: usize,
}

/// A boundary of two ranges, to be looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seam {
    /// The last key that the left range counted.
    pub(super) before: Option<Key>,
    /// Where the right range begins.
    pub(super) at: Key,
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
    pages: u64,
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
            ranges.push(Range { after: after.replace(cut.clone()), until: Some(cut), ..Range::default() });
        }
        ranges.push(Range { after, ..Range::default() });
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
        let cursor = match (range.token.clone(), range.last.as_ref().or(range.after.as_ref())) {
            (Some(token), _) => Cursor::Token(token),
            (None, Some(key)) => Cursor::After(key.clone()),
            (None, None) => Cursor::Start,
        };
        Some((id, cursor))
    }

    /// Takes the page that answers the cursor of range `id`, and gives each new object in it to `count`.
    pub(super) fn take(&mut self, id: usize, page: &mut Page, mut count: impl FnMut(&Object<'_>)) -> Result<u64, Refused> {
        self.pages += 1;
        let range = &mut self.ranges[id];
        let was_proven = range.first != Edge::Unseen;
        let objects = range.read(page, &self.prefix, &mut count)?;
        self.unproven -= usize::from(!was_proven && range.first != Edge::Unseen);
        self.objects += objects;
        if let Some(last) = range.last.as_ref().filter(|_| objects > 0) {
            page.objects().step_by(64).for_each(|object| self.shape.observe(object.key));
            self.shape.digest();
            self.histogram.add(last, objects);
        }
        if let Some(guess) = range.guess.take_if(|_| range.first != Edge::Unseen) {
            self.guesses -= 1;
            if objects == 0 {
                self.shape.disappointed(&guess);
            }
        }
        if range.state == State::Done {
            self.active.retain(|&other| other != id);
        } else {
            range.guesses = 0;
            range.left = range.estimate(&self.shape, &self.memory, &self.prefix);
        }
        Ok(objects)
    }

    /// Cuts the far half off the largest range.
    fn cut(&mut self) -> Option<usize> {
        let least = self.least_to_cut()?;
        loop {
            let idle = self.active.len() < self.ways / 2;
            let guess = self.guesses < (self.ways / 8).max(4);
            let most_guesses = if idle { 3 } else { 1 };
            let largest =
                self.active.iter().copied().max_by(|&left, &right| self.ranges[left].left.total_cmp(&self.ranges[right].left))?;
            let range = &mut self.ranges[largest];
            if range.left < least {
                return None;
            }
            let Some(far) = range.cut(&self.shape, &self.memory, &self.prefix, guess && range.guesses < most_guesses) else {
                range.left = 0.0;
                continue;
            };
            self.guesses += usize::from(far.guess.is_some());
            self.ranges.push(far);
            self.active.push(self.ranges.len() - 1);
            self.unproven += 1;
            return Some(self.ranges.len() - 1);
        }
    }

    /// How many objects must be left in a range that is worth cutting. A cut that comes to nothing costs a request, and every cut half a page,
    /// so the more have been spent, the more there must be to gain. `None` if no more can be risked before another answer.
    fn least_to_cut(&self) -> Option<f64> {
        let full_pages = self.objects as f64 / PAGE;
        let wasted = self.pages as f64 - full_pages + self.active.len() as f64 / 2.0 + self.unproven as f64;
        let allowed = 1.85 * self.ways as f64 + full_pages / 24.0;
        let may_guess = (self.unproven as f64) < FIRST_GUESSES + self.pages as f64 && wasted < allowed;
        let left: f64 = self.active.iter().map(|&id| self.ranges[id].left.min(MOST_FORESEEN)).sum();
        let listers = (self.active.len() as f64 + allowed - wasted).min(self.ways as f64);
        may_guess.then(|| LEAST_TO_CUT.max(left / listers))
    }

    /// Lays the ranges edge to edge. Gives the boundaries whose two sides saw different keys: there the bucket has changed in between, or the
    /// server's order is not that of the keys' bytes.
    ///
    /// # Errors
    /// When the ranges do not cover the key space, which would be a fault of this program.
    pub(super) fn seams(&mut self) -> Result<Vec<Seam>, Refused> {
        let gap = Refused::Invalid("the ranges do not cover the bucket");
        self.ranges.sort_by(|left, right| left.after.cmp(&right.after));
        let (Some(first), Some(last)) = (self.ranges.first(), self.ranges.last()) else { return Err(gap) };
        let tiled = self.ranges.windows(2).all(|pair| pair[0].until.is_some() && pair[0].until == pair[1].after);
        if !tiled || first.after.is_some() || last.until.is_some() || !self.active.is_empty() {
            return Err(gap);
        }
        let doubtful = self.ranges.windows(2).filter(|pair| pair[0].beyond != Edge::Unseen && pair[0].beyond != pair[1].first);
        let seam = |pair: &[Range]| {
            Some(Seam { before: pair[0].last.clone().or_else(|| pair[0].after.clone()), at: pair[1].after.clone()? })
        };
        Ok(doubtful.filter_map(seam).collect())
    }

    /// What this listing has taught, for the next one.
    pub(super) fn into_memory(mut self) -> Histogram {
        self.histogram.settle();
        self.histogram
    }
}

impl Range {
    /// Takes what is new on `page`.
    fn read(&mut self, page: &mut Page, prefix: &[u8], count: &mut impl FnMut(&Object<'_>)) -> Result<u64, Refused> {
        let mut objects = 0;
        let mut first = None;
        let mut last = None;
        let mut beyond = None;
        let mut previous = self.last.as_deref().or(self.after.as_deref());
        for object in page.objects() {
            if !object.key.starts_with(prefix) {
                return Err(Refused::Invalid("the server ignores the prefix"));
            }
            match previous {
                Some(previous) if object.key == previous => continue,
                Some(previous) if object.key < previous && first.is_none() => {
                    return Err(Refused::Distrust(Distrust::StartAfter));
                }
                Some(previous) if object.key < previous => return Err(Refused::Distrust(Distrust::Order)),
                _ => previous = Some(object.key),
            }
            first = first.or(previous);
            if self.until.as_deref().is_some_and(|until| object.key > until) {
                beyond = previous;
                break;
            }
            count(&object);
            objects += 1;
            last = previous;
        }
        if self.first == Edge::Unseen {
            self.first = first.map_or(if page.truncated { Edge::Unseen } else { Edge::End }, |key| Edge::Key(key.into()));
        }
        self.beyond = match beyond {
            Some(key) => Edge::Key(key.into()),
            None if !page.truncated => Edge::End,
            None => Edge::Unseen,
        };
        self.objects += objects;
        let moved_on = first.is_some();
        if let (Some(first), Some(last)) = (first.map(Key::from), last.map(Key::from)) {
            let start = self.starts.take().map_or_else(|| first.clone(), |[start, _]| start);
            self.starts = Some([start, first]);
            self.last = Some(last);
            self.on_page = objects;
        }
        let at_end = self.last.is_some() && self.last == self.until;
        if self.beyond != Edge::Unseen || at_end {
            self.state = State::Done;
            return Ok(objects);
        }
        self.state = State::Waiting;
        if moved_on {
            self.empty_pages = 0;
            self.token = None;
            return Ok(objects);
        }
        self.empty_pages += 1;
        if self.empty_pages > MOST_EMPTY_PAGES {
            return Err(Refused::Invalid("more than 1,000 pages in a row without a new key"));
        }
        match page.next_token.take() {
            None => Err(Refused::Invalid("a truncated page with neither a new key nor a continuation token")),
            same if same == self.token => Err(Refused::Invalid("the continuation token does not move on")),
            next => {
                self.token = next;
                Ok(objects)
            }
        }
    }

    fn rest(&self, prefix: &[u8]) -> Option<Rest<'_>> {
        let (last, [start, page]) = (self.last.as_deref()?, self.starts.as_ref()?);
        let scale = |before: &[u8]| common_prefix(before, last);
        let proved = [scale(self.origin.as_deref().unwrap_or(start)), scale(start), scale(page)];
        Some(Rest { last, until: self.until.as_deref(), proved, prefix: prefix.len() })
    }

    /// How many objects are left: by the last listing where its memory fits what has been seen, otherwise by how much of the range it took to
    /// see so many.
    fn estimate(&self, shape: &Shape, memory: &Histogram, prefix: &[u8]) -> f64 {
        let Some(rest) = self.rest(prefix) else { return 0.0 };
        if self.fits(memory) {
            return memory.between(Some(rest.last), rest.until) as f64;
        }
        let by_density = self.objects_until(shape, rest.until);
        if shape.is_unexplored(&rest) { by_density.max(UNEXPLORED) } else { by_density }
    }

    /// How many objects lie between the last one and `until`, if they are as dense there as in the range so far, or as on its last page: the
    /// larger, since a cut for nothing costs a request, but a large part that nobody sees is listed alone.
    fn objects_until(&self, shape: &Shape, until: Option<&[u8]>) -> f64 {
        let (Some(last), Some([start, page])) = (self.last.as_deref(), &self.starts) else { return 0.0 };
        let by_density = |start: &[u8], objects: u64| {
            let base = common_prefix(start, last).min(until.map_or(0, |until| common_prefix(last, until)));
            let seen = shape.distance(start, Some(last), base);
            let left = shape.distance(last, until, base);
            if seen > 0.0 { (objects as f64 * left / seen).min(VAST) } else { VAST }
        };
        by_density(start, self.objects).max(by_density(page, self.on_page))
    }

    fn fits(&self, memory: &Histogram) -> bool {
        let expected = memory.between(self.after.as_deref(), self.last.as_deref());
        !memory.is_empty() && self.objects < 2 * expected + 2_000
    }

    /// Cuts the far part off. Gives it, and what is left here if that is known.
    fn cut(&mut self, shape: &Shape, memory: &Histogram, prefix: &[u8], guess: bool) -> Option<Range> {
        let rest = self.rest(prefix)?;
        let remembered = if self.fits(memory) { memory.middle(rest.last, rest.until) } else { None };
        let Cut { at, guess } = match remembered {
            Some(at) => Cut { at, guess: None },
            None => shape.cut(&rest, guess, |at| self.objects_until(shape, Some(at)) > LEAST_NEAR)?,
        };
        self.guesses += usize::from(guess.is_some());
        let far = Range {
            after: Some(at.clone()),
            until: self.until.replace(at),
            origin: self.last.clone(),
            guess,
            ..Range::default()
        };
        self.left = (self.left / 2.0).min(self.estimate(shape, memory, prefix));
        Some(far)
    }
}

#[cfg(test)]
mod tests;
