//! Requests that are the same and come at once, and answers that are given again.

use fakes::pods::{Behaviour, Body};

use crate::answer::Answer;
use crate::support::Exporter;
use crate::world::{Gate, JOB, Opened, World, ask, get, key, metric, ours, path_of, spec, until};

const SHARED: &str = "s3exporter_podmetrics_shared_requests_total";

/// A request that is not waited for.
fn begin(exporter: &Exporter, headers: &'static [(&'static str, &'static str)]) -> tokio::task::JoinHandle<Answer> {
    let (address, path) = (exporter.address, path_of(JOB));
    tokio::spawn(async move { get(address, &path, headers).await })
}

/// Waits until so many requests share the scrapes of another.
async fn until_shared(exporter: &Exporter, count: f64) {
    exporter.until_metric(SHARED, count).await;
}

async fn until_asked(exporter: &Exporter, pod: &fakes::pods::Pod, count: usize) {
    exporter.until("the pod is asked", async |_: &Exporter| (pod.requests().len() == count).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_request_made_again_meanwhile_scrapes_once() {
    let gate = Gate::default();
    let _open = Opened(&gate);
    let (world, pod) = World::with_pod(gate.behaviour("a")).await;
    let exporter = world.exporter(&[]).await;
    let first = begin(&exporter, &[]);
    until_asked(&exporter, &pod, 1).await;
    let others = [begin(&exporter, &[]), begin(&exporter, &[]), begin(&exporter, &[("user-agent", "another")])];
    until_shared(&exporter, 3.0).await;
    gate.open();
    let first = first.await.unwrap().well();
    assert_eq!(first.value("a", "a"), Some(0.0));
    for other in others {
        assert_eq!(other.await.unwrap().text, first.text);
    }
    assert_eq!(pod.requests().len(), 1);
    // Who comes afterwards gets what is then.
    assert_eq!(ask(&exporter, JOB).await.value("a", "a"), Some(1.0));
    assert_eq!(metric(&exporter, &ours("requests_total{outcome=\"success\"}")).await, 5.0);
    assert_eq!(metric(&exporter, SHARED).await, 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_came_first_may_leave_without_taking_the_answer_along() {
    let gate = Gate::default();
    let _open = Opened(&gate);
    let (world, pod) = World::with_pod(gate.behaviour("a")).await;
    let exporter = world.exporter(&[]).await;
    let first = begin(&exporter, &[]);
    until_asked(&exporter, &pod, 1).await;
    let second = begin(&exporter, &[]);
    until_shared(&exporter, 1.0).await;
    first.abort();
    let _ = first.await;
    // The exporter has seen by then that one has gone.
    for _ in 0..20 {
        assert_eq!(metric(&exporter, &ours("scrapes_in_progress")).await, 1.0);
    }
    gate.open();
    assert_eq!(second.await.unwrap().well().value("a", "a"), Some(0.0));
    assert_eq!(pod.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn requests_that_differ_are_apart() {
    let gate = Gate::default();
    let _open = Opened(&gate);
    let (world, pod) = World::with_pod(gate.behaviour("a")).await;
    world.api.apply_pod(&spec("b", &pod).label(&key("job-name"), "shop"));
    let exporter = world.exporter(&[]).await;
    let address = exporter.address;
    let shop = tokio::spawn(async move { get(address, &path_of("shop"), &[]).await });
    let requests = [
        begin(&exporter, &[]),
        begin(&exporter, &[("accept", "application/openmetrics-text")]),
        begin(&exporter, &[("x-prometheus-scrape-timeout-seconds", "25")]),
    ];
    until_asked(&exporter, &pod, 4).await;
    gate.open();
    assert_eq!(shop.await.unwrap().well().healthy(), ["b"]);
    for request in requests {
        assert_eq!(request.await.unwrap().well().healthy(), ["a"]);
    }
    assert_eq!(metric(&exporter, SHARED).await, 0.0);
}

/// Answers with the number of the request.
fn counting() -> Behaviour {
    Behaviour::computed(|number| Body::text(format!("a {number}\n")))
}

#[tokio::test]
async fn nothing_is_kept_unless_somebody_asks_for_it() {
    let (world, pod) = World::with_pod(counting()).await;
    let exporter = world.exporter(&[]).await;
    for number in [0.0, 1.0, 2.0] {
        assert_eq!(ask(&exporter, JOB).await.value("a", "a"), Some(number));
    }
    assert_eq!(pod.requests().len(), 3);
}

#[tokio::test]
async fn an_answer_is_given_again_while_it_is_young() {
    let (world, pod) = World::with_pod(counting()).await;
    let exporter = world.exporter(&["--podmetrics-max-age=1h"]).await;
    let first = ask(&exporter, JOB).await;
    for header in [&[][..], &[("x-prometheus-scrape-timeout-seconds", "5")]] {
        assert_eq!(get(exporter.address, &path_of(JOB), header).await.text, first.text);
    }
    assert_eq!((pod.requests().len(), metric(&exporter, SHARED).await), (1, 2.0));
    // In another format it is another answer.
    let open = [("accept", "application/openmetrics-text")];
    assert_eq!(get(exporter.address, &path_of(JOB), &open).await.well().value("a", "a"), Some(1.0));
    assert!(metric(&exporter, &ours("held_bytes")).await > 0.0);
}

#[tokio::test]
async fn an_answer_that_is_too_old_is_not_given_again() {
    let (world, _pod) = World::with_pod(counting()).await;
    let mut command = world.command(&["--podmetrics-allow-cidr=127.0.0.0/8"]);
    command.env("S3EXPORTER_PODMETRICS_MAX_AGE", "300ms");
    let exporter = world.exporter_of(command).await;
    assert_eq!(ask(&exporter, JOB).await.value("a", "a"), Some(0.0));
    until(&exporter, "the pod is asked again", |answer| answer.value("a", "a") > Some(0.0)).await;
    // What is too old is not held either.
    exporter.until_metric(&ours("held_bytes"), 0.0).await;
}

/// What is kept for later makes room for what is asked for now.
#[tokio::test]
async fn answers_that_are_kept_take_no_room_from_others() {
    let text: String = (0..2_000).map(|line| format!("lines{{n=\"{line}\"}} 1\n")).collect();
    let (world, pod) = World::with_pod(Behaviour::text(text)).await;
    world.api.apply_pod(&spec("b", &pod).label(&key("job-name"), "shop"));
    let exporter = world.exporter(&["--podmetrics-max-age=1h", "--podmetrics-held-limit=60KB"]).await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a"]);
    assert!(metric(&exporter, &ours("held_bytes")).await > 30_000.0, "both together are not too much");
    assert_eq!(ask(&exporter, "shop").await.healthy(), ["b"]);
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a"]);
    assert_eq!(metric(&exporter, &ours("requests_total{outcome=\"overloaded\"}")).await, 0.0);
}
