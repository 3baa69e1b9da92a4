//! How much memory 150,000 pods take with all that is joined with them, and how long a batch of their reports takes. In a process of its own, since it is
//! the process that is measured.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the figures are of interest even where they are good enough; a test fails by it"
)]

use std::time::Duration;

use jiff::Timestamp;
use kube_s3_exporter::k8s::slim::{Claim, Node, Pod, ReplicaSet, Volume};
use kube_s3_exporter::usage::index::{Index, Indexed, Keep};
use kube_s3_exporter::usage::join::{Batches, Join};
use kube_s3_exporter::usage::report::{PodUsage, Report};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const PODS: usize = 150_000;
const PODS_OF_A_NODE: usize = 110;
const NOW: Timestamp = Timestamp::UNIX_EPOCH;
/// Bytes, of which a pod without labels and annotations takes less.
const MOST_OF_A_POD: usize = 600;
/// Bytes, of which everything together takes less, also while it is listed again.
const MOST: usize = 220 << 20;
/// A row itself has 88 bytes, of which a growing list may have room for as many again; the rest are facts, each of which only seven rows share here.
const MOST_OF_A_ROW: usize = 180;
const ROWS: usize = 1_000_000;

#[test]
fn all_pods_of_a_large_cluster_fit() {
    drop(pod(1, true, 0));
    let start = status("VmRSS");
    let mut index = Index::new(Duration::from_secs(480), Keep::default());
    list(&mut index, (0..PODS).map(|number| pod(number, false, 0)));
    let bare = status("VmRSS") - start;
    list(&mut index, (0..PODS).map(|number| pod(number, true, 0)));
    let pods = status("VmRSS") - start;
    list(&mut index, (0..PODS).map(claim));
    list(&mut index, (0..PODS).map(volume));
    list(&mut index, (0..PODS / 10).map(replica_set));
    list(&mut index, (0..=PODS / PODS_OF_A_NODE).map(node));
    let settled = status("VmRSS") - start;
    // Every pod changes one of its annotations.
    list(&mut index, (0..PODS).map(|number| pod(number, true, 1)));
    let peak = status("VmHWM") - start;
    println!("{PODS} pods: {} bytes for each, {} with labels and annotations", bare / PODS, pods / PODS);
    println!(
        "with claims, volumes, owners and nodes {} MiB, at most {} MiB while pods are listed again",
        settled >> 20,
        peak >> 20
    );
    assert_eq!((index.known::<Pod>(), index.known::<Claim>()), (PODS, PODS));
    assert!(bare / PODS < MOST_OF_A_POD && peak < MOST, "{bare} {settled} {peak}");

    let before = status("VmRSS");
    let (mut batches, mut took) = (Batches::default(), Duration::ZERO);
    for number in 0..ROWS / PODS_OF_A_NODE {
        let report = report(number);
        let start = cpu();
        batches.add(&Join::new(&index, None), report);
        took += cpu() - start;
    }
    let counts = batches.counts();
    let rows = usize::try_from(counts.matched).unwrap();
    let each = (status("VmRSS") - before) / rows;
    println!("{rows} rows of {PODS} pods joined in {} ms of CPU, {each} bytes a row with all facts", took.as_millis());
    assert_eq!((rows, counts.unmatched), (ROWS / PODS_OF_A_NODE * PODS_OF_A_NODE, 0));
    let pods: usize = batches.finish().iter().map(|(_, batch)| batch.pods.len()).sum();
    assert_eq!(pods, PODS / PODS_OF_A_NODE * PODS_OF_A_NODE);
    assert!(each < MOST_OF_A_ROW, "{each}");
}

/// A list of all objects of a kind, as a watch gives them.
fn list<B: Indexed>(index: &mut Index, objects: impl Iterator<Item = B>) {
    index.begin_list::<B>();
    objects.for_each(|object| index.listed(object));
    index.end_list::<B>(NOW);
}

fn read<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn uid(number: usize) -> String {
    format!("0c1d2e3f-0000-4000-8000-{number:012x}")
}

fn names(number: usize) -> (String, String) {
    let workload = number / 10;
    (format!("team-{:03}-production", workload / 50), format!("payment-gateway-{workload:05}-7d9f8b6c5d-{number:05x}"))
}

fn node_name(number: usize) -> String {
    format!("ip-10-{}-{}.eu-central-1.compute.internal", number / 250, number % 250)
}

