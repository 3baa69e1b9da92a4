//! The listing against servers that are wrong in every way, without a network: what it counts must be what is there, or it must fail.

mod server;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::server::{Oddity, Passing, Server, time};
use super::*;
use crate::listing::repeated::Repeated;
use crate::listing::{Object, Page, serial};

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

/// Each object that was counted, and how often.
#[derive(Default, PartialEq, Eq)]
struct Counted(BTreeMap<(Vec<u8>, u64, i64), usize>);

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let twice = self.0.values().filter(|&&times| times > 1).count();
        write!(f, "{} objects, {twice} of them more than once", self.0.len())
    }
}

impl Tally for Counted {
    fn add(&mut self, object: &Object<'_>) {
        *self.0.entry((object.key.to_vec(), object.size, object.modified)).or_default() += 1;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn there(server: &Server) -> Counted {
    Counted(server.keys.lock().unwrap().iter().map(|(key, size)| ((key.clone(), *size, time(*size)), 1)).collect())
}

/// Lists twice, since the second listing begins from what the first has taught. Gives the number of listings page after page.
fn lists_exactly(server: Server, ways: usize) -> u64 {
    let there = there(&server);
    let listing = Repeated::new(server, ways);
    let meter = meter();
    for scan in 1..=2 {
        let counted = runtime().block_on(listing.list(Counted::default, &meter)).unwrap();
        assert_eq!(counted, there, "scan {scan}");
        assert_eq!(usize::try_from(meter.objects_seen.get()).unwrap(), there.0.len());
    }
    assert!(listing.source.most_running.load(std::sync::atomic::Ordering::Relaxed) <= ways);
    meter.fallbacks.get()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("cluster-{number:05}")).collect()
}

/// Counts rightly in both of two listings, of which `fallbacks` go page after page.
fn lists_exactly_in_ranges(oddity: Oddity, fallbacks: u64) {
    assert_eq!(lists_exactly(Server::new(numbered(30_000), 1_000, oddity), 8), fallbacks, "{oddity:?}");
}

#[test]
fn a_server_that_ignores_start_after_is_listed_by_token() {
    lists_exactly_in_ranges(Oddity::IgnoresStartAfter, 2);
}

/// Two listings page after page follow the first; that they fail must not keep the server from being tried by key again.
#[test]
fn a_server_is_tried_by_key_again_although_listings_fail() {
    let server = Server::new(numbered(100), 10, Oddity::RefusesStartAfter);
    let (expected, meter) = (there(&server), meter());
    let mut listing = Repeated::new(server, 8);
    let list = |listing: &Repeated<Server>| runtime().block_on(listing.list(Counted::default, &meter));
    assert_eq!(list(&listing).unwrap(), expected);
    Arc::get_mut(&mut listing.source).unwrap().schedule = (1..1_000).map(|number| (number, Passing::Refused)).collect();
    assert!(list(&listing).is_err() && list(&listing).is_err());
    assert_eq!(meter.fallbacks.get(), 3);
    let mended = Arc::get_mut(&mut listing.source).unwrap();
    (mended.schedule, mended.oddity) = (Vec::new(), Oddity::None);
    assert_eq!(list(&listing).unwrap(), expected);
    assert_eq!(meter.fallbacks.get(), 3);
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
fn the_key_that_a_server_skips_behind_an_invented_one_is_counted() {
    lists_exactly_in_ranges(Oddity::SkipsAfterInvented, 0);
}

#[test]
fn a_server_that_refuses_start_after_is_listed_by_token() {
    lists_exactly_in_ranges(Oddity::RefusesStartAfter, 2);
}

/// A server that is wrong once, at any of its requests, and right when asked again.
#[test]
fn what_was_missing_once_is_listed_after_all() {
    for passing in [Passing::SkipsAfterInvented, Passing::IgnoresStartAfter, Passing::Empty] {
        for at in (1..60).step_by(4) {
            let mut server = Server::new(numbered(30_000), 1_000, Oddity::None);
            server.schedule = vec![(at, passing)];
            lists_exactly(server, 8);
        }
    }
}

/// Most of the bucket lies behind such an end, but other ranges know better.
#[test]
fn an_end_that_was_none_is_gone_beyond() {
    lists_exactly_in_ranges(Oddity::EndsEarlyOnce(1_500), 0);
    lists_exactly_in_ranges(Oddity::EndsEarlyOnce(2_500), 0);
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
    assert!(error.message.contains("1000 pages"), "{error}");
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
    lists_exactly_in_ranges(Oddity::Order(scattered), 2);
    let folders = || {
        (0..10_000).flat_map(|number| [format!("a{}/{number:05}", number / 1_000), format!("a{}-{number:05}", number / 1_000)])
    };
    assert_eq!(lists_exactly(Server::new(folders(), 1_000, Oddity::Order(folders_first)), 8), 2);
    let plains = || (0..9_000).map(|number| format!("{}{number:05}", ["a", "\u{1f680}", "\u{ff21}"][number % 3]));
    assert_eq!(lists_exactly(Server::new(plains(), 1_000, Oddity::Order(utf_16)), 8), 2);
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
        let found = counted.0.keys().filter(|(key, ..)| key.len() == 13).count();
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
    let odd = proptest::sample::select(vec![
        Oddity::IgnoresStartAfter,
        Oddity::IncludesStartAfter,
        Oddity::SkipsAfterInvented,
        Oddity::TokenSkipsAfterInvented,
        Oddity::RepeatsLastKey,
        Oddity::EveryKeyTwice,
        Oddity::RefusesStartAfter,
        Oddity::EmptyPages(3),
        Oddity::Order(reversed),
        Oddity::Order(longest_last),
        Oddity::Order(case_is_nothing),
    ]);
    prop_oneof![Just(Oddity::None), odd]
}

/// What comes and goes. An end that is none is left out: in the last range nobody can know better.
fn schedules() -> impl Strategy<Value = Vec<(usize, Passing)>> {
    let passing =
        proptest::sample::select(vec![Passing::IgnoresStartAfter, Passing::SkipsAfterInvented, Passing::Empty, Passing::Refused]);
    proptest::collection::vec((1_usize..80, passing), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_counted_is_what_is_there_or_the_listing_fails(
        keys in keys(), oddity in oddities(), schedule in schedules(), page in 1_usize..30, ways in 1_usize..20,
    ) {
        let mut server = Server::new(keys, page, oddity);
        server.schedule = schedule;
        let there = there(&server);
        let listing = Repeated::new(server, ways);
        for _ in 0..3 {
            match runtime().block_on(listing.list(Counted::default, &meter())) {
                Ok(counted) => prop_assert_eq!(&counted, &there),
                Err(error) => {
                    let refused = listing.source.schedule.iter().any(|(_, passing)| *passing == Passing::Refused);
                    prop_assert!(refused && error.reason == Reason::AccessDenied, "{:?}", error);
                }
            }
        }
    }
}
