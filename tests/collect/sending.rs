//! A receiver that is away, busy, or refuses: what is kept, in which order it comes, and what is lost.

use std::time::Duration;

use fakes::kubelet::KubeletFault;

use crate::receiver::{Answer, Post};
use crate::world::{World, run, until};

fn timestamps(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(Post::timestamp).collect()
}

/// Nothing twice, and in the order in which it was measured.
fn ascending(posts: &[Post]) -> bool {
    posts.windows(2).all(|pair| pair[0].timestamp() < pair[1].timestamp())
}

#[tokio::test]
async fn reports_wait_for_a_receiver_that_is_away_and_come_in_order() {
    let world = World::start().await;
    let collector = world.collector(&[]).await;
    world.taken(1).await;
    world.receiver.stop().await;
    let before = world.receiver.taken().len();
    collector
        .until("reports wait", async |collector| {
            let metrics = collector.metrics().await;
            (metrics.value("s3exporter_collect_queue_reports").unwrap() >= 5.0).then_some(())
        })
        .await;
    assert_eq!(collector.get("/health").await.0, 503);
    // Waiting is no reason to be restarted or taken out of service.
    assert_eq!((collector.get("/livez").await.0, collector.get("/readyz").await.0), (200, 200));
    world.receiver.resume().await;
    let posts = world.taken(before + 8).await;
    assert!(ascending(&posts), "{:?}", timestamps(&posts));
    let metrics = collector.metrics().await;
    assert_eq!(metrics.value("s3exporter_collect_reports_dropped_total{reason=\"queue_full\"}"), Some(0.0));
    // Nothing is missing in between: the counters of the pods rise by the same step from report to report.
    let used = |post: &Post| post.json["pods"][0]["cpu_usage_cum"].as_f64().unwrap();
    let steps: Vec<f64> = posts.windows(2).map(|pair| used(&pair[1]) - used(&pair[0])).collect();
    assert!(steps.iter().all(|step| (step - 0.15).abs() < 1e-9), "{steps:?}");
}

