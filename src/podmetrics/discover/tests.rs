//! Against a fake API server that pages, expires, breaks and goes away.

use std::time::Duration;

use fakes::kube_api::KubeApi;
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::k8s;
use crate::podmetrics::target::{DEFAULT_PREFIX, IpFamily};

const PODS: &str = "/api/v1/pods";

struct World {
    kube: KubeApi,
    discovery: Discovery,
    registry: Registry,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl World {
    async fn new(kube: KubeApi, namespaces: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = k8s::config(Some(&kube.kubeconfig(folder.path()))).await.unwrap();
        let (registry, stop) = (Registry::new(), CancellationToken::new());
        let metrics = WatchMetrics::register(&registry).unwrap();
        let rules = Rules::new(DEFAULT_PREFIX, IpFamily::Any).unwrap();
        let namespaces: Vec<String> = namespaces.iter().map(|&namespace| namespace.to_owned()).collect();
        let (discovery, watches) = discover(&config, rules, &namespaces, &metrics, &Clock::system(), &stop).unwrap();
        let mut tasks = JoinSet::new();
        for (_, watch) in watches {
            tasks.spawn(watch);
        }
        Self { kube, discovery, registry, stop, tasks }
    }

    /// Waits until the pods of a job are these, as `NAMESPACE/NAME`.
    async fn until(&self, job: &str, expected: &[&str]) {
        let names = || -> Vec<String> {
            let pods = self.discovery.job(job).map(|job| job.pods).unwrap_or_default();
            pods.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect()
        };
        self.until_true(|| names() == expected, || format!("{:?} instead of {expected:?}", names())).await;
    }

    async fn until_true(&self, mut reached: impl FnMut() -> bool, what: impl Fn() -> String) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(20);
        while !reached() {
            assert!(tokio::time::Instant::now() < patience, "{}", what());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    async fn until_error(&self, reason: &str) {
        let series = format!("s3exporter_watch_errors_total{{reason=\"{reason}\",resource=\"pods\"}}");
        self.until_true(|| self.metric(&series) > Some(0.0), || format!("no {series}")).await;
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

/// A running pod as the API has it, with much that nobody here needs.
fn pod(namespace: &str, name: &str, job: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": namespace, "labels": {format!("{DEFAULT_PREFIX}job-name"): job, "app": name},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}".repeat(2_000)},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "hostIP": "192.168.0.1"},
    })
}

#[tokio::test]
async fn pods_are_listed_in_pages_and_then_watched() {
    let kube = KubeApi::start().await;
    kube.set_page_size(2);
    for name in ["a", "b", "c", "d", "e"] {
        kube.apply(PODS, pod("shop", name, "web"));
    }
    kube.apply(PODS, json!({"metadata": {"name": "without", "namespace": "shop"}}));
    let world = World::new(kube, &[]).await;
    world.until("web", &["shop/a", "shop/b", "shop/c", "shop/d", "shop/e"]).await;
    world.until_true(|| world.discovery.synced(), || "not synced".to_owned()).await;
    world.kube.wait_for_watches(1).await;
    world.kube.apply(PODS, pod("blog", "z", "web"));
    world.kube.apply(PODS, pod("shop", "a", "moved"));
    assert!(world.kube.delete(PODS, "b", Some("shop")));
    let mut pending = pod("shop", "c", "web");
    pending["status"] = json!({"phase": "Pending"});
    world.kube.apply(PODS, pending);
    world.until("web", &["blog/z", "shop/d", "shop/e"]).await;
    world.until("moved", &["shop/a"]).await;
    let counts = world.discovery.counts();
    assert_eq!((counts.scrapable, counts.waiting), (4, 1));
    assert_eq!(world.metric("s3exporter_watch_objects{resource=\"pods\"}"), Some(5.0));
    assert_eq!(world.metric("s3exporter_watch_synced{resource=\"pods\"}"), Some(1.0));
    assert!(world.discovery.last_contact().unwrap() > Timestamp::now() - SignedDuration::from_secs(60));
    // The server chooses the pods, and sends them in pages.
    let asked = world.kube.requests();
    assert!(asked.iter().all(|request| request.path_and_query.contains("labelSelector=metrics-aggregator.apawel.me%2Fjob-name")));
    assert_eq!(asked.iter().filter(|request| request.path_and_query.contains("limit=500")).count(), 3);
    world.end().await;
}

