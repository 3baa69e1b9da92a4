//! One range: what it takes from a page, how much of it is left, and where it can be cut.

use std::cmp::Ordering;

use super::{Distrust, Key, Refused};
use crate::listing::histogram::Histogram;
use crate::listing::page::Page;
use crate::listing::shape::{Cut, Guess, Rest, Shape, common_prefix};
use crate::listing::{Cursor, Object};

/// Pages that a cut must leave to its range, beyond the one that is asked for already.
const LEAST_NEAR: f64 = 1.5;
/// Pages that are assumed to lie where nothing is known.
const UNEXPLORED: f64 = 10.0;
/// Pages of a range that has hardly begun, with nothing to compare it to.
const VAST: f64 = 1e9;
/// After so many pages in a row without a new key the server will not come to an end.
pub(in crate::listing) const MOST_EMPTY_PAGES: u32 = 1_000;

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
pub(super) enum State {
    #[default]
    Waiting,
    Asked,
    Done,
}

/// The keys of a range that have been counted.
#[derive(Debug)]
pub(super) struct Counted {
    /// The first of all, the first on the last page, and the last.
    pub(super) start: Key,
    page_start: Key,
    pub(super) last: Key,
    objects: u64,
    on_page: u64,
}

/// What a listing has learned so far, which ranges are measured by.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) shape: &'a Shape,
    /// By the last listing.
    pub(super) memory: &'a Histogram,
    /// Length of the prefix that all keys have.
    pub(super) prefix: usize,
    /// Objects on a page.
    pub(super) page: f64,
}

/// The keys behind `after`, up to `until`.
#[derive(Debug, Default)]
pub(in crate::listing) struct Range {
    pub(super) after: Option<Key>,
    pub(super) until: Option<Key>,
    /// The last key that had been counted before this range when it was cut off.
    origin: Option<Key>,
    /// The first key seen, whether it is in the range or behind it.
    pub(super) first: Edge,
    /// The first key seen behind `until`.
    pub(super) beyond: Edge,
    pub(super) counted: Option<Counted>,
    empty_pages: u32,
    /// To be followed after a page without a new key.
    token: Option<String>,
    pub(super) state: State,
    /// How many objects are left, as far as can be told.
    pub(super) left: f64,
    /// What it was cut off for.
    pub(super) guess: Option<Guess>,
    /// How often it was cut since its last page, without knowing what lies behind.
    pub(super) guesses: usize,
}

/// What was new on a page, as keys on it.
#[derive(Default)]
struct New<'a> {
    first: Option<&'a [u8]>,
    last_counted: Option<&'a [u8]>,
    beyond: Option<&'a [u8]>,
    objects: u64,
}

impl Range {
    pub(in crate::listing) fn new(after: Option<Key>, until: Option<Key>) -> Self {
        Self { after, until, ..Self::default() }
    }

    /// Behind the last key counted; after a page without a new key, by the token of that page.
    pub(in crate::listing) fn cursor(&self) -> Cursor {
        match (&self.token, self.last().or(self.after.as_ref())) {
            (Some(token), _) => Cursor::Token(token.clone()),
            (None, Some(key)) => Cursor::After(key.clone()),
            (None, None) => Cursor::Start,
        }
    }

    /// The last key counted.
    pub(in crate::listing) fn last(&self) -> Option<&Key> {
        self.counted.as_ref().map(|counted| &counted.last)
    }

