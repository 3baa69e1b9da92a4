//! The list server: pages make up the whole key space, and faults do what they say.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::time::Duration;

use fakes::s3_pages::{
    ClusterTimestamp, Counters, DateTree, Explicit, Fault, FaultRule, KeySpace, LongPrefix, NonAscii, OneHuge, S3Pages, Uuids,
    When,
};
use futures::StreamExt;
use reqwest::{Client, Response, redirect};

/// All keys of a space, as it computes them.
fn keys(space: &dyn KeySpace) -> Vec<String> {
    let key = |i| {
        let mut key = Vec::new();
        space.key(i, &mut key);
        String::from_utf8(key).unwrap()
    };
    (0..space.len()).map(key).collect()
}

async fn get(server: &S3Pages, query: &[(&str, &str)]) -> Response {
    let client = Client::builder()
        .tls_built_in_root_certs(false)
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let url = format!("{}/bucket?list-type=2&{query}", server.endpoint());
    client.get(url).send().await.unwrap()
}

async fn page(server: &S3Pages, query: &[(&str, &str)]) -> String {
    get(server, query).await.text().await.unwrap()
}

/// The texts of all elements of this name.
fn texts<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    document.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap()).collect()
}

fn decoded(text: &str) -> String {
    form_urlencoded::parse(format!("k={text}").as_bytes()).next().unwrap().1.into_owned()
}

/// Follows the tokens to the end.
async fn list(server: &S3Pages, query: &[(&str, &str)]) -> Vec<String> {
    let (mut keys, mut token) = (Vec::new(), None::<String>);
    loop {
        let mut query = query.to_vec();
        query.push(("encoding-type", "url"));
        query.extend(token.as_deref().map(|token| ("continuation-token", token)));
        let document = page(server, &query).await;
        keys.extend(texts(&document, "Key").into_iter().map(decoded));
        match texts(&document, "NextContinuationToken")[..] {
            [next] if document.contains("<IsTruncated>true<") => token = Some(next.to_owned()),
            [] if document.contains("<IsTruncated>false<") => return keys,
            _ => panic!("token and truncation disagree: {document}"),
        }
    }
}

#[tokio::test]
async fn pages_make_up_every_key_space() {
    async fn check(space: impl KeySpace + Clone + 'static) {
        let all = keys(&space);
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        let server = S3Pages::start(space.clone()).await;
        assert_eq!(list(&server, &[("max-keys", "7")]).await, all);
        for (i, key) in all.iter().enumerate().step_by(5) {
            assert_eq!(space.rank_at(key.as_bytes()), i as u64);
            assert_eq!(space.rank_after(key.as_bytes()), i as u64 + 1);
            let synthetic = format!("{key}\u{1}");
            for start_after in [key, &synthetic] {
                assert_eq!(list(&server, &[("start-after", start_after)]).await, all[i + 1..]);
            }
            let prefix: String = key.chars().take(key.chars().count() - 1).collect();
            let below: Vec<_> = all.iter().filter(|key| key.starts_with(&prefix)).cloned().collect();
            assert_eq!(list(&server, &[("prefix", &prefix), ("max-keys", "3")]).await, below);
        }
    }
    check(ClusterTimestamp::new(4, 9)).await;
    check(OneHuge::new(4, 3, 20)).await;
    check(Uuids { count: 40 }).await;
    check(DateTree { hours: 30, per_hour: 2 }).await;
    check(Counters { count: 123 }).await;
    check(LongPrefix { count: 20 }).await;
    check(NonAscii { per_name: 4 }).await;
    check(Explicit::keys(["b", "a//b", "a/", "/a", "a b", "a+b", "%41", "<&>", "c\r\n"])).await;
}

#[tokio::test]
async fn large_spaces_answer_at_once() {
    let server = S3Pages::start(ClusterTimestamp::new(10_000, 1_000)).await;
    let document = page(&server, &[("start-after", "cluster-09999-2026-01-14T20")]).await;
    assert_eq!(texts(&document, "Key").last(), Some(&"cluster-09999-2026-01-14T21-00-00.db.gz"));
    assert_eq!(texts(&document, "LastModified").last().map(|text| &text[..17]), Some("2026-01-14T21:00:"));
}

#[tokio::test]
async fn delimiter_rolls_up() {
    let server = S3Pages::start(DateTree { hours: 48, per_hour: 10 }).await;
    let document = page(&server, &[("prefix", "2026/01/"), ("delimiter", "/")]).await;
    assert_eq!(texts(&document, "Prefix"), ["2026/01/", "2026/01/01/", "2026/01/02/"]);
    assert_eq!(texts(&document, "KeyCount"), ["2"]);
}

#[tokio::test]
async fn rules_choose_requests() {
    let server = S3Pages::start(Counters { count: 3 }).await;
    let slow_down = Fault::Status(503, "SlowDown");
    for (when, expected) in [
        (When::Always, [503; 6]),
        (When::Times(2), [503, 503, 200, 200, 200, 200]),
        (When::OnRequest(2), [200, 503, 200, 200, 200, 200]),
        (When::EveryNth(3), [200, 200, 503, 200, 200, 503]),
    ] {
        server.clear_faults();
        server.fault(FaultRule { when, fault: slow_down.clone() });
        for status in expected {
            assert_eq!(get(&server, &[]).await.status(), status, "{when:?}");
        }
    }
    assert_eq!(server.requests(), 24);
    assert_eq!(server.queries()[23], "list-type=2&");
}

/// A server with keys `1` to `5` and this fault on every request.
async fn with(fault: Fault) -> S3Pages {
    let server = S3Pages::start(Counters { count: 5 }).await;
    server.fault(FaultRule { when: When::Always, fault });
    server
}

