//! Against a fake API server with a whole cluster in it.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use fakes::kube_api::{CLAIMS, KubeApi, NAMESPACES, NODES, PODS, PodSpec, Population, REPLICA_SETS};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::k8s;
use crate::usage::join::{Batches, Counts, Join};
use crate::usage::report::{PodUsage, Report};

const RETENTION: Duration = Duration::from_secs(480);

struct World {
    api: KubeApi,
    kube: Config,
    indexes: Indexes,
    /// Seconds that the clock is ahead.
    ahead: Arc<AtomicI64>,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl World {
    async fn new(api: KubeApi, logged: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kube = k8s::config(Some(&api.kubeconfig(folder.path()))).await.unwrap();
        let (ahead, stop) = (Arc::new(AtomicI64::new(0)), CancellationToken::new());
        let seconds = Arc::clone(&ahead);
        let clock = Clock::from_fn(move || Timestamp::now() + SignedDuration::from_secs(seconds.load(Ordering::Relaxed)));
        let metrics = WatchMetrics::register(&Registry::new()).unwrap();
        let (indexes, watches) = watch(&kube, RETENTION, Keep::default(), &metrics, &clock, logged, &stop).unwrap();
        let mut tasks = JoinSet::new();
        for (_, task) in watches {
            tasks.spawn(task);
        }
        Self { api, kube, indexes, ahead, stop, tasks }
    }

    async fn synced(population: &Population) -> Self {
        let api = KubeApi::start().await;
        api.set_page_size(7);
        api.populate(population);
        let world = Self::new(api, false).await;
        patient(world.wait_until_synced()).await;
        world.api.wait_for_watches(7).await;
        world
    }

    async fn wait_until_synced(&self) {
        while !self.indexes.all_synced() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn joined(&self, reports: impl IntoIterator<Item = Report>) -> (Counts, Vec<crate::usage::facts::Batch>) {
        let mut batches = Batches::default();
        for report in reports {
            self.indexes.read(|index| batches.add(&Join::new(index, None), report));
        }
        (batches.counts(), batches.finish().into_iter().map(|(_, batch)| batch).collect())
    }

    async fn until(&self, reached: impl Fn(&Index) -> bool) {
        patient(async {
            while !self.indexes.read(&reached) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

async fn patient<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it takes too long")
}

fn report(population: &Population, node: usize) -> Report {
    let sent = population.report(node, "2026-01-01T00:00:30Z", 0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let usage = |pod: &Value| PodUsage {
        pod_id: text(&pod["pod_id"]),
        namespace: text(&pod["namespace"]),
        name: text(&pod["name"]),
        ..PodUsage::default()
    };
    Report {
        node_name: text(&sent["node_name"]),
        collected_at: 1_767_225_630_000_000,
        pods: sent["pods"].as_array().unwrap().iter().map(usage).collect(),
        ..Report::default()
    }
}

#[tokio::test]
async fn a_cluster_is_listed_and_its_reports_are_joined() {
    let population = Population::new(4, 20);
    let world = World::synced(&population).await;
    assert!(world.indexes.all_synced() && world.indexes.problem().is_none());
    let (counts, batches) = world.joined((0..4).map(|node| report(&population, node)));
    assert_eq!(counts, Counts { matched: 80, unmatched: 0 });
    let [batch] = batches.as_slice() else { panic!("one cluster and one day") };
    assert!(batch.reports.iter().all(|report| &*report.cluster_id == "demo" && report.cluster_uid.is_some()));
    assert!(batch.reports.iter().all(|report| report.ec2_instance_id.is_some() && report.node.zone.is_some()));
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    for pod in &batch.pods {
        let known = pod.known.as_ref().unwrap();
        *kinds.entry(known.workload_kind.as_deref().unwrap()).or_default() += 1;
        let stateful = known.workload_kind.as_deref() == Some("StatefulSet");
        assert_eq!(known.claims.aws_volume_ids.len(), usize::from(stateful), "{}", pod.pod_name);
        assert_eq!(known.claims.storage_bytes, if stateful { 20 << 30 } else { 0 });
        assert_eq!((known.requests.cpu_millicores, known.limits.memory_bytes), (250, 1 << 30));
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [("CronJob", 8), ("DaemonSet", 8), ("Deployment", 48), ("Node", 4), ("StatefulSet", 12)]
    );
    // Of controllers and the namespace only metadata is asked for, and of the namespaces only the one.
    for request in world.api.requests() {
        let path = request.path_and_query.as_str();
        let slim = ["/replicasets?", "/jobs?", "/namespaces?"].iter().any(|kind| path.contains(kind));
        assert_eq!(request.accept.contains("PartialObjectMetadata"), slim, "{path}");
        assert!(!path.contains("/namespaces?") || path.contains("fieldSelector=metadata.name%3Dkube-system"), "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_goes_is_still_joined_until_its_time_is_over() {
    let population = Population::new(1, 20);
    let world = World::synced(&population).await;
    let sent = report(&population, 0);
    let (_, before) = world.joined([sent.clone()]);
    // Some by the watch, others by a list that does not have them.
    for (place, pod) in sent.pods.iter().enumerate() {
        if place % 2 == 0 {
            assert!(world.api.delete_pod(&pod.namespace, &pod.name));
        } else {
            assert!(world.api.delete_pod_silently(&pod.namespace, &pod.name));
        }
    }
    assert!(world.api.delete(NODES, &Population::node_name(0), None));
    for pod in before[0].pods.iter().filter_map(|pod| Some((pod, pod.known.as_ref()?))) {
        for claim in &pod.1.claims.names {
            assert!(world.api.delete(CLAIMS, claim, Some(&pod.0.namespace)));
        }
        if pod.1.workload_kind.as_deref() == Some("Deployment") {
            world.api.delete(REPLICA_SETS, pod.1.owner.as_deref().unwrap(), Some(&pod.0.namespace));
        }
    }
    world.api.expire_watches();
    let all_gone =
        |index: &Index| index.known::<Pod>() + index.known::<Node>() + index.known::<Claim>() + index.known::<ReplicaSet>() == 0;
    world.until(all_gone).await;
    let (counts, after) = world.joined([sent.clone()]);
    assert_eq!(counts, Counts { matched: 20, unmatched: 0 });
    assert_eq!(after[0].pods, before[0].pods);
    assert_eq!(after[0].reports, before[0].reports);
    // By no clock that somebody can set.
    tokio::time::pause();
    tokio::time::advance(RETENTION + Duration::from_secs(1)).await;
    tokio::time::resume();
    world.api.apply_pod(&PodSpec::new("shop", "another"));
    world.until(|index| index.known::<Pod>() == 1).await;
    assert_eq!(world.joined([sent]).0, Counts { matched: 0, unmatched: 20 });
    world.end().await;
}

#[tokio::test]
async fn a_kind_that_may_not_be_listed_is_named() {
    let api = KubeApi::start().await;
    api.populate(&Population::new(1, 20));
    api.forbid(NAMESPACES, true);
    let world = World::new(api, false).await;
    let expected = Synced { namespaces: false, ..all() };
    patient(world.indexes.synced.clone().wait_for(|synced| *synced == expected)).await.unwrap();
    assert!(!world.indexes.all_synced());
    assert_eq!(world.indexes.problem().as_deref(), Some("not listed yet: namespaces"));
    let lines = check(&world.kube).await;
    assert_eq!((lines.len(), lines.iter().filter(|line| line.is_ok()).count()), (7, 6));
    let refused = lines[6].as_ref().unwrap_err();
    assert!(refused.contains("kube-system") && refused.contains("forbidden"), "{refused}");
    world.api.forbid(NAMESPACES, false);
    patient(world.wait_until_synced()).await;
    assert!(world.indexes.problem().is_none() && check(&world.kube).await.iter().all(Result::is_ok));
    world.end().await;
}

fn all() -> Synced {
    Synced { nodes: true, pods: true, pvcs: true, pvs: true, replica_sets: true, jobs: true, namespaces: true }
}

#[tokio::test]
async fn watches_that_are_not_answered_any_more_are_stale() {
    let world = World::synced(&Population::new(1, 1)).await;
    assert!(world.indexes.watches().iter().all(|watch| watch.synced && !watch.stale && watch.last_contact.is_some()));
    world.ahead.store(290, Ordering::Relaxed);
    assert_eq!(world.indexes.problem(), None);
    world.ahead.store(400, Ordering::Relaxed);
    let problem = world.indexes.problem().unwrap();
    assert!(problem.contains("does not answer for: nodes, pods, persistentvolumeclaims"), "{problem}");
    world.end().await;
}

/// The log as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn all_that_the_api_says_can_be_logged_without_what_is_secret() {
    let api = KubeApi::start().await;
    let pod = |name: &str| {
        let env = json!([{"name": "PASSWORD", "value": "hunter2"}]);
        let annotations = json!({k8s::LAST_APPLIED: "hunter2", "shown": "yes"});
        json!({
            "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
            "spec": {"containers": [{"name": "c", "env": env}], "initContainers": [{"name": "i", "env": env}]},
        })
    };
    api.apply(PODS, pod("listed"));
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new(api, true).await;
    patient(world.wait_until_synced()).await;
    world.api.wait_for_watches(7).await;
    world.api.apply(PODS, pod("watched"));
    world.until(|index| index.known::<Pod>() == 2).await;
    world.end().await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let line = |parts: &[&str]| text.lines().any(|line| line.contains("k8s_api") && parts.iter().all(|part| line.contains(part)));
    assert!(line(&["request", "GET", "/api/v1/pods?", "status=200"]), "{text}");
    assert!(line(&["watch event", "usage/pods", "LISTED", "\"name\":\"listed\"", "\"shown\":\"yes\"", "(blanked)"]), "{text}");
    assert!(line(&["index change", "usage/pods", "APPLIED", "watched", "before=1", "known=2"]), "{text}");
    assert!(line(&["watch event", "usage/namespaces", "INIT"]), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_makes_nothing_go_sooner_or_later() {
    let wall = Arc::new(AtomicI64::new(1_000_000));
    let clock = Clock::from_fn({
        let wall = Arc::clone(&wall);
        move || Timestamp::from_second(wall.load(Ordering::Relaxed)).unwrap()
    });
    let index = Arc::new(RwLock::new(Index::new(Duration::from_secs(480), Keep::default())));
    let (sender, _synced) = tokio::sync::watch::channel(Synced::default());
    let writer = Writer { index, synced: Arc::new(sender), began: (clock.now(), Instant::now()), clock };
    let mut feed: IndexFeed<Pod> = IndexFeed { writer: writer.clone(), kind: PhantomData };
    let pod = || serde_json::from_value::<Pod>(json!({"metadata": {"uid": "u", "name": "a", "namespace": "n"}})).unwrap();
    let is_known = || {
        writer.write(Index::sweep);
        writer.read(|index| index.pod("u").is_some())
    };
    feed.apply(pod());
    feed.delete(pod());
    for second in [2_000_000, 0] {
        wall.store(second, Ordering::Relaxed);
        assert!(is_known(), "{second}");
    }
    tokio::time::advance(Duration::from_secs(479)).await;
    assert!(is_known());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!is_known());
}