/// A pod as clusters have them: ten to a workload; two of its annotations are its own, and all else is that of its workload.
fn pod(number: usize, described: bool, round: usize) -> Pod {
    let (workload, (namespace, name)) = (number / 10, names(number));
    let application = format!("payment-gateway-{workload:05}");
    let mut meta = json!({
        "name": name, "namespace": namespace, "uid": uid(number), "resourceVersion": number.to_string(),
        "ownerReferences": [{
            "kind": "ReplicaSet", "name": format!("{application}-7d9f8b6c5d"), "uid": uid(1_000_000 + workload), "controller": true,
        }],
    });
    if described {
        meta["labels"] = json!({
            "app.kubernetes.io/name": application, "app.kubernetes.io/instance": application, "app.kubernetes.io/version": "1.27.3",
            "app.kubernetes.io/component": "backend", "app.kubernetes.io/part-of": "payments", "app.kubernetes.io/managed-by": "Helm",
            "pod-template-hash": "7d9f8b6c5d", "team": format!("team-{:03}", workload / 50),
        });
        meta["annotations"] = json!({
            "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "checksum/config": format!("{workload:064x}"),
            "cni.projectcalico.org/podIP": format!("10.{round}.{}.{}/32", number >> 8, number & 255),
            "cni.projectcalico.org/containerID": format!("{number:064x}"),
            "kubectl.kubernetes.io/last-applied-configuration": "{}".repeat(500),
        });
    }
    read(json!({
        "metadata": meta,
        "spec": {
            "nodeName": node_name(number / PODS_OF_A_NODE),
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{name}")}}],
        },
        "status": {"phase": "Running", "startTime": "2026-01-01T00:00:05Z"},
    }))
}

fn claim(number: usize) -> Claim {
    let (namespace, name) = names(number);
    read(json!({
        "metadata": {"name": format!("data-{name}"), "namespace": namespace, "uid": uid(2_000_000 + number)},
        "spec": {"volumeName": format!("pvc-{}", uid(2_000_000 + number)), "storageClassName": "gp3"},
        "status": {"capacity": {"storage": "20Gi"}},
    }))
}

fn volume(number: usize) -> Volume {
    read(json!({
        "metadata": {"name": format!("pvc-{}", uid(2_000_000 + number)), "uid": uid(3_000_000 + number)},
        "spec": {"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": format!("vol-{number:017x}")}},
    }))
}

fn replica_set(number: usize) -> ReplicaSet {
    let application = format!("payment-gateway-{number:05}");
    read(json!({"metadata": {
        "name": format!("{application}-7d9f8b6c5d"), "namespace": names(number * 10).0, "uid": uid(1_000_000 + number),
        "ownerReferences": [{"kind": "Deployment", "name": application, "uid": uid(4_000_000 + number), "controller": true}],
    }}))
}

fn node(number: usize) -> Node {
    read(json!({
        "metadata": {"name": node_name(number), "uid": uid(5_000_000 + number), "labels": {"node.kubernetes.io/instance-type": "m7i.4xlarge"}},
        "spec": {"providerID": format!("aws:///eu-central-1a/i-{number:017x}")},
        "status": {"capacity": {"cpu": "16", "memory": "65Gi"}},
    }))
}

/// Reports of one node after the other, and again of the first.
fn report(number: usize) -> Report {
    let node = number % (PODS / PODS_OF_A_NODE);
    let usage = |place: usize| {
        let pod = node * PODS_OF_A_NODE + place;
        let (namespace, name) = names(pod);
        PodUsage {
            pod_id: uid(pod),
            namespace,
            name,
            cpu_usage_cores: Some(0.25),
            memory_usage_bytes: Some(1 << 28),
            pod_start_time: Some("2026-01-01T00:00:05Z".into()),
            ..PodUsage::default()
        }
    };
    Report {
        timestamp: "2026-11-21T12:00:00Z".into(),
        collected_at: 1_795_262_400_000_000,
        node_name: node_name(node),
        pods: (0..PODS_OF_A_NODE).map(usage).collect(),
        ..Report::default()
    }
}

/// How long this thread has had a processor, which does not count what else a busy machine does.
fn cpu() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(statistics.split(' ').next().unwrap().parse().unwrap())
}

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kibibytes: usize = line.trim_start_matches(':').trim_end_matches("kB").trim().parse().unwrap();
    kibibytes * 1024
}
