//! Cluster names from a Kubernetes API that pages, watches, expires, breaks, hangs and comes back.

use fakes::kube_api::{CLUSTERS, KubeApi};
use fakes::s3_pages::{Explicit, S3Pages};

use crate::support::Exporter;

struct World {
    s3: S3Pages,
    kube: KubeApi,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let s3 = S3Pages::start(Explicit::keys(["a-1", "a-b-1", "a-b-2", "c-1"])).await;
        Self { s3, kube: KubeApi::start().await, folder: tempfile::tempdir().unwrap() }
    }

    async fn exporter(&self) -> Exporter {
        let endpoint = format!("-endpoint={}", self.s3.endpoint());
        let kubeconfig = format!("-kubeconfig={}", self.kube.kubeconfig(self.folder.path()).display());
        Exporter::start(&[&endpoint, &kubeconfig, "-bucket=b", "--anonymous"]).await
    }
}

fn objects(cluster: &str) -> String {
    format!("kubermatic_s3_object_count{{cluster=\"{cluster}\"}}")
}

fn errors(reason: &str) -> String {
    format!("s3exporter_watch_errors_total{{reason=\"{reason}\",resource=\"clusters\"}}")
}

async fn until_gone(exporter: &Exporter, cluster: &str) {
    let series = objects(cluster);
    exporter
        .until(&format!("{cluster} is gone"), async |exporter: &Exporter| {
            exporter.metrics().await.value(&series).is_none().then_some(())
        })
        .await;
}

async fn until_error(exporter: &Exporter, reason: &str) {
    let series = errors(reason);
    exporter
        .until(&format!("{reason} is counted"), async |exporter: &Exporter| {
            (exporter.metrics().await.value(&series)? > 0.0).then_some(())
        })
        .await;
}

#[tokio::test]
async fn clusters_come_and_go_with_the_watch() {
    let world = World::new().await;
    world.kube.set_page_size(1);
    ["a", "c", "never"].iter().for_each(|name| world.kube.apply_cluster(name));
    let exporter = world.exporter().await;
    let metrics = exporter.until_metric(&objects("a"), 3.0).await;
    assert_eq!(metrics.value(&objects("never")), Some(0.0));
    assert_eq!(metrics.value("kubermatic_s3_object_last_modified_time_seconds{cluster=\"never\"}"), Some(0.0));
    assert_eq!(metrics.value("s3exporter_watch_objects{resource=\"clusters\"}"), Some(3.0));
    assert_eq!(metrics.value("s3exporter_watch_synced{resource=\"clusters\"}"), Some(1.0));
    assert!(metrics.value("s3exporter_watch_last_contact_timestamp_seconds{resource=\"clusters\"}").unwrap() > 1.7e9);

    world.kube.wait_for_watches(1).await;
    world.kube.apply_cluster("a-b");
    let metrics = exporter.until_metric(&objects("a-b"), 2.0).await;
    assert_eq!(metrics.value(&objects("a")), Some(1.0));
    assert!(world.kube.delete_cluster("never"));
    until_gone(&exporter, "never").await;
    // Only metadata is asked for: clusters are large, and their names are all that is needed.
    let asked = world.kube.requests();
    assert!(
        asked
            .iter()
            .filter(|request| request.path_and_query.starts_with(CLUSTERS))
            .all(|request| request.accept.contains("PartialObjectMetadata"))
    );
}

#[tokio::test]
async fn an_expired_watch_and_a_broken_one_start_again() {
    let world = World::new().await;
    world.kube.apply_cluster("a");
    let exporter = world.exporter().await;
    exporter.until_metric(&objects("a"), 3.0).await;
    world.kube.wait_for_watches(1).await;
    world.kube.send_bookmarks();
    world.kube.expire_watches();
    world.kube.apply_cluster("a-b");
    exporter.until_metric(&objects("a-b"), 2.0).await;
    world.kube.wait_for_watches(1).await;
    world.kube.break_watches();
    world.kube.delete_cluster("a-b");
    world.kube.apply_cluster("c");
    exporter.until_metric(&objects("c"), 1.0).await;
    until_gone(&exporter, "a-b").await;
}