#[tokio::test]
async fn wrong_answers() {
    let redirect = get(&with(Fault::Status(301, "PermanentRedirect")).await, &[]).await;
    assert_eq!(redirect.headers()["x-amz-bucket-region"], "eu-central-1");
    let malformed = page(&with(Fault::Status(400, "AuthorizationHeaderMalformed")).await, &[]).await;
    assert_eq!(texts(&malformed, "Region"), ["eu-central-1"]);
    let later = get(&with(Fault::RetryAfter(503, 7)).await, &[]).await;
    assert_eq!((later.status().as_u16(), &later.headers()["retry-after"]), (503, &"7".parse().unwrap()));
    let elsewhere = get(&with(Fault::Redirect("http://127.0.0.1:1/".into())).await, &[]).await;
    assert_eq!((elsewhere.status().as_u16(), &elsewhere.headers()["location"]), (307, &"http://127.0.0.1:1/".parse().unwrap()));

    assert!(page(&with(Fault::Html200).await, &[]).await.starts_with("<!DOCTYPE html>"));
    assert_eq!(texts(&page(&with(Fault::ErrorDocument200("InternalError")).await, &[]).await, "Code"), ["InternalError"]);
    assert_eq!(page(&with(Fault::EmptyBody200).await, &[]).await, "");
    assert!(page(&with(Fault::InvalidXml).await, &[]).await.contains("<Name>bucket</Nome>"));
    let cut = page(&with(Fault::CutBody).await, &[]).await;
    assert!(cut.starts_with("<?xml") && !cut.contains("</ListBucketResult>"));
}

#[tokio::test]
async fn silence_and_broken_bodies() {
    const SHORT: Duration = Duration::from_millis(200);
    let hang = with(Fault::HangBeforeHeaders).await;
    assert!(tokio::time::timeout(SHORT, get(&hang, &[])).await.is_err());

    let (_server, mut partial) = struck(Fault::HangMidBody(0.5)).await;
    let expected = usize::try_from(partial.content_length().unwrap()).unwrap() / 2;
    let mut received = 0;
    while received < expected {
        received += partial.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(received, expected);
    assert!(tokio::time::timeout(SHORT, partial.chunk()).await.is_err());

    let (_server, reset) = struck(Fault::ResetMidBody).await;
    assert!(reset.bytes().await.is_err());

    let (_server, mut trickle) = struck(Fault::Trickle).await;
    // On a busy machine a few bytes may come at once.
    let (first, second) = (trickle.chunk().await.unwrap().unwrap(), trickle.chunk().await.unwrap().unwrap());
    assert!(first.starts_with(b"<") && first.len() + second.len() < 50);

    let (_server, endless) = struck(Fault::EndlessBody).await;
    let mut bytes = 0;
    let mut chunks = endless.bytes_stream();
    while bytes < 5_000_000 {
        bytes += chunks.next().await.unwrap().unwrap().len();
    }
}

/// A response whose body is still to be read, with its server.
async fn struck(fault: Fault) -> (S3Pages, Response) {
    let server = with(fault).await;
    let response = get(&server, &[]).await;
    (server, response)
}

#[tokio::test]
async fn listing_oddities() {
    let one = [("max-keys", "2")];
    assert_eq!(list(&with(Fault::ShortPages(1)).await, &one).await, ["1", "2", "3", "4", "5"]);
    assert_eq!(list(&with(Fault::EmptyTruncatedPages(3)).await, &one).await, ["1", "2", "3", "4", "5"]);
    assert_eq!(list(&with(Fault::RepeatLastKey).await, &one).await, ["1", "2", "2", "3", "3", "4", "4", "5"]);
    assert_eq!(list(&with(Fault::OutOfOrder).await, &one).await, ["2", "1", "4", "3", "5"]);
    assert_eq!(list(&with(Fault::IgnoreStartAfter).await, &[("start-after", "3")]).await.len(), 5);
    let synthetic = with(Fault::SkipAfterSyntheticStartAfter).await;
    assert_eq!(list(&synthetic, &[("start-after", "1!"), one[0]]).await, ["2", "3", "5"]);
    assert_eq!(list(&synthetic, &[("start-after", "1"), one[0]]).await, ["2", "3", "4", "5"]);

    let no_token = page(&with(Fault::NoNextToken).await, &one).await;
    assert!(no_token.contains("<IsTruncated>true<") && !no_token.contains("NextContinuationToken"));

    let same = with(Fault::SameToken).await;
    let first = page(&same, &one).await;
    let token = texts(&first, "NextContinuationToken")[0];
    let second = page(&same, &[one[0], ("continuation-token", token)]).await;
    assert_eq!(texts(&second, "NextContinuationToken"), [token]);

    let late = page(&with(Fault::EncodingTypeAfterKeys).await, &[("encoding-type", "url")]).await;
    assert!(late.rfind("<Key>") < late.find("<EncodingType>"));
}

#[tokio::test]
async fn latency_concurrency_and_outage() {
    let server = S3Pages::start(Counters { count: 5 }).await;
    server.set_latency(Duration::from_millis(50));
    futures::future::join_all((0..8).map(|_| page(&server, &[]))).await;
    assert!((2..=8).contains(&server.concurrent_max()), "{}", server.concurrent_max());

    server.stop_listening().await;
    let refused = reqwest::get(format!("{}/bucket?list-type=2", server.endpoint())).await.unwrap_err();
    assert!(refused.is_connect());
    server.resume().await;
    assert_eq!(list(&server, &[]).await.len(), 5);

    server.set_key_space(Counters { count: 6 });
    assert_eq!(list(&server, &[]).await.len(), 6);
    assert_eq!(get(&server, &[("continuation-token", "bogus")]).await.status(), 400);
}
