//! Discovery while the API is slow, away, forgetful or broken.

use fakes::pods::{Behaviour, Pod};

use crate::support::Exporter;
use crate::world::{JOB, World, ask, get, metric, path_of, spec, until};

const CONTACT: &str = "s3exporter_watch_last_contact_timestamp_seconds{resource=\"pods\"}";
const ALLOW: &str = "--podmetrics-allow-cidr=127.0.0.0/8";

#[tokio::test]
async fn before_the_first_list_whoever_asks_shall_come_again() {
    let (world, pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    world.api.hang(true);
    let exporter = Exporter::start_command(world.command(&[ALLOW])).await;
    let answer = get(exporter.address, &path_of(JOB), &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    assert_eq!(answer.text, "the pods have not been listed yet; see /readyz\n");
    assert_eq!(exporter.get("/readyz").await, (503, "podmetrics: the pods have not been listed yet\n".to_owned()));
    let (status, health) = exporter.get("/health").await;
    assert!(status == 503 && health.contains("waiting for the first list of pods"), "{health}");
    assert_eq!(exporter.get("/livez").await.0, 200);
    assert_eq!(metric(&exporter, CONTACT).await, 0.0);
    assert_eq!(metric(&exporter, "s3exporter_podmetrics_requests_total{outcome=\"not_listed\"}").await, 1.0);
    assert!(pod.requests().is_empty());
    assert!(exporter.get("/").await.1.contains("The Kubernetes API has not answered yet."));
}

#[tokio::test]
async fn an_api_that_refuses_is_asked_again_and_told_of() {
    let (world, _pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    world.api.fail_with(403, None);
    let exporter = Exporter::start_command(world.command(&[ALLOW])).await;
    let denied = "s3exporter_watch_errors_total{resource=\"pods\",reason=\"access_denied\"}";
    let denied = [denied, "s3exporter_watch_errors_total{reason=\"access_denied\",resource=\"pods\"}"];
    exporter
        .until("the refusal is counted", async |exporter: &Exporter| {
            let metrics = exporter.metrics().await;
            denied.iter().find_map(|series| metrics.value(series)).filter(|count| *count > 0.0)
        })
        .await;
    assert!(exporter.log_lines().iter().any(|line| line.contains("the watch failed") && line.contains("access_denied")));
    assert_eq!(get(exporter.address, &path_of(JOB), &[]).await.status, 503);
    world.api.clear_failures();
    until(&exporter, "the pods are listed", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn expired_and_broken_watches_lose_nothing() {
    let world = World::start().await;
    let _a = world.healthy("a").await;
    let _b = world.healthy("b").await;
    let exporter = world.exporter(&[]).await;
    world.api.wait_for_watches(1).await;
    world.api.delete_pod_silently("default", "b");
    world.api.expire_watches();
    until(&exporter, "the list is made again", |answer| answer.healthy() == ["a"]).await;
    world.api.wait_for_watches(1).await;
    world.api.break_watches();
    let _c = world.healthy("c").await;
    until(&exporter, "the watch goes on", |answer| answer.healthy() == ["a", "c"]).await;
    // Pages of one pod each; half of them are of another list.
    world.api.set_page_size(1);
    let _d = world.healthy("d").await;
    world.api.wait_for_watches(1).await;
    world.api.expire_watches();
    until(&exporter, "all pages are read", |answer| answer.healthy() == ["a", "c", "d"]).await;
}

/// At no moment is a pod missing that is there, while the API says again and again that all must be listed anew.
#[tokio::test]
async fn while_pods_are_listed_again_none_is_missing() {
    let world = World::start().await;
    let mut pods = Vec::new();
    for name in ["a", "b", "c"] {
        pods.push(world.healthy(name).await);
    }
    world.api.set_page_size(1);
    let exporter = world.exporter(&[]).await;
    for _ in 0..5 {
        world.api.wait_for_watches(1).await;
        world.api.expire_watches();
        for _ in 0..5 {
            assert_eq!(ask(&exporter, JOB).await.healthy(), ["a", "b", "c"]);
        }
    }
}

#[tokio::test]
async fn while_the_api_is_away_the_last_known_pods_are_scraped() {
    let (world, pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let exporter = world.exporter(&[]).await;
    world.api.wait_for_watches(1).await;
    world.api.stop_listening().await;
    until_failed(&exporter, 1.0).await;
    let before = metric(&exporter, CONTACT).await;
    assert!(before > 1.7e9);
    until_failed(&exporter, 2.0).await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a"]);
    assert_eq!(metric(&exporter, CONTACT).await, before);
    assert_eq!(exporter.get("/readyz").await.0, 200);
    assert!(!pod.requests().is_empty());
    let other = Pod::start(Behaviour::text("b 1\n")).await;
    world.api.apply_pod(&spec("b", &other));
    world.api.resume().await;
    until(&exporter, "the API is back", |answer| answer.healthy() == ["a", "b"]).await;
    assert!(metric(&exporter, CONTACT).await > before);
    assert!(exporter.log_lines().iter().any(|line| line.contains("answers again")));
}

/// Something in front of the API, say, that answers with pages for people.
#[tokio::test]
async fn answers_that_cannot_be_read_are_no_contact() {
    let (world, _pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    world.api.garbage(true);
    let exporter = Exporter::start_command(world.command(&[ALLOW])).await;
    until_failed(&exporter, 2.0).await;
    assert_eq!(metric(&exporter, CONTACT).await, 0.0);
    assert!(!exporter.log_lines().iter().any(|line| line.contains("answers again")));
    world.api.garbage(false);
    until(&exporter, "the pods are listed", |answer| answer.healthy() == ["a"]).await;
    assert!(metric(&exporter, CONTACT).await > 1.7e9);
    assert!(exporter.log_lines().iter().any(|line| line.contains("answers again")));
}

/// Waits until so many lists and watches have failed, for whatever reason.
async fn until_failed(exporter: &Exporter, count: f64) {
    exporter
        .until("the outage is counted", async |exporter: &Exporter| {
            let metrics = exporter.metrics().await;
            let lines = metrics.0.lines().filter(|line| line.starts_with("s3exporter_watch_errors_total{"));
            let failed: f64 = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
            (failed >= count).then_some(())
        })
        .await;
}