#[tokio::test]
async fn an_expired_watch_lists_again_and_drops_what_went_meanwhile() {
    let kube = KubeApi::start().await;
    ["a", "b"].iter().for_each(|name| kube.apply(PODS, pod("shop", name, "web")));
    let world = World::new(kube, &[]).await;
    world.until("web", &["shop/a", "shop/b"]).await;
    world.kube.wait_for_watches(1).await;
    world.kube.stop_listening().await;
    world.until_error("connection").await;
    assert!(world.kube.delete(PODS, "a", Some("shop")));
    world.kube.apply(PODS, pod("shop", "c", "web"));
    world.kube.expire_watches();
    assert_eq!(world.discovery.job("web").unwrap().pods.len(), 2);
    world.kube.resume().await;
    world.until("web", &["shop/b", "shop/c"]).await;
    assert!(world.metric("s3exporter_watch_errors_total{reason=\"expired\",resource=\"pods\"}") > Some(0.0));
    world.end().await;
}

#[tokio::test]
async fn a_broken_watch_goes_on_where_it_was() {
    let kube = KubeApi::start().await;
    kube.apply(PODS, pod("shop", "a", "web"));
    let world = World::new(kube, &[]).await;
    world.until("web", &["shop/a"]).await;
    world.kube.wait_for_watches(1).await;
    world.kube.break_watches();
    assert!(world.kube.delete(PODS, "a", Some("shop")));
    world.kube.apply(PODS, pod("shop", "b", "web"));
    world.until("web", &["shop/b"]).await;
    world.end().await;
}

#[tokio::test]
async fn the_last_known_pods_stay_while_the_api_is_away() {
    let kube = KubeApi::start().await;
    kube.apply(PODS, pod("shop", "a", "web"));
    let world = World::new(kube, &[]).await;
    world.until("web", &["shop/a"]).await;
    world.kube.wait_for_watches(1).await;
    world.kube.stop_listening().await;
    world.until_error("connection").await;
    let contact = world.discovery.last_contact().unwrap();
    assert!(world.discovery.synced() && world.discovery.job("web").unwrap().pods.len() == 1);
    world.kube.apply(PODS, pod("shop", "b", "web"));
    world.kube.resume().await;
    world.until("web", &["shop/a", "shop/b"]).await;
    assert!(world.discovery.last_contact().unwrap() > contact);
    world.end().await;
}

#[tokio::test]
async fn a_list_that_has_begun_and_is_refused_takes_nothing_away() {
    let kube = KubeApi::start().await;
    kube.apply(PODS, pod("shop", "a", "web"));
    let world = World::new(kube, &[]).await;
    world.until("web", &["shop/a"]).await;
    world.kube.wait_for_watches(1).await;
    world.kube.fail_with(403, Some(1));
    world.kube.expire_watches();
    world.until_error("access_denied").await;
    assert!(world.discovery.synced() && world.discovery.job("web").unwrap().pods.len() == 1);
    assert!(world.kube.delete(PODS, "a", Some("shop")));
    world.until_true(|| world.discovery.jobs().is_empty(), || "the pod is still there".to_owned()).await;
    world.end().await;
}

#[tokio::test]
async fn named_namespaces_are_watched_alone() {
    let kube = KubeApi::start().await;
    for namespace in ["blog", "secret", "shop"] {
        kube.apply(PODS, pod(namespace, "a", "web"));
    }
    let world = World::new(kube, &["shop", "blog", "shop"]).await;
    world.until("web", &["blog/a", "shop/a"]).await;
    world.until_true(|| world.discovery.synced(), || "not synced".to_owned()).await;
    world.kube.wait_for_watches(2).await;
    world.kube.apply(PODS, pod("secret", "b", "web"));
    world.kube.apply(PODS, pod("shop", "b", "web"));
    world.until("web", &["blog/a", "shop/a", "shop/b"]).await;
    assert_eq!(world.metric("s3exporter_watch_objects{resource=\"pods/shop\"}"), Some(2.0));
    assert_eq!(world.metric("s3exporter_watch_objects{resource=\"pods/blog\"}"), Some(1.0));
    let asked = world.kube.requests();
    assert!(asked.iter().all(|request| request.path_and_query.starts_with("/api/v1/namespaces/")));
    world.end().await;
}

#[tokio::test]
async fn before_the_first_list_nothing_is_taken_for_known() {
    let kube = KubeApi::start().await;
    kube.hang(true);
    let world = World::new(kube, &[]).await;
    assert!(!world.discovery.synced() && world.discovery.last_contact().is_none() && world.discovery.jobs().is_empty());
    assert_eq!(world.metric("s3exporter_watch_synced{resource=\"pods\"}"), Some(0.0));
    world.end().await;
}

#[tokio::test]
async fn whether_pods_can_be_listed_can_be_tried() {
    let kube = KubeApi::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = k8s::config(Some(&kube.kubeconfig(folder.path()))).await.unwrap();
    let scope = PodScope { namespace: Some("shop".into()), selector: "a/job-name".into() };
    k8s::check_pods(config.clone(), &scope).await.unwrap();
    kube.fail_with(403, None);
    let error = k8s::check_pods(config, &scope).await.unwrap_err().to_string();
    assert!(error.contains("this failure was asked for"), "{error}");
}
