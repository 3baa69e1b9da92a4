//! The ranges without a network: a server that answers every request in the same time, so that the time of a listing is a number of rounds.

use fakes::s3_pages::{ClusterTimestamp, Counters, DateTree, KeySpace, LongPrefix, NonAscii, OneHuge, Uuids};

use super::*;

fn page(space: &dyn KeySpace, cursor: &Cursor) -> Page {
    let start = match cursor {
        Cursor::Start => 0,
        Cursor::After(key) => space.rank_after(key),
        Cursor::Token(_) => unreachable!("no empty pages here"),
    };
    let end = (start + 1_000).min(space.len());
    let mut page = Page::default();
    for number in start..end {
        let mut key = Vec::new();
        space.key(number, &mut key);
        page.push(&key, 1, 0);
    }
    page.truncated = end < space.len();
    page
}

struct Run {
    requests: usize,
    /// Answers one after the other, when all requests that run together take the same time.
    rounds: usize,
}

fn list(space: &dyn KeySpace, memory: &mut Arc<Histogram>, ways: usize) -> Run {
    let mut ranges = Ranges::new(b"", Arc::clone(memory), ways);
    let mut run = Run { requests: 0, rounds: 0 };
    let mut objects = 0;
    loop {
        let asked: Vec<_> = std::iter::from_fn(|| ranges.next()).take(ways).collect();
        if asked.is_empty() {
            break;
        }
        run.rounds += 1;
        run.requests += asked.len();
        for (id, cursor) in asked {
            objects += ranges.take(id, &mut page(space, &cursor), |_| ()).unwrap();
        }
    }
    assert_eq!(objects, space.len());
    let (gaps, learned) = ranges.join().unwrap();
    assert_eq!(gaps, []);
    *memory = Arc::new(learned);
    run
}

/// One lister would need as many rounds as there are pages. The bounds have a round or two to spare.
#[test]
fn each_key_space_is_cut_well() {
    const WAYS: usize = 16;
    let spaces: [(&str, Box<dyn KeySpace>); 9] = [
        ("many clusters", Box::new(ClusterTimestamp::new(2_000, 100))),
        ("few clusters", Box::new(ClusterTimestamp::new(10, 20_000))),
        ("uuids", Box::new(Uuids { count: 200_000 })),
        ("full hours", Box::new(DateTree { hours: 200, per_hour: 1_000 })),
        ("many hours", Box::new(DateTree { hours: 2_000, per_hour: 100 })),
        ("counters", Box::new(Counters { count: 200_000 })),
        ("one huge", Box::new(OneHuge::new(500, 40, 180_000))),
        ("long prefix", Box::new(LongPrefix { count: 200_000 })),
        ("non-ascii", Box::new(NonAscii { per_name: 20_000 })),
    ];
    for (name, space) in spaces {
        let mut memory = Arc::default();
        let first = list(&*space, &mut memory, WAYS);
        let second = list(&*space, &mut memory, WAYS);
        let (pages, most) = (200, 200 + 10 + 2 * WAYS);
        assert!(
            first.rounds <= 2 * pages / WAYS + 6 && first.requests <= most,
            "{name}: {} rounds, {} requests",
            first.rounds,
            first.requests
        );
        assert!(
            second.rounds <= pages / WAYS + 3 && second.requests <= most,
            "{name}: {} rounds, {} requests",
            second.rounds,
            second.requests
        );
    }
}

#[test]
fn with_one_way_nothing_is_wasted() {
    let run = list(&ClusterTimestamp::new(100, 100), &mut Arc::default(), 1);
    assert_eq!((run.rounds, run.requests), (10, 10));
}

#[test]
fn a_bucket_that_has_changed_since_is_cut_anew() {
    let mut memory = Arc::default();
    list(&ClusterTimestamp::new(2_000, 100), &mut memory, 16);
    // All that the memory has is one range of what is there now, and it believes in the rest.
    let run = list(&Uuids { count: 200_000 }, &mut memory, 16);
    assert!(run.rounds <= 40 && run.requests <= 242, "{} rounds, {} requests", run.rounds, run.requests);
    let run = list(&Uuids { count: 10 }, &mut memory, 16);
    assert!(run.requests <= 16);
}

#[test]
fn whose_fault_it_is_is_told() {
    let mut ranges = Ranges::new(b"a", Arc::default(), 4);
    let mut taken = |keys: &[&str]| {
        let mut page = Page::default();
        page.truncated = true;
        keys.iter().for_each(|key| page.push(key.as_bytes(), 1, 0));
        let (id, _) = ranges.next().unwrap();
        ranges.take(id, &mut page, |_| ())
    };
    assert_eq!(taken(&["ab", "ac"]), Ok(2));
    assert_eq!(taken(&["aa", "ab"]), Err(Refused::Distrust(Distrust::StartAfter)));
    let mut ranges = Ranges::new(b"a", Arc::default(), 4);
    let mut page = Page::default();
    ["ab", "aa"].iter().for_each(|key| page.push(key.as_bytes(), 1, 0));
    let (id, _) = ranges.next().unwrap();
    assert_eq!(ranges.take(id, &mut page, |_| ()), Err(Refused::Distrust(Distrust::Order)));
}
