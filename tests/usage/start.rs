//! Before Kubernetes has answered, and when it no longer does: reports are taken in any case, and the health says what is known. (That a watch which
//! is silent for minutes is told needs a clock that can be set: see the tests of the index.)

use fakes::kube_api::{CLAIMS, NodeSpec, PodSpec, REPLICA_SETS};
use serde_json::{Value, json};

use crate::report::{post, report, some};
use crate::world::{World, drained, metric, until, until_health};

#[tokio::test]
async fn reports_are_taken_before_kubernetes_is_known_and_joined_afterwards() {
    let world = World::start().await;
    world.api.apply_node(&NodeSpec::new("node-1").cluster("prod"));
    world.api.apply_pod(&PodSpec::new("a", "web").uid("u-1").label("app", "web"));
    world.api.hang(true);
    let exporter = world.serve(&["--usage-roll-age=100ms"]).await;
    post(exporter.address, &report("node-1", &[some("u-1")])).await.taken();
    assert_eq!(exporter.get("/readyz").await.0, 200);
    let health = until_health(&exporter, 503).await;
    assert_eq!((&health["status"], &health["all_watchers_ready"]), (&json!("unhealthy"), &json!(false)));
    assert_eq!(health["watchers_initialized"], json!({ "nodes": false, "pods": false, "pvcs": false, "pvs": false }));
    assert!(world.objects().is_empty());
    // What was asked meanwhile stays unanswered, until it is given up and asked again.
    world.api.hang(false);
    world.api.stop_listening().await;
    world.api.resume().await;
    let health = until_health(&exporter, 200).await;
    assert_eq!((&health["status"], &health["all_watchers_ready"]), (&json!("healthy"), &json!(true)));
    drained(&exporter).await;
    assert_eq!(world.rows()[0]["labels"], json!(["app=web"]));
    assert!(world.tables().keys().all(|key| key.contains("cluster-name=prod/")));
}

/// A single watch that nobody allows keeps everything else waiting, and the health names it.
#[tokio::test]
async fn a_watch_that_is_not_allowed_is_named() {
    let world = World::start().await;
    world.api.forbid(CLAIMS, true);
    let exporter = world.serve(&["--usage-roll-age=100ms"]).await;
    let pvcs_alone =
        |health: &Value| health["watchers_initialized"] == json!({ "nodes": true, "pods": true, "pvcs": false, "pvs": true });
    exporter
        .until("all others are there", async |exporter| {
            let (status, text) = exporter.get("/health").await;
            (status == 503 && pvcs_alone(&serde_json::from_str(&text).unwrap())).then_some(())
        })
        .await;
    post(exporter.address, &report("node-1", &[some("a")])).await.taken();
    exporter
        .until("it is in the log", async |exporter| {
            exporter.log_lines().iter().any(|line| line.contains("403") || line.contains("forbidden")).then_some(())
        })
        .await;
    assert_eq!(metric(&exporter, "files_sealed_total").await, 0.0);
    world.api.forbid(CLAIMS, false);
    until_health(&exporter, 200).await;
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), 1);
}

/// Also those of which `watchers_initialized` does not tell.
#[tokio::test]
async fn owners_have_to_be_known_too() {
    let world = World::start().await;
    world.api.forbid(REPLICA_SETS, true);
    let exporter = world.serve(&["--usage-roll-age=100ms"]).await;
    post(exporter.address, &report("node-1", &[some("a")])).await.taken();
    until("the others are watched", || world.api.watches() >= 5).await;
    let health = until_health(&exporter, 503).await;
    assert_eq!(health["all_watchers_ready"], false, "{health}");
    world.api.forbid(REPLICA_SETS, false);
    until_health(&exporter, 200).await;
    drained(&exporter).await;
}

/// Kubernetes may be away: what is known of it is joined, and what is new is known when it is back.
#[tokio::test]
async fn kubernetes_may_be_away() {
    let world = World::start().await;
    world.api.apply_pod(&PodSpec::new("a", "web").uid("u-1").label("app", "web"));
    let exporter = world.ready(&["--usage-roll-age=100ms"]).await;
    world.api.stop_listening().await;
    post(exporter.address, &report("node-1", &[some("u-1")])).await.taken();
    drained(&exporter).await;
    assert_eq!(world.rows()[0]["labels"], json!(["app=web"]));
    world.api.apply_pod(&PodSpec::new("a", "new").uid("u-2").label("app", "new"));
    world.api.resume().await;
    exporter
        .until("the new pod is known", async |exporter| {
            post(exporter.address, &report("node-1", &[some("u-2")])).await.taken();
            drained(exporter).await;
            world.rows().iter().any(|row| row["labels"] == json!(["app=new"])).then_some(())
        })
        .await;
}
