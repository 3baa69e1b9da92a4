//! The listing against servers that are wrong in every way, without a network: what it counts must be what is there, or it must fail.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::listing::{Object, Repeated, serial};

/// A meter that nobody reads.
pub(in crate::listing) fn meter() -> Meter {
    let counter = || prometheus::IntCounter::new("a", "b").unwrap();
    let gauge = || prometheus::IntGauge::new("a", "b").unwrap();
    Meter {
        pages: counter(),
        requests: counter(),
        cost: prometheus::Counter::new("a", "b").unwrap(),
        price: 0.5,
        objects_seen: gauge(),
        concurrency: gauge(),
        fallbacks: counter(),
    }
}

/// What a server may do besides what it should.
#[derive(Debug, Clone, Copy)]
enum Oddity {
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
    Dies(usize),
    Refuses(usize),
    Endless,
}

/// The keys in the order of the server, and how it answers.
struct Server {
    keys: Mutex<Keys>,
    page: usize,
    oddity: Oddity,
    requests: AtomicUsize,
    /// Called before each answer, with its number.
    meanwhile: Box<Meanwhile>,
}

/// Keys and sizes.
type Keys = Vec<(Vec<u8>, u64)>;

type Meanwhile = dyn Fn(usize, &mut Keys) + Send + Sync;

impl Server {
    fn new(keys: impl IntoIterator<Item = impl Into<Vec<u8>>>, page: usize, oddity: Oddity) -> Self {
        let keys: BTreeMap<Vec<u8>, u64> = keys.into_iter().map(Into::into).zip(1..).collect();
        let mut keys: Keys = keys.into_iter().collect();
        if let Oddity::Order(by) = oddity {
            keys.sort_by_key(|(key, _)| by(key));
        }
        Self { keys: Mutex::new(keys), page, oddity, requests: AtomicUsize::new(0), meanwhile: Box::new(|_, _| ()) }
    }

    fn place(&self, key: &[u8]) -> Vec<u8> {
        if let Oddity::Order(by) = self.oddity { by(key) } else { key.to_vec() }
    }

    fn answer(&self, cursor: &Cursor) -> Result<Page, ListError> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut keys = self.keys.lock().unwrap();
        (self.meanwhile)(number, &mut keys);
        let odd = self.oddity;
        match odd {
            Oddity::Refuses(at) if number == at => return Err(ListError::new(Reason::AccessDenied, "403")),
            Oddity::Dies(at) if number == at => panic!("as it was told to"),
            _ => {}
        }
        let mut invented = false;
        let mut start = match cursor {
            Cursor::Start => 0,
            Cursor::After(_) if matches!(odd, Oddity::IgnoresStartAfter) => 0,
            Cursor::After(key) => {
                let place = self.place(key);
                invented = !keys.iter().any(|(known, _)| **known == **key);
                keys.partition_point(|(known, _)| {
                    self.place(known) < place || self.place(known) == place && !matches!(odd, Oddity::IncludesStartAfter)
                })
            }
            Cursor::Token(token) => token.split(' ').next().unwrap().parse().unwrap(),
        };
        if invented && matches!(odd, Oddity::SkipsAfterInvented) {
            start += 1;
        }
        let start = start.min(keys.len());
        let mut end = (start + self.page).min(keys.len());
        let cut_off = if let Oddity::EndsEarly(at) = odd { (start..end).contains(&at).then_some(at) } else { None };
        end = cut_off.unwrap_or(end);
        let mut page = Page::default();
        let mut empty = 0;
        if let Oddity::EmptyPages(number) = odd {
            if let Cursor::Token(token) = cursor {
                empty = token.split(' ').nth(1).unwrap().parse().unwrap();
            }
            if empty < number && start < end {
                end = start;
                empty += 1;
            } else {
                empty = 0;
            }
        }
        if matches!(odd, Oddity::RepeatsLastKey) && matches!(cursor, Cursor::Token(_)) {
            let (key, size) = &keys[start - 1];
            page.push(key, *size, 0);
        }
        for (key, size) in &keys[start..end] {
            page.push(key, *size, 0);
            if matches!(odd, Oddity::EveryKeyTwice) {
                page.push(key, *size, 0);
            }
        }
        page.truncated = end < keys.len() && cut_off.is_none() || matches!(odd, Oddity::Endless);
        let next = end + usize::from(invented && matches!(odd, Oddity::TokenSkipsAfterInvented));
        page.next_token = (page.truncated && !matches!(odd, Oddity::NoToken)).then(|| format!("{next} {empty} {number}"));
        Ok(page)
    }
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
        // Answers come in another order than questions.
        for _ in 0..self.requests.load(Ordering::Relaxed) % 3 {
            tokio::task::yield_now().await;
        }
        self.answer(cursor)
    }
}

/// Each object that was counted, and how often.
#[derive(Default, PartialEq, Eq)]
struct Counted(BTreeMap<(Vec<u8>, u64), usize>);

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let twice = self.0.values().filter(|&&times| times > 1).count();
        write!(f, "{} objects, {twice} of them more than once", self.0.len())
    }
}