#[tokio::test]
async fn the_oldest_reports_go_when_the_queue_is_full() {
    let world = World::start().await;
    world.receiver.always(Answer::Refuse(500, None));
    let collector = world.collector(&["--queue=3"]).await;
    let dropped = "s3exporter_collect_reports_dropped_total{reason=\"queue_full\"}";
    collector
        .until("some are dropped", async |collector| (collector.metrics().await.value(dropped).unwrap() >= 4.0).then_some(()))
        .await;
    assert_eq!(collector.metrics().await.value("s3exporter_collect_queue_reports"), Some(3.0));
    assert!(collector.log_lines().iter().any(|line| line.contains("the queue is full")));
    let first = world.receiver.posts()[0].timestamp().to_owned();
    world.receiver.always(Answer::Take(""));
    let posts = world.taken(3).await;
    assert!(ascending(&posts) && posts[0].timestamp() > first.as_str());
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_is_sent_again_as_it_was() {
    let world = World::start().await;
    world.kubelet.set_pods(110);
    world.receiver.then([Answer::Lose, Answer::Refuse(503, None), Answer::Take("")]);
    let _collector = world.collector(&[]).await;
    let posts = world.posts(4).await;
    assert_eq!(posts[0].header("content-encoding"), "zstd");
    assert!(posts[0].body == posts[1].body && posts[1].body == posts[2].body);
    assert_ne!(posts[3].timestamp(), posts[0].timestamp());
}

#[tokio::test]
async fn retry_after_is_obeyed_while_scrapes_go_on() {
    let world = World::start().await;
    world.receiver.then([Answer::Refuse(503, Some(3)), Answer::Refuse(429, Some(2))]);
    let _collector = world.collector(&[]).await;
    let posts = world.posts(3).await;
    let gap = |at: usize| posts[at + 1].at - posts[at].at;
    // The margin is for the time between the arrival of a request and its being noted.
    let margin = Duration::from_millis(100);
    assert!(gap(0) + margin >= Duration::from_secs(3) && gap(1) + margin >= Duration::from_secs(2), "{:?} {:?}", gap(0), gap(1));
    assert!(posts[0].body == posts[1].body && posts[1].body == posts[2].body);
    assert!(world.kubelet.requests().len() >= 5, "{}", world.kubelet.requests().len());
}

#[tokio::test]
async fn what_the_report_is_to_blame_for_is_dropped_and_told() {
    let world = World::start().await;
    world.receiver.then([400, 413, 422].map(|code| Answer::Refuse(code, None)));
    let collector = world.collector(&[]).await;
    let posts = world.posts(5).await;
    assert!(ascending(&posts), "{:?}", timestamps(&posts));
    collector.until_metric("s3exporter_collect_reports_dropped_total{reason=\"refused\"}", 3.0).await;
    let log = collector.log_lines();
    for code in ["400", "413", "422"] {
        assert!(log.iter().any(|line| line.contains("ERROR") && line.contains(code) && line.contains("not this one")), "{log:?}");
    }
}

#[tokio::test]
async fn what_heals_is_sent_again() {
    for code in [401, 403, 404, 408, 429, 500, 502] {
        let world = World::start().await;
        world.receiver.then([Answer::Refuse(code, None)]);
        let collector = world.collector(&[]).await;
        let posts = world.posts(2).await;
        assert_eq!(posts[0].body, posts[1].body, "{code}");
        assert_eq!(collector.metrics().await.value("s3exporter_collect_reports_dropped_total{reason=\"refused\"}"), Some(0.0));
    }
}

#[tokio::test]
async fn pods_that_the_receiver_could_not_read_are_told() {
    let world = World::start().await;
    world.receiver.then([Answer::Take(r#"{"status":"ok","rejected_count":2,"rejected":[{"index":3,"field":"pods[3].name"}]}"#)]);
    let collector = world.collector(&[]).await;
    collector.until_metric("s3exporter_collect_rejected_pods_total", 2.0).await;
    let log = collector.log_lines();
    assert!(log.iter().any(|line| line.contains("WARN") && line.contains("pods[3].name")), "{log:?}");
    // A line has each key once.
    assert!(log.iter().all(|line| line.matches("\"timestamp\":").count() == 1), "{log:?}");
}

#[tokio::test]
async fn failing_sends_do_not_end_the_process() {
    let world = World::start().await;
    world.receiver.stop().await;
    let collector = world.collector(&["--max-consecutive-failures=1"]).await;
    collector
        .until("it has tried a few times", async |collector| {
            let metrics = collector.metrics().await;
            (metrics.value("s3exporter_collect_sends_total{outcome=\"unreachable\"}").unwrap() >= 3.0).then_some(())
        })
        .await;
    assert_eq!(collector.stop("TERM"), Some(0));
}

#[tokio::test]
async fn a_stop_sends_what_is_left_and_ends_well() {
    let world = World::start().await;
    world.receiver.always(Answer::Refuse(503, Some(600)));
    let collector = world.collector(&[]).await;
    collector
        .until("reports wait", async |collector| {
            let metrics = collector.metrics().await;
            (metrics.value("s3exporter_collect_queue_reports").unwrap() >= 4.0).then_some(())
        })
        .await;
    world.receiver.always(Answer::Take(""));
    let asked = world.kubelet.requests().len();
    assert_eq!(tokio::task::spawn_blocking(move || collector.stop("TERM")).await.unwrap(), Some(0));
    let taken = world.receiver.taken();
    assert!(taken.len() >= 4 && taken.len() >= asked - 1 && ascending(&taken), "{} of {asked}", taken.len());
}

#[tokio::test]
async fn a_stop_without_a_receiver_ends_at_once_and_says_what_is_lost() {
    let world = World::start().await;
    world.receiver.always(Answer::Refuse(503, Some(600)));
    let collector = world.collector(&[]).await;
    collector
        .until("reports wait", async |collector| {
            let metrics = collector.metrics().await;
            (metrics.value("s3exporter_collect_queue_reports").unwrap() >= 2.0).then_some(())
        })
        .await;
    let before = world.receiver.posts().len();
    assert_eq!(tokio::task::spawn_blocking(move || collector.stop("TERM")).await.unwrap(), Some(0));
    // One last try.
    assert_eq!(world.receiver.posts().len(), before + 1);
}

#[tokio::test]
async fn a_kubelet_that_fails_for_good_takes_no_report_along() {
    let world = World::start().await;
    world.receiver.then([Answer::Refuse(503, Some(600))]);
    let command = world.command(&["--max-consecutive-failures=3"]);
    let running = tokio::spawn(run(command));
    until("two scrapes have been reported", || (world.kubelet.requests().len() >= 2).then_some(())).await;
    world.kubelet.set_fault(Some(KubeletFault::Status(500)));
    let (code, _, error) = running.await.unwrap();
    assert!(code == Some(1) && error.contains("in a row"), "{error}");
    assert!(!world.receiver.taken().is_empty() && !error.contains("nobody has taken"), "{error}");
}