#[tokio::test]
async fn an_absent_crd_is_told_until_it_is_there() {
    let world = World::new().await;
    world.kube.absent(CLUSTERS, true);
    let exporter = world.exporter().await;
    until_error(&exporter, "not_found").await;
    let metrics = exporter.metrics().await;
    assert_eq!(metrics.value("s3exporter_watch_synced{resource=\"clusters\"}"), Some(0.0));
    assert!(exporter.log_lines().iter().any(|line| line.contains("\"reason\":\"not_found\"")));
    world.kube.absent(CLUSTERS, false);
    world.kube.apply_cluster("a");
    exporter.until_metric(&objects("a"), 3.0).await;
}

#[tokio::test]
async fn without_names_nothing_is_published() {
    let world = World::new().await;
    world.kube.fail_with(403, None);
    let exporter = world.exporter().await;
    until_error(&exporter, "access_denied").await;
    let unknown = "s3exporter_scan_errors_total{bucket=\"b\",reason=\"clusters_unknown\"}";
    let metrics = exporter.until_metric(unknown, 1.0).await;
    assert_eq!(metrics.value("kubermatic_s3_query_success"), Some(0.0));
    assert!(!metrics.0.contains("\ns3exporter_inventory_orphan_objects"));
    world.kube.clear_failures();
    world.kube.apply_cluster("a");
    exporter.until_metric(&objects("a"), 3.0).await;
}

#[tokio::test]
async fn known_names_outlive_the_api() {
    let world = World::new().await;
    world.kube.apply_cluster("a");
    let exporter = world.exporter().await;
    exporter.until_metric(&objects("a"), 3.0).await;
    world.kube.stop_listening().await;
    world.kube.break_watches();
    until_error(&exporter, "connection").await;
    let metrics = exporter.until_scanned_again("b").await;
    assert_eq!(metrics.value(&objects("a")), Some(3.0));
    world.kube.apply_cluster("c");
    world.kube.resume().await;
    exporter.until_metric(&objects("c"), 1.0).await;
}

#[tokio::test]
async fn garbage_and_server_errors_are_survived() {
    let world = World::new().await;
    world.kube.apply_cluster("a");
    world.kube.garbage(true);
    let exporter = world.exporter().await;
    until_error(&exporter, "connection").await;
    world.kube.garbage(false);
    world.kube.fail_with(500, Some(2));
    exporter.until_metric(&objects("a"), 3.0).await;
}

/// The watch goes silent, and new requests are never answered: the names stay, the contact stops, and all is well when the API is.
#[tokio::test]
async fn an_api_that_hangs_is_left_and_found_again() {
    let world = World::new().await;
    world.kube.apply_cluster("a");
    let exporter = world.exporter().await;
    exporter.until_metric(&objects("a"), 3.0).await;
    world.kube.wait_for_watches(1).await;
    world.kube.hang(true);
    world.kube.apply_cluster("c");
    let metrics = exporter.until_scanned_again("b").await;
    assert_eq!(metrics.value(&objects("a")), Some(3.0));
    assert!(metrics.value(&objects("c")).is_none());
    world.kube.hang(false);
    exporter.until_metric(&objects("c"), 1.0).await;
}

/// Waits of at least 0.5, 1, 2 and 4 s lie between five errors; without a growing back-off it would be over sooner.
#[tokio::test]
async fn an_api_that_fails_is_asked_less_and_less() {
    let world = World::new().await;
    world.kube.fail_with(500, None);
    let exporter = world.exporter().await;
    exporter.until_metric(&errors("server_error"), 1.0).await;
    let start = std::time::Instant::now();
    exporter.until_metric(&errors("server_error"), 5.0).await;
    assert!(start.elapsed() > std::time::Duration::from_secs(7), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_token_from_the_kubeconfig_is_sent() {
    let world = World::new().await;
    world.kube.require_token("the-token");
    world.kube.apply_cluster("a");
    let exporter = world.exporter().await;
    exporter.until_metric(&objects("a"), 3.0).await;
}
