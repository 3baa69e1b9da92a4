//! The export as a part of `serve`: readiness, metrics, health and the status page; and how it stops.

use std::time::{Duration, Instant};

use fakes::prometheus::{ErrorBody, Fault, Rule, When};
use jiff::Timestamp;

use crate::support::Exporter;
use crate::world::{ALIAS, HOUR, World};

impl World {
    pub async fn serve(&self) -> Exporter {
        Exporter::start_command(self.command(&["serve", "--no-inventory", "-address=127.0.0.1:0"])).await
    }
}

/// The name of a series of the endpoint; more labels come first or last, as they are sorted.
fn series(name: &str, more: &str) -> String {
    format!("s3exporter_export_{name}{{alias=\"{ALIAS}\"{more}}}")
}

fn windows(state: &str) -> String {
    series("windows", &format!(",state=\"{state}\""))
}

#[tokio::test]
async fn what_is_exported_is_told() {
    let world = World::start(&[("a", 3), ("b", 2), ("never", 0)]).await;
    let before = world.now();
    let exporter = world.serve().await;
    exporter.until_metric(&windows("sealed"), 3.0).await;
    let metrics = exporter.until_metric(&series("runs_total", ",outcome=\"success\""), 1.0).await;
    world.verify_sealed(3);
    for state in ["pending", "running", "suspect", "failed", "empty"] {
        assert_eq!(metrics.value(&windows(state)), Some(0.0), "{state}");
    }
    let end_of_newest = (world.hour(0) + HOUR) as f64;
    let bytes: usize = (0..3).flat_map(|back| ["a", "b", "never"].map(|metric| world.answer(back, metric).len())).sum();
    for (name, more, value) in [
        ("sealed_until_timestamp_seconds", "", end_of_newest),
        ("due_until_timestamp_seconds", "", end_of_newest),
        ("objects_total", "", 9.0),
        ("bytes_total", "", bytes as f64),
        ("samples_total", "", 15.0),
        // Nine queries, and how long samples are kept, since there are none of a metric.
        ("requests_total", ",code=\"2xx\"", 10.0),
        ("requests_total", ",code=\"4xx\"", 0.0),
        ("requests_total", ",code=\"5xx\"", 0.0),
        ("requests_total", ",code=\"error\"", 0.0),
        ("retries_total", "", 0.0),
        ("partial_answers_total", ",reason=\"warnings\"", 0.0),
        ("windows_lost_total", ",reason=\"retention\"", 0.0),
        ("stage_duration_seconds_count", ",stage=\"fetch\"", 9.0),
        ("stage_duration_seconds_count", ",stage=\"seal\"", 3.0),
        ("in_progress", "", 0.0),
    ] {
        assert_eq!(metrics.value(&series(name, more)), Some(value), "{name}{more} in {}", metrics.0);
    }
    for name in ["last_success_timestamp_seconds", "last_completion_timestamp_seconds"] {
        let at = metrics.value(&series(name, "")).unwrap();
        assert!((before..=world.now()).contains(&at), "{name}: {at}");
    }

    assert_eq!(exporter.get("/readyz").await.0, 200);
    let (status, health) = exporter.get("/health").await;
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    let told = &health["export"]["endpoints"][ALIAS];
    assert_eq!((status, &told["state"], &told["windows"]["sealed"]), (200, &"healthy".into(), &3.into()), "{health}");
    let (_, page) = exporter.get("/").await;
    assert!(page.contains(&format!("<td>{ALIAS}</td>")) && page.matches("sealed\"><span class=\"good\">").count() == 3, "{page}");
}

