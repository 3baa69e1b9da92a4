use fakes::kube_api::{KnownToken, KubeApi, TOKEN_REVIEWS};
use futures::future::join_all;

use super::*;

const GOOD: &str = "e30.good.x";

async fn reviewer() -> (KubeApi, Reviewer) {
    let api = KubeApi::start().await;
    let known = KnownToken::of("system:serviceaccount:monitoring:collect").audiences(&["usage"]).node("node-1");
    api.know_token(GOOD, known);
    let kube = kube::Config::new(api.endpoint().parse().unwrap());
    let reviewer = Reviewer::new(&kube, "usage".to_owned(), Vec::new()).unwrap();
    (api, reviewer)
}

/// Lets time pass, while nothing is on its way.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn sender() -> Verdict {
    Ok(Sender::Node("node-1".to_owned()))
}

#[tokio::test]
async fn what_is_no_token_of_kubernetes_is_refused_unasked() {
    let (api, reviewer) = reviewer().await;
    for token in ["good", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b c.d", "a.b.c="] {
        assert!(matches!(reviewer.check(token).await, Err(Denied::Unauthorized(_))), "{token}");
    }
    assert_eq!(api.token_reviews(), 0);
    assert!(matches!(reviewer.check("a.b-_.c9").await, Err(Denied::Unauthorized(_))));
    assert_eq!((reviewer.check(GOOD).await, api.token_reviews()), (sender(), 2));
}

#[tokio::test]
async fn a_verdict_is_remembered_for_a_while() {
    let (api, reviewer) = reviewer().await;
    for _ in 0..3 {
        assert_eq!(reviewer.check(GOOD).await, sender());
        assert!(reviewer.check("un.kno.wn").await.is_err());
    }
    assert_eq!(api.token_reviews(), 2);
    pass(REFUSED).await;
    assert!(reviewer.check("un.kno.wn").await.is_err() && reviewer.check(GOOD).await.is_ok());
    assert_eq!(api.token_reviews(), 3);
    api.forget_token(GOOD);
    pass(KNOWN).await;
    assert!(matches!(reviewer.check(GOOD).await, Err(Denied::Unauthorized(_))));
    // What is refused is not good when the API is away.
    api.forbid(TOKEN_REVIEWS, true);
    pass(REFUSED).await;
    assert!(matches!(reviewer.check(GOOD).await, Err(Denied::Unavailable(_))));
}

#[tokio::test]
async fn without_the_api_a_good_token_is_good_for_some_minutes() {
    let (api, reviewer) = reviewer().await;
    assert_eq!(reviewer.check(GOOD).await, sender());
    api.forbid(TOKEN_REVIEWS, true);
    pass(KNOWN_WITHOUT_API - Duration::from_secs(1)).await;
    assert_eq!(reviewer.check(GOOD).await, sender());
    assert!(matches!(reviewer.check("another.good.one").await, Err(Denied::Unavailable(_))));
    pass(Duration::from_secs(1)).await;
    assert!(matches!(reviewer.check(GOOD).await, Err(Denied::Unavailable(_))));
    api.forbid(TOKEN_REVIEWS, false);
    assert_eq!(reviewer.check(GOOD).await, sender());
}

/// An API that hangs costs those who wait behind others seconds, and not ten for each of them.
#[tokio::test]
async fn whoever_waits_for_the_reviews_of_others_is_told_soon() {
    let (_api, reviewer) = reviewer().await;
    assert_eq!(reviewer.check(GOOD).await, sender());
    pass(KNOWN).await;
    let _all = reviewer.slots.acquire_many(u32::try_from(REVIEWS).unwrap()).await.unwrap();
    tokio::time::pause();
    let begun = Instant::now();
    let waiting = (0..100).map(|number| {
        let reviewer = &reviewer;
        async move { reviewer.check(&format!("made.up.{number}")).await }
    });
    assert!(join_all(waiting).await.iter().all(|verdict| matches!(verdict, Err(Denied::Unavailable(_)))));
    assert_eq!(begun.elapsed().as_secs(), LONGEST_WAIT.as_secs());
    assert_eq!(reviewer.check(GOOD).await, sender());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_is_forgotten_and_garbage_forgets_no_good_one() {
    let mut remembered = Remembered::new(2, REFUSED);
    let key = |number: u8| [number; 32];
    remembered.insert(key(1), "one");
    remembered.insert(key(2), "two");
    tokio::time::advance(Duration::from_secs(1)).await;
    remembered.insert(key(1), "one again");
    remembered.insert(key(3), "three");
    assert_eq!([1, 2, 3].map(|number| remembered.get(&key(number), REFUSED)), [Some("one again"), None, Some("three")]);
    tokio::time::advance(REFUSED).await;
    remembered.insert(key(4), "four");
    assert_eq!((remembered.by_hash.len(), remembered.said.len()), (1, 1));

    let (_api, reviewer) = reviewer().await;
    reviewer.good().insert(hash(GOOD), Sender::Node("node-1".to_owned()));
    for number in 0..2 * MOST_REFUSED {
        reviewer.refused().insert(hash(&number.to_string()), Denied::Unauthorized("no"));
    }
    assert_eq!(reviewer.refused().by_hash.len(), MOST_REFUSED);
    assert_eq!(reviewer.known(&hash(GOOD)), Some(sender()));
}