    pub(in crate::listing) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what is new on the page at the range's cursor. Gives the number of objects.
    pub(in crate::listing) fn take(
        &mut self,
        page: &mut Page,
        prefix: &[u8],
        count: impl FnMut(&Object<'_>),
    ) -> Result<u64, Refused> {
        let new = self.count_new(page, prefix, count)?;
        let objects = new.objects;
        if self.first == Edge::Unseen {
            self.first = new.first.map_or(if page.truncated { Edge::Unseen } else { Edge::End }, |key| Edge::Key(key.into()));
        }
        self.beyond = match new.beyond {
            Some(key) => Edge::Key(key.into()),
            None if !page.truncated => Edge::End,
            None => Edge::Unseen,
        };
        let moved_on = new.first.is_some();
        if let (Some(first), Some(last)) = (new.first, new.last_counted) {
            let before = self.counted.take();
            self.counted = Some(Counted {
                page_start: first.into(),
                last: last.into(),
                objects: objects + before.as_ref().map_or(0, |before| before.objects),
                start: before.map_or_else(|| first.into(), |before| before.start),
                on_page: objects,
            });
        }
        let at_end = self.until.is_some() && self.last() == self.until.as_ref();
        if self.beyond != Edge::Unseen || at_end {
            (self.state, self.token, self.origin) = (State::Done, None, None);
            return Ok(objects);
        }
        self.state = State::Waiting;
        if moved_on {
            (self.empty_pages, self.token) = (0, None);
        } else {
            self.follow(page.next_token.take())?;
        }
        Ok(objects)
    }

    fn count_new<'a>(&self, page: &'a Page, prefix: &[u8], mut count: impl FnMut(&Object<'_>)) -> Result<New<'a>, Refused> {
        let mut new = New::default();
        let before = self.last().or(self.after.as_ref());
        let mut previous: Option<&[u8]> = None;
        // Keys ascend, or the page is refused: where the last one is within the range, all are.
        let page_end = page.objects().next_back().map(|object| object.key);
        let until = self.until.as_deref().filter(|until| page_end.is_none_or(|end| end > *until));
        for object in page.objects() {
            if !object.key.starts_with(prefix) {
                return Err(Refused::Invalid("the server ignores the prefix".into()));
            }
            match previous.or(before.map(|before| &**before)).map(|previous| object.key.cmp(previous)) {
                Some(Ordering::Equal) => continue,
                Some(Ordering::Less) if new.first.is_none() => return Err(Refused::Distrust(Distrust::StartAfter)),
                Some(Ordering::Less) => return Err(Refused::Distrust(Distrust::Order)),
                Some(Ordering::Greater) | None => previous = Some(object.key),
            }
            new.first = new.first.or(previous);
            // What lies behind the end is looked at for its order alone.
            if new.beyond.is_some() || until.is_some_and(|until| object.key > until) {
                new.beyond = new.beyond.or(previous);
                continue;
            }
            count(&object);
            new.objects += 1;
            new.last_counted = previous;
        }
        Ok(new)
    }

    /// Notes where a page without a new key says that it goes on.
    fn follow(&mut self, token: Option<String>) -> Result<(), Refused> {
        self.empty_pages += 1;
        if self.empty_pages > MOST_EMPTY_PAGES {
            return Err(Refused::Invalid(endless()));
        }
        if token.is_none() {
            return Err(Refused::Invalid("a truncated page with neither a new key nor a continuation token".into()));
        }
        if token == self.token {
            return Err(Refused::Invalid("the continuation token does not move on".into()));
        }
        self.token = token;
        Ok(())
    }

    fn rest(&self, prefix: usize) -> Option<Rest<'_>> {
        let counted = self.counted.as_ref()?;
        let scale = |before: &[u8]| common_prefix(before, &counted.last);
        let proved = [scale(self.origin.as_deref().unwrap_or(&counted.start)), scale(&counted.start), scale(&counted.page_start)];
        Some(Rest { last: &counted.last, until: self.until.as_deref(), proved, prefix })
    }

    /// How many objects are left: by the last listing where its memory fits what has been seen, otherwise by how much of the range it took to
    /// see so many.
    pub(super) fn estimate(&self, known: &Known<'_>) -> f64 {
        let Some(rest) = self.rest(known.prefix) else { return 0.0 };
        if self.fits(known) {
            return known.memory.between(Some(rest.last), rest.until) as f64;
        }
        let by_density = self.objects_until(rest.until, known);
        if known.shape.is_unexplored(&rest) { by_density.max(UNEXPLORED * known.page) } else { by_density }
    }

    /// How many objects lie between the last one and `until`, if they are as dense there as in the range so far, or as on its last page: the
    /// larger, since a cut for nothing costs a request, but a large part that nobody sees is listed alone.
    fn objects_until(&self, until: Option<&[u8]>, known: &Known<'_>) -> f64 {
        let Some(counted) = &self.counted else { return 0.0 };
        let last = &counted.last;
        let by_density = |start: &[u8], objects: u64| {
            let base = common_prefix(start, last).min(until.map_or(0, |until| common_prefix(last, until)));
            let seen = known.shape.distance(start, Some(last), base);
            let left = known.shape.distance(last, until, base);
            let vast = VAST * known.page;
            if seen > 0.0 { (objects as f64 * left / seen).min(vast) } else { vast }
        };
        by_density(&counted.start, counted.objects).max(by_density(&counted.page_start, counted.on_page))
    }

    /// True unless there turned out to be much more than the last listing found.
    fn fits(&self, known: &Known<'_>) -> bool {
        let expected = known.memory.between(self.after.as_deref(), self.last().map(|last| &**last)) as f64;
        let found = self.counted.as_ref().map_or(0, |counted| counted.objects) as f64;
        !known.memory.is_empty() && found < 2.0 * (expected + known.page)
    }

    /// Cuts the far part off and gives it.
    pub(super) fn cut(&mut self, known: &Known<'_>, guess: bool) -> Option<Self> {
        let rest = self.rest(known.prefix)?;
        let remembered = if self.fits(known) { known.memory.middle(rest.last, rest.until) } else { None };
        let worthwhile = |at: &[u8]| self.objects_until(Some(at), known) > LEAST_NEAR * known.page;
        let Cut { at, guess } = match remembered {
            Some(at) => Cut { at, guess: None },
            None => known.shape.cut(&rest, guess, worthwhile)?,
        };
        let origin = self.last().cloned();
        self.guesses += usize::from(guess.is_some());
        let far = Self { after: Some(at.clone()), until: self.until.replace(at), origin, guess, ..Self::default() };
        self.left = (self.left / 2.0).min(self.estimate(known));
        Some(far)
    }
}

/// What is said of a server that has used up [`MOST_EMPTY_PAGES`].
pub(in crate::listing) fn endless() -> String {
    format!("more than {MOST_EMPTY_PAGES} pages in a row without a new key")
}