#[tokio::test]
async fn faults_are_counted_and_told() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    let oops = Fault::Status { code: 500, retry_after: None, body: ErrorBody::Text("oops <b>") };
    let of = |back: i64| When { window_start: Some(world.hour(back)), ..When::metric("a") };
    world.prometheus.set_faults(vec![
        Rule { when: of(1), fault: oops },
        Rule { when: of(0), fault: Fault::Warnings(vec!["a store is down".to_owned()]) },
    ]);
    let exporter = world.serve().await;
    let metrics = exporter.until_metric(&series("runs_total", ",outcome=\"failure\""), 1.0).await;
    for (state, count) in [("sealed", 1.0), ("suspect", 1.0), ("failed", 1.0), ("pending", 0.0)] {
        assert_eq!(metrics.value(&windows(state)), Some(count), "{state}");
    }
    assert_eq!(metrics.value(&series("sealed_until_timestamp_seconds", "")), Some((world.hour(2) + HOUR) as f64));
    assert_eq!(metrics.value(&series("requests_total", ",code=\"5xx\"")), Some(3.0));
    assert_eq!(metrics.value(&series("retries_total", "")), Some(2.0));
    assert_eq!(metrics.value(&series("partial_answers_total", ",reason=\"warnings\"")), Some(1.0));
    assert_eq!(metrics.value(&series("last_success_timestamp_seconds", "")), Some(0.0));
    let (status, health) = exporter.get("/health").await;
    assert!(status == 503 && health.contains("answered 500: oops"), "{health}");
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("1 failed") && page.contains("oops &lt;b&gt;") && page.contains("a store is down"), "{page}");

    // It tries what failed again, and leaves what is doubtful for the next hour.
    world.prometheus.clear_faults();
    let before = world.requests();
    let metrics = exporter.until_metric(&windows("failed"), 0.0).await;
    assert_eq!(metrics.value(&windows("suspect")), Some(1.0));
    exporter.until_metric(&windows("sealed"), 2.0).await;
    assert_eq!(world.asked_since(before), [(1, "a".to_owned())]);
    let states = [0, 1, 2].map(|back| world.manifest(back).unwrap()["state"].clone());
    assert_eq!(states, ["suspect", "sealed", "sealed"]);
}

#[tokio::test]
async fn it_is_ready_once_the_bucket_can_be_read() {
    let world = World::start(&[("a", 3)]).await;
    world.s3.stop_listening().await;
    let exporter = world.serve().await;
    let (status, text) = exporter.get("/readyz").await;
    assert!(status == 503 && text.contains(ALIAS), "{text}");
    exporter.until_metric(&series("runs_total", ",outcome=\"failure\""), 1.0).await;
    assert_eq!(exporter.get("/readyz").await.0, 503);
    let (status, health) = exporter.get("/health").await;
    assert!(status == 503 && health.contains("refused"), "{health}");
    assert_eq!(exporter.get("/livez").await.0, 200);
    assert_eq!(world.requests(), 0);

    world.s3.resume().await;
    exporter.until("it is ready", async |exporter: &Exporter| (exporter.get("/readyz").await.0 == 200).then_some(())).await;
    exporter.until_metric(&windows("sealed"), 3.0).await;
    world.verify_sealed(3);

    // Once it was, it stays ready: nobody else could do better.
    world.s3.stop_listening().await;
    assert_eq!(exporter.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn it_stops_in_the_middle_of_a_query() {
    let world = World::start(&[("a", 3)]).await;
    for fault in [Fault::Hang, Fault::StallMidBody] {
        let before = world.requests();
        world.strike("a", fault.clone());
        let exporter = world.serve().await;
        exporter.until("it asks", async |_: &Exporter| (world.requests() > before).then_some(())).await;
        let start = Instant::now();
        let code = tokio::task::spawn_blocking(move || exporter.stop("TERM")).await.unwrap();
        // The query itself would take 20 s.
        assert_eq!(code, Some(0), "{fault:?}");
        assert!(start.elapsed() < Duration::from_secs(15), "{fault:?}: {:?}", start.elapsed());
    }
    assert_eq!(world.objects().len(), 0);
}

/// A replica that serves, and a run by hand beside it.
#[tokio::test]
async fn a_run_by_hand_does_no_harm() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.prometheus.set_latency(Duration::from_millis(20));
    let exporter = world.serve().await;
    world.export_all(&[]).await;
    exporter.until_metric(&windows("sealed"), 3.0).await;
    world.verify_sealed(3);
}

/// By the wall clock, a few seconds after the hour has settled.
#[tokio::test]
async fn an_hour_that_settles_meanwhile_is_exported() {
    let world = World::start(&[("a", 1)]).await;
    let into_the_hour = Timestamp::now().as_second().rem_euclid(HOUR);
    let settle = format!("--settle={}s", into_the_hour + 3);
    let exporter = Exporter::start_command(world.command(&["serve", "--no-inventory", "-address=127.0.0.1:0", &settle])).await;
    // The hour before this one, which is due three seconds after the start; or at once, should the start have taken that long.
    exporter.until("the hour is there", async |_: &Exporter| world.manifest(-1)).await;
}