impl Tally for Counted {
    fn add(&mut self, object: &Object<'_>) {
        *self.0.entry((object.key.to_vec(), object.size)).or_default() += 1;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn there(server: &Server) -> Counted {
    Counted(server.keys.lock().unwrap().iter().map(|object| (object.clone(), 1)).collect())
}

/// Lists twice, since the second listing begins from what the first has taught. Gives the fallbacks.
fn lists_exactly(server: Server, ways: usize) -> u64 {
    let there = there(&server);
    let listing = Repeated::new(server, ways);
    let meter = meter();
    for scan in 1..=2 {
        let counted = runtime().block_on(listing.list(Counted::default, &meter)).unwrap();
        assert_eq!(counted, there, "scan {scan}");
        assert_eq!(usize::try_from(meter.objects_seen.get()).unwrap(), there.0.len());
    }
    meter.fallbacks.get()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("cluster-{number:05}")).collect()
}

/// A server whose pages hold few keys is in nothing else different from one with many keys.
fn lists_exactly_in_ranges(oddity: Oddity, fallbacks: u64) {
    assert_eq!(lists_exactly(Server::new(numbered(30_000), 1_000, oddity), 8), fallbacks, "{oddity:?}");
}

#[test]
fn a_server_that_ignores_start_after_is_listed_by_token() {
    lists_exactly_in_ranges(Oddity::IgnoresStartAfter, 1);
}

#[test]
fn a_server_that_includes_start_after_is_counted_once() {
    lists_exactly_in_ranges(Oddity::IncludesStartAfter, 0);
}

#[test]
fn a_token_that_skips_a_key_after_an_invented_one_is_not_used() {
    lists_exactly_in_ranges(Oddity::TokenSkipsAfterInvented, 0);
}

#[test]
fn a_server_that_skips_the_key_behind_an_invented_one_is_noticed() {
    lists_exactly_in_ranges(Oddity::SkipsAfterInvented, 1);
}

#[test]
fn a_last_key_that_is_repeated_is_counted_once() {
    lists_exactly_in_ranges(Oddity::RepeatsLastKey, 0);
    lists_exactly_in_ranges(Oddity::EveryKeyTwice, 0);
    let server = Server::new(numbered(3_000), 100, Oddity::RepeatsLastKey);
    let (expected, mut counted) = (there(&server), Counted::default());
    runtime().block_on(serial::list(&server, &mut counted, None, &meter())).unwrap();
    assert_eq!(counted, expected);
}

#[test]
fn short_pages_are_followed() {
    for page in [1, 7, 999] {
        assert_eq!(lists_exactly(Server::new(numbered(3_000), page, Oddity::None), 8), 0);
    }
}

#[test]
fn empty_pages_are_followed_a_thousand_times() {
    for number in [1, 999] {
        assert_eq!(lists_exactly(Server::new(numbered(2_500), 1_000, Oddity::EmptyPages(number)), 4), 0);
    }
    let listing = Repeated::new(Server::new(numbered(2_500), 1_000, Oddity::EmptyPages(2_000)), 4);
    let error = runtime().block_on(listing.list(Counted::default, &meter())).unwrap_err();
    assert_eq!(error.reason, Reason::InvalidResponse);
    assert!(error.message.contains("1,000 pages"), "{error}");
}

#[test]
fn keys_out_of_order_are_listed_by_token() {
    // As a directory bucket: in an order that has nothing to do with the keys.
    fn scattered(key: &[u8]) -> Vec<u8> {
        let hash = key.iter().fold(7_u64, |hash, &byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        [hash.to_le_bytes().as_slice(), key].concat()
    }
    // As a file system: `a/b` before `a-b`.
    fn folders_first(key: &[u8]) -> Vec<u8> {
        key.iter().map(|&byte| if byte == b'/' { 0 } else { byte }).collect()
    }
    // As a program that compares UTF-16.
    fn utf_16(key: &[u8]) -> Vec<u8> {
        String::from_utf8_lossy(key).encode_utf16().flat_map(u16::to_be_bytes).collect()
    }
    lists_exactly_in_ranges(Oddity::Order(scattered), 1);
    let folders = || {
        (0..10_000).flat_map(|number| [format!("a{}/{number:05}", number / 1_000), format!("a{}-{number:05}", number / 1_000)])
    };
    assert_eq!(lists_exactly(Server::new(folders(), 1_000, Oddity::Order(folders_first)), 8), 1);
    let plains = || (0..9_000).map(|number| format!("{}{number:05}", ["a", "\u{1f680}", "\u{ff21}"][number % 3]));
    assert_eq!(lists_exactly(Server::new(plains(), 1_000, Oddity::Order(utf_16)), 8), 1);
}

#[test]
fn a_truncated_page_needs_no_token_where_keys_are_asked_for() {
    lists_exactly_in_ranges(Oddity::NoToken, 0);
}

fn failure(server: Server) -> ListError {
    runtime().block_on(Repeated::new(server, 8).list(Counted::default, &meter())).unwrap_err()
}

#[test]
fn a_range_that_is_refused_fails_the_listing() {
    for at in [1, 2, 5, 20] {
        assert_eq!(failure(Server::new(numbered(30_000), 1_000, Oddity::Refuses(at))).reason, Reason::AccessDenied);
    }
}

#[test]
fn a_task_that_dies_fails_the_listing() {
    for at in [1, 2, 5, 20] {
        let error = failure(Server::new(numbered(30_000), 1_000, Oddity::Dies(at)));
        assert_eq!(error.reason, Reason::Internal);
        assert!(error.message.contains("a task died"), "{error}");
    }
}

#[test]
fn a_server_that_never_ends_fails_the_listing() {
    assert_eq!(failure(Server::new(numbered(3_000), 1_000, Oddity::Endless)).reason, Reason::InvalidResponse);
}

#[test]
fn an_end_that_is_none_fails_the_listing() {
    for at in [1_500, 2_500] {
        let error = failure(Server::new(numbered(30_000), 1_000, Oddity::EndsEarly(at)));
        assert!(error.message.contains("ends before it has listed"), "{error}");
    }
}

#[test]
fn a_small_bucket_costs_one_request() {
    for objects in [0, 1, 999, 1_000] {
        let listing = Repeated::new(Server::new(numbered(objects), 1_000, Oddity::None), 32);
        let meter = meter();
        runtime().block_on(listing.list(Counted::default, &meter)).unwrap();
        assert_eq!((meter.requests.get(), meter.cost.get().to_string().as_str()), (1, "0.5"), "{objects} objects");
    }
}

#[test]
fn what_is_written_and_deleted_meanwhile_is_counted_at_most_once_and_nothing_else_is_missed() {
    let lasting = numbered(20_000);
    let mut server = Server::new(lasting.clone(), 1_000, Oddity::None);
    // At each answer something is written and something deleted, everywhere.
    server.meanwhile = Box::new(|number, keys| {
        for part in 0..50 {
            let passing = format!("cluster-{:05}-{}", (part * 397 + number * 31) % 20_000, number).into_bytes();
            if let Err(at) = keys.binary_search_by(|(key, _)| key.cmp(&passing)) {
                keys.insert(at, (passing, 1));
            }
        }
        if number % 2 == 0 {
            keys.retain(|(key, _)| key.len() == 13 || key.len() % 2 == 1);
        }
    });
    let listing = Repeated::new(server, 16);
    let meter = meter();
    for _ in 0..3 {
        let counted = runtime().block_on(listing.list(Counted::default, &meter)).unwrap();
        assert!(counted.0.values().all(|&times| times == 1));
        let found = counted.0.keys().filter(|(key, _)| key.len() == 13).count();
        assert_eq!(found, lasting.len());
    }
    assert_eq!(meter.fallbacks.get(), 0);
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    let flat = proptest::collection::btree_set("[ab]{0,3}[0-9]{0,3}", 0..400).boxed();
    let clusters = proptest::collection::btree_set("[a-c]{1,2}-202[67]-[01][0-9]", 0..400).boxed();
    let unicode = proptest::collection::btree_set("[aé\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}~\u{7f}/ ]{1,5}", 0..400).boxed();
    let any = proptest::collection::btree_set("\\PC{0,6}", 0..300).boxed();
    prop_oneof![flat, clusters, unicode, any].prop_map(|keys| keys.into_iter().filter(|key| !key.is_empty()).collect())
}

fn oddities() -> impl Strategy<Value = Oddity> {
    fn reversed(key: &[u8]) -> Vec<u8> {
        key.iter().rev().copied().collect()
    }
    fn longest_last(key: &[u8]) -> Vec<u8> {
        [&[u8::try_from(key.len()).unwrap_or(u8::MAX)], key].concat()
    }
    fn case_is_nothing(key: &[u8]) -> Vec<u8> {
        [key.to_ascii_lowercase(), key.to_vec()].join(&0)
    }
    let fixed = [
        Oddity::None,
        Oddity::IgnoresStartAfter,
        Oddity::IncludesStartAfter,
        Oddity::SkipsAfterInvented,
        Oddity::TokenSkipsAfterInvented,
        Oddity::RepeatsLastKey,
        Oddity::EveryKeyTwice,
        Oddity::NoToken,
        Oddity::Order(reversed),
        Oddity::Order(longest_last),
        Oddity::Order(case_is_nothing),
    ];
    let numbers = (1_usize..20).prop_flat_map(|at| prop_oneof![Just(Oddity::EmptyPages(at)), Just(Oddity::Refuses(at))]);
    prop_oneof![4 => proptest::sample::select(fixed.to_vec()), 1 => numbers]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_counted_is_what_is_there_or_the_listing_fails(
        keys in keys(), oddity in oddities(), page in 1_usize..30, ways in 1_usize..20,
    ) {
        let server = Server::new(keys, page, oddity);
        let there = there(&server);
        let listing = Repeated::new(server, ways);
        for _ in 0..2 {
            match runtime().block_on(listing.list(Counted::default, &meter())) {
                Ok(counted) => prop_assert_eq!(&counted, &there),
                Err(error) => prop_assert!(matches!(oddity, Oddity::Refuses(_) | Oddity::NoToken | Oddity::IgnoresStartAfter), "{:?}", error),
            }
        }
    }
}
