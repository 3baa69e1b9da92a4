//! The configuration changes from run to run, and what is there already stays right.

use fakes::prometheus::{ErrorBody, Fault, Rule, When};
use serde_json::json;

use crate::world::{ALIAS, BUCKET, World, parsed};

async fn world() -> World {
    World::start(&[("a", 6), ("b", 2)]).await
}

fn refused() -> Fault {
    Fault::Status { code: 422, retry_after: None, body: ErrorBody::Api { error_type: "execution", error: "no" } }
}

/// Its hours were sealed without it; that must not hide that it is missing.
#[tokio::test]
async fn a_later_metric_that_fails_is_missing_although_its_hours_are_sealed() {
    let world = World::start(&[("a", 6), ("b", 2), ("c", 1)]).await;
    world.export_all(&["--export-metrics=a"]).await;
    world.strike("c", refused());
    for _ in 0..2 {
        let run = world.export(&["--export-metrics=a,b,c"]).await;
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stdout.contains("422") && run.stdout.contains(": c"), "{run:?}");
    }
    assert!(world.body(0, "b").is_some());
    world.prometheus.clear_faults();
    world.export_all(&["--export-metrics=a,b,c"]).await;
    world.verify_sealed(3);
}

/// Another metric has been fetched three times; this one has not.
#[tokio::test]
async fn a_later_metric_has_its_own_rechecks() {
    let world = world().await;
    let warned = |metric: &str| Rule { when: When::metric(metric), fault: Fault::Warnings(vec!["half".into()]) };
    world.prometheus.set_faults(vec![warned("a"), warned("b")]);
    for code in [1, 1, 0] {
        assert_eq!(world.export(&["--export-metrics=a"]).await.code, Some(code));
    }
    for code in [1, 1, 0] {
        assert_eq!(world.export(&["--export-metrics=a,b"]).await.code, Some(code));
    }
    let manifest = world.manifest(0).unwrap();
    assert_eq!((&manifest["metrics"]["a"]["attempts"], &manifest["metrics"]["b"]["attempts"]), (&json!(3), &json!(3)));
}

#[tokio::test]
async fn a_metric_that_is_no_longer_asked_for_holds_nothing_up() {
    let world = world().await;
    world.strike("b", Fault::Html);
    assert_eq!(world.export(&[]).await.code, Some(1));
    assert_eq!(world.manifest(0).unwrap()["state"], "suspect");
    world.export_all(&["--export-metrics=a"]).await;
    assert_eq!(world.manifest(0).unwrap()["state"], "sealed");
}

/// Objects of another step have more samples, and are no better for it.
#[tokio::test]
async fn another_step_replaces_what_was_not_sealed() {
    let world = world().await;
    world.strike("b", refused());
    assert_eq!(world.export(&["--step-seconds=60"]).await.code, Some(1));
    assert_eq!(parsed(&world.body(0, "a").unwrap())["data"]["result"][0]["values"].as_array().unwrap().len(), 60);
    world.prometheus.clear_faults();
    world.export_all(&[]).await;
    world.verify_sealed(3);
}

#[tokio::test]
async fn compression_that_is_switched_on_while_an_hour_is_suspect_costs_no_attempt() {
    let world = world().await;
    world.strike("a", Fault::Warnings(vec!["half".into()]));
    assert_eq!(world.export(&[]).await.code, Some(1));
    world.prometheus.clear_faults();
    world.export_all(&["--compress=gzip", "--max-retries=0"]).await;
    let manifest = world.manifest(0).unwrap();
    assert_eq!((&manifest["state"], &manifest["marks"]), (&json!("sealed"), &json!(null)));
    let key = |metric: &str| manifest["metrics"][metric]["key"].as_str().unwrap().to_owned();
    assert!(key("a").ends_with("a.json.gz") && key("b").ends_with("b.json"), "{manifest}");
}

/// It has been away for longer than it may go back: the days it may are due, not the few hours of an empty bucket.
#[tokio::test]
async fn after_a_long_absence_everything_that_may_be_due_is() {
    let world = world().await;
    world.export_all(&[]).await;
    let folder = format!("k8s_data/{ALIAS}/");
    for (key, object) in world.objects() {
        let day = key.strip_prefix(&folder).unwrap();
        world.s3.delete(BUCKET, &key);
        world.s3.put(BUCKET, &format!("{folder}2001{}", &day[4..]), object);
    }
    let plan = world.export_all(&["--plan", "--max-backfill=1d", "--hours-to-backfill=2"]).await;
    assert!(plan.stdout.contains("24 hours due"), "{plan:?}");
}

/// A server that wants to be left alone is, however often a run is tried again.
#[tokio::test]
async fn a_long_retry_after_is_honoured_by_later_runs() {
    let world = world().await;
    let status = Fault::Status { code: 429, retry_after: Some(86_400), body: ErrorBody::Text("later") };
    world.prometheus.set_faults(vec![Rule { when: When::always(), fault: status }]);
    let exporter = world.serve().await;
    let runs = format!("s3exporter_export_runs_total{{alias=\"{}\",outcome=\"failure\"}}", ALIAS);
    exporter.until_metric(&runs, 1.0).await;
    let asked = world.requests();
    exporter.until_metric(&runs, 2.0).await;
    assert_eq!(world.requests(), asked);
    assert!(exporter.get("/").await.1.contains("left alone"));
}

#[tokio::test]
async fn an_object_that_was_removed_is_fetched_again() {
    let world = world().await;
    world.export_all(&[]).await;
    let asked = world.requests();
    assert!(world.s3.delete(BUCKET, &world.key(ALIAS, 1, "a")));
    let plan = world.export_all(&["--plan"]).await;
    assert!(plan.stdout.contains("1 hour due") && plan.stdout.contains("1 query"), "{plan:?}");
    world.export_all(&[]).await;
    assert_eq!(world.requests(), asked + 1);
    world.verify_sealed(3);
}

/// An answer of 200 is no health.
#[tokio::test]
async fn an_hour_without_its_objects_is_not_healthy() {
    let world = world().await;
    world.prometheus.set_faults(vec![Rule { when: When::always(), fault: Fault::Html }]);
    let exporter = world.serve().await;
    let unhealthy = async |exporter: &crate::support::Exporter| (exporter.get("/health").await.0 == 503).then_some(());
    exporter.until("health tells that something is missing", unhealthy).await;
    let checked = crate::world::run(world.command(&["check", "--no-inventory"])).await;
    assert!(checked.code == Some(1) && checked.stdout.contains("FAIL  export endpoint"), "{checked:?}");
}

#[tokio::test]
async fn a_mark_is_told_at_the_end_although_the_hour_is_sealed() {
    let world = world().await;
    world.strike("a", Fault::Warnings(vec!["a store is down".into()]));
    let run = world.export_all(&["--recheck=0"]).await;
    assert!(run.stdout.contains("a store is down"), "{run:?}");
    let again = world.export_all(&["--recheck=0"]).await;
    assert!(again.stdout.contains("a store is down"), "{again:?}");
}

/// Perhaps it is misspelt.
#[tokio::test]
async fn a_metric_that_nobody_has_is_named() {
    let world = world().await;
    for _ in 0..2 {
        let run = world.export_all(&["--export-metrics=a,upp"]).await;
        assert!(run.stdout.contains("no series in any hour: upp\n"), "{run:?}");
    }
    assert!(!world.export_all(&["--export-metrics=a"]).await.stdout.contains("no series"));
}
