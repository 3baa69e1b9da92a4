//! A server in memory that can be wrong in every way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// What a server may do besides what it should.
#[derive(Debug, Clone, Copy)]
pub(super) enum Oddity {
    None,
    IgnoresStartAfter,
    /// Takes `start-after` for the first key wanted.
    IncludesStartAfter,
    /// The first key behind an invented `start-after` is missing.
    SkipsAfterInvented,
    /// The token behind an invented `start-after` leaves a key out.
    TokenSkipsAfterInvented,
    EmptyPages(usize),
    RepeatsLastKey,
    /// Every key comes twice in a row.
    EveryKeyTwice,
    /// Sorted by length first, or by something else that is not the bytes.
    Order(fn(&[u8]) -> Vec<u8>),
    NoToken,
    /// Claims to be at the end behind this key.
    EndsEarly(usize),
    /// As before, but for the first time only.
    EndsEarlyOnce(usize),
    /// Answers to a key with an error.
    RefusesStartAfter,
    Dies(usize),
    Refuses(usize),
    Endless,
}

/// What a server may do once, at a request of some number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    IgnoresStartAfter,
    SkipsAfterInvented,
    Empty,
    Refused,
}

/// The keys in the order of the server, and how it answers.
pub(super) struct Server {
    pub(super) keys: Mutex<Keys>,
    page: usize,
    pub(super) oddity: Oddity,
    requests: AtomicUsize,
    /// Called before each answer, with its number.
    pub(super) meanwhile: Box<Meanwhile>,
    pub(super) schedule: Vec<(usize, Passing)>,
    struck: AtomicBool,
    running: AtomicUsize,
    /// The highest number of requests at the same time.
    pub(super) most_running: AtomicUsize,
}

/// Keys and sizes.
pub(super) type Keys = Vec<(Vec<u8>, u64)>;

pub(super) type Meanwhile = dyn Fn(usize, &mut Keys) + Send + Sync;

impl Server {
    pub(super) fn new(keys: impl IntoIterator<Item = impl Into<Vec<u8>>>, page: usize, oddity: Oddity) -> Self {
        let keys: BTreeMap<Vec<u8>, u64> = keys.into_iter().map(Into::into).zip(1..).collect();
        let mut keys: Keys = keys.into_iter().collect();
        if let Oddity::Order(by) = oddity {
            keys.sort_by_key(|(key, _)| by(key));
        }
        Self {
            keys: Mutex::new(keys),
            page,
            oddity,
            requests: AtomicUsize::new(0),
            meanwhile: Box::new(|_, _| ()),
            schedule: Vec::new(),
            struck: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
        }
    }

    fn place(&self, key: &[u8]) -> Vec<u8> {
        if let Oddity::Order(by) = self.oddity { by(key) } else { key.to_vec() }
    }

    fn answer(&self, cursor: &Cursor) -> Result<Page, ListError> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut keys = self.keys.lock().unwrap();
        (self.meanwhile)(number, &mut keys);
        let passing = self.schedule.iter().find(|(at, _)| *at == number).map(|(_, passing)| *passing);
        match (self.oddity, cursor) {
            (Oddity::Refuses(at), _) if number == at => return Err(ListError::new(Reason::AccessDenied, "403")),
            (Oddity::Dies(at), _) if number == at => panic!("as it was told to"),
            (Oddity::RefusesStartAfter, Cursor::After(_)) => return Err(ListError::new(Reason::ServerError, "500")),
            _ if passing == Some(Passing::Refused) => return Err(ListError::new(Reason::AccessDenied, "403")),
            _ => {}
        }
        let (start, invented) = self.start(cursor, &keys, passing);
        let end = (start + self.page).min(keys.len());
        let ends_early = self.ends_early(start..end);
        let (end, empty) = ends_early.map_or_else(|| self.end(cursor, start..end, passing), |end| (end, 0));
        let mut page = Page::default();
        if start > 0 && matches!((self.oddity, cursor), (Oddity::RepeatsLastKey, Cursor::Token(_))) {
            push(&mut page, &keys[start - 1]);
        }
        for object in &keys[start..end] {
            push(&mut page, object);
            if matches!(self.oddity, Oddity::EveryKeyTwice) {
                push(&mut page, object);
            }
        }
        page.truncated = end < keys.len() && ends_early.is_none() || matches!(self.oddity, Oddity::Endless);
        let next = end + usize::from(invented && matches!(self.oddity, Oddity::TokenSkipsAfterInvented));
        page.next_token = (page.truncated && !matches!(self.oddity, Oddity::NoToken)).then(|| format!("{next} {empty} {number}"));
        Ok(page)
    }

    /// Where the page starts, and whether no key is there.
    fn start(&self, cursor: &Cursor, keys: &Keys, passing: Option<Passing>) -> (usize, bool) {
        let ignored = matches!(self.oddity, Oddity::IgnoresStartAfter) || passing == Some(Passing::IgnoresStartAfter);
        let key = match cursor {
            Cursor::After(key) if !ignored => key,
            Cursor::Start | Cursor::After(_) => return (0, false),
            Cursor::Token(token) => return (token.split(' ').next().unwrap().parse::<usize>().unwrap().min(keys.len()), false),
        };
        let invented = !keys.iter().any(|(known, _)| **known == **key);
        assert!(!invented || std::str::from_utf8(key).is_ok(), "asked behind {key:?}");
        let place = self.place(key);
        let start = keys.partition_point(|(known, _)| {
            self.place(known) < place || self.place(known) == place && !matches!(self.oddity, Oddity::IncludesStartAfter)
        });
        let skips = matches!(self.oddity, Oddity::SkipsAfterInvented) || passing == Some(Passing::SkipsAfterInvented);
        ((start + usize::from(invented && skips)).min(keys.len()), invented)
    }

    fn ends_early(&self, keys: Range<usize>) -> Option<usize> {
        match self.oddity {
            Oddity::EndsEarly(at) if keys.contains(&at) => Some(at),
            Oddity::EndsEarlyOnce(at) if keys.contains(&at) && !self.struck.swap(true, Ordering::Relaxed) => Some(at),
            _ => None,
        }
    }

    /// Where the page ends, and the number of empty pages so far.
    fn end(&self, cursor: &Cursor, keys: Range<usize>, passing: Option<Passing>) -> (usize, usize) {
        match (self.oddity, passing) {
            (_, Some(Passing::Empty)) => (keys.start, 0),
            (Oddity::EmptyPages(number), _) => {
                let before =
                    if let Cursor::Token(token) = cursor { token.split(' ').nth(1).unwrap().parse().unwrap() } else { 0 };
                if before < number && !keys.is_empty() { (keys.start, before + 1) } else { (keys.end, 0) }
            }
            _ => (keys.end, 0),
        }
    }
}

/// The time follows from the size.
fn push(page: &mut Page, (key, size): &(Vec<u8>, u64)) {
    page.push(key, *size, time(*size));
}

pub(super) fn time(size: u64) -> i64 {
    i64::try_from(size).unwrap() * 1_000
}

impl Pages for Server {
    fn prefix(&self) -> &[u8] {
        b""
    }

    fn location(&self) -> String {
        "here".to_owned()
    }

    async fn page(&self, cursor: &Cursor, meter: &Meter, _: &Pace) -> Result<Page, ListError> {
        meter.request();
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_running.fetch_max(running, Ordering::Relaxed);
        // Answers come in another order than questions.
        for _ in 0..self.requests.load(Ordering::Relaxed) % 3 {
            tokio::task::yield_now().await;
        }
        let answer = self.answer(cursor);
        self.running.fetch_sub(1, Ordering::Relaxed);
        answer
    }
}
