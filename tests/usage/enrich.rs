//! What Kubernetes knows, joined through its real watch.

use std::collections::BTreeMap;

use fakes::kube_api::{CLAIMS, ClaimSpec, Container, NodeSpec, OwnerSpec, PodSpec, REPLICA_SETS, VOLUMES, VolumeSpec};
use serde_json::{Value, json};

use crate::report::{Sender, post, report, some, usage};
use crate::support::Exporter;
use crate::table::{Row, text};
use crate::world::{CLUSTER_UID, World, drained, metric};

/// Reports pods of `node-1` and gives their rows.
async fn joined(world: &World, exporter: &Exporter, pods: &[Value]) -> BTreeMap<String, Row> {
    post(exporter.address, &report("node-1", pods)).await.taken();
    drained(exporter).await;
    world.rows_by_pod()
}

/// Some columns of a row.
fn columns(row: &Row, names: &[&str]) -> Value {
    names.iter().map(|name| row[*name].clone()).collect()
}

#[tokio::test]
async fn a_row_has_all_that_is_known() {
    let world = World::start().await;
    let api = &world.api;
    let node = NodeSpec::new("node-1")
        .cluster("prod")
        .label("node.kubernetes.io/instance-type", "m7i.2xlarge")
        .label("topology.kubernetes.io/zone", "eu-central-1a")
        .label("karpenter.sh/capacity-type", "spot")
        .capacity("cpu", "7910m")
        .capacity("memory", "31Gi")
        .provider_id("aws:///eu-central-1a/i-0f1e2d3c4b5a69788");
    api.apply_node(&node);
    api.apply_owner(&OwnerSpec::replica_set("shop", "cart-6c9f7d5b8").owner("Deployment", "cart"));
    api.apply_volume(&VolumeSpec::csi("pv-1", "ebs.csi.aws.com", "vol-0a").capacity("2Ti"));
    api.apply_claim(&ClaimSpec::new("shop", "data").volume("pv-1").class("gp3").requested("2Ti"));
    let main = Container::new("main").requests([("cpu", "1.5"), ("memory", "500M"), ("ephemeral-storage", "1e3")]);
    let pod = PodSpec::new("shop", "cart-6c9f7d5b8-x2x7q")
        .uid("u-1")
        .node(Some("node-1"))
        .owner("ReplicaSet", "cart-6c9f7d5b8")
        .label("team", "payments")
        .label("app", "cart")
        .annotation("cost-center", "4711")
        .annotation("kubectl.kubernetes.io/last-applied-configuration", "{}")
        .container(main.limits([("cpu", "2"), ("memory", "1Gi"), ("nvidia.com/gpu", "2")]).requests([("nvidia.com/gpu", "2")]))
        .claim("data", "data")
        .started("2026-02-27T08:15:42Z");
    api.apply_pod(&pod);
    let exporter = world.ready(&[]).await;
    let mut sent = report("node-1", &[usage("u-1", "shop", "cart-6c9f7d5b8-x2x7q")]);
    sent["pods"][0]["pod_start_time"] = Value::Null;
    sent["interval_seconds"] = json!(30.5);
    post(exporter.address, &sent).await.taken();
    drained(&exporter).await;
    let rows = world.rows();
    let mut row = rows[0].clone();
    assert!(row.remove("collected_at").unwrap().as_i64().unwrap() > 1_700_000_000_000_000);
    let expected = json!({
        "timestamp": sent["timestamp"],
        "cluster_id": "prod",
        "cluster_uid": CLUSTER_UID,
        "node_name": "node-1",
        "node": "node-1",
        "ec2_instance_id": "i-0f1e2d3c4b5a69788",
        "node_cpu_capacity_cores": 7.91,
        "node_memory_capacity_bytes": 31_i64 << 30,
        "node_instance_type": "m7i.2xlarge",
        "node_zone": "eu-central-1a",
        "node_capacity_type": "spot",
        "pod_id": "u-1",
        "namespace": "shop",
        "pod_name": "cart-6c9f7d5b8-x2x7q",
        "owner": "cart-6c9f7d5b8",
        "workload_kind": "Deployment",
        "workload_name": "cart",
        "cpu_usage_cores": 0.25,
        "cpu_usage_cum_sec": 1_000.5,
        "memory_usage_bytes": 1_048_576,
        "net_tx_bytes": 1_000,
        "net_rx_bytes": 2_000,
        "pod_start_time": "2026-02-27T08:15:42Z",
        "requests_cpu_millicores": 1_500,
        "requests_memory_bytes": 500_000_000,
        "requests_storage_bytes": 1_000,
        "requests_gpu": 2,
        "limits_cpu_millicores": 2_000,
        "limits_memory_bytes": 1_i64 << 30,
        "limits_storage_bytes": 0,
        "labels": ["app=cart", "team=payments"],
        "annotations": ["cost-center=4711"],
        "pvc_count": 1,
        "total_pvc_storage_bytes": 2_i64 << 40,
        "pvc_names": ["data"],
        "aws_volume_ids": ["vol-0a"],
        "storage_classes": ["gp3"],
        "interval_seconds": 30.5,
    });
    assert_eq!(Value::Object(row), expected);
}

#[tokio::test]
async fn workloads_are_found_through_their_controllers() {
    let world = World::start().await;
    let api = &world.api;
    api.apply_node(&NodeSpec::new("node-1"));
    api.apply_owner(&OwnerSpec::replica_set("a", "web-1").owner("Deployment", "web"));
    api.apply_owner(&OwnerSpec::replica_set("a", "roll-1").owner("Rollout", "roll"));
    api.apply_owner(&OwnerSpec::replica_set("a", "bare-1"));
    // One of the same name elsewhere is another one.
    api.apply_owner(&OwnerSpec::replica_set("b", "web-1").owner("Deployment", "other"));
    api.apply_owner(&OwnerSpec::job("a", "report-29412345").owner("CronJob", "report"));
    api.apply_owner(&OwnerSpec::job("a", "once"));
    let owners = [
        ("web", "a", "ReplicaSet", "web-1", json!(["web-1", "Deployment", "web"])),
        ("other", "b", "ReplicaSet", "web-1", json!(["web-1", "Deployment", "other"])),
        ("roll", "a", "ReplicaSet", "roll-1", json!(["roll-1", "Rollout", "roll"])),
        ("bare", "a", "ReplicaSet", "bare-1", json!(["bare-1", "ReplicaSet", "bare-1"])),
        ("gone", "a", "ReplicaSet", "gone-1", json!(["gone-1", "ReplicaSet", "gone-1"])),
        ("cron", "a", "Job", "report-29412345", json!(["report-29412345", "CronJob", "report"])),
        ("once", "a", "Job", "once", json!(["once", "Job", "once"])),
        ("set", "a", "StatefulSet", "db", json!(["db", "StatefulSet", "db"])),
        ("daemon", "a", "DaemonSet", "agent", json!(["agent", "DaemonSet", "agent"])),
    ];
    for (id, namespace, kind, name, _) in &owners {
        api.apply_pod(&PodSpec::new(namespace, id).uid(id).owner(kind, name));
    }
    api.apply_pod(&PodSpec::new("a", "alone").uid("alone"));
    let exporter = world.ready(&[]).await;
    let mut pods: Vec<Value> = owners.iter().map(|(id, namespace, ..)| usage(id, namespace, id)).collect();
    pods.push(usage("alone", "a", "alone"));
    let rows = joined(&world, &exporter, &pods).await;
    let names = ["owner", "workload_kind", "workload_name"];
    for (id, .., expected) in owners {
        assert_eq!(columns(&rows[id], &names), expected, "{id}");
    }
    assert_eq!(rows["alone"]["owner"], Value::Null);
    assert_eq!(metric(&exporter, "rows_unmatched_total").await, 0.0);
}

#[tokio::test]
async fn claims_of_all_kinds_are_found() {
    let world = World::start().await;
    let api = &world.api;
    api.apply_node(&NodeSpec::new("node-1"));
    api.apply_volume(&VolumeSpec::csi("pv-ebs", "ebs.csi.aws.com", "vol-0a"));
    api.apply_volume(&VolumeSpec::in_tree_ebs("pv-old", "aws://eu-central-1a/vol-0b"));
    api.apply_volume(&VolumeSpec::csi("pv-efs", "efs.csi.aws.com", "fs-0c::fsap-0d"));
    api.apply_volume(&VolumeSpec::of("pv-nfs", json!({ "nfs": { "server": "10.0.0.1", "path": "/vol-0e" } })));
    for (claim, volume, class, size) in [
        ("ebs", "pv-ebs", "gp3", "20Gi"),
        ("old", "pv-old", "gp2", "100G"),
        ("efs", "pv-efs", "efs", "1Ti"),
        ("nfs", "pv-nfs", "gp3", "128974848000m"),
    ] {
        api.apply_claim(&ClaimSpec::new("a", claim).volume(volume).class(class).requested(size));
    }
    // Somebody else's claim of the same name.
    api.apply_claim(&ClaimSpec::new("b", "ebs").volume("pv-efs").requested("1Ei"));
    api.apply_volume(&VolumeSpec::csi("pv-scratch", "ebs.csi.aws.com", "vol-0f"));
    api.apply_claim(
        &ClaimSpec::new("a", "fleeting-scratch")
            .volume("pv-scratch")
            .class("gp3")
            .requested("1Gi")
            .of_pod("fleeting", "fleeting"),
    );
    let all =
        PodSpec::new("a", "all").uid("all").claim("one", "old").claim("two", "ebs").claim("three", "efs").claim("four", "nfs");
    api.apply_pod(&all);
    api.apply_pod(
        &PodSpec::new("a", "fleeting").uid("fleeting").ephemeral("scratch").volume(json!({ "name": "tmp", "emptyDir": {} })),
    );
    api.apply_pod(&PodSpec::new("a", "none").uid("none"));
    let exporter = world.ready(&[]).await;
    let rows = joined(&world, &exporter, &["all", "fleeting", "none"].map(|id| usage(id, "a", id))).await;
    let names = ["pvc_count", "total_pvc_storage_bytes", "pvc_names", "aws_volume_ids", "storage_classes"];
    let total = (20_i64 << 30) + 100_000_000_000 + (1 << 40) + 128_974_848;
    let expected = json!([4, total, ["ebs", "efs", "nfs", "old"], ["vol-0a", "vol-0b"], ["efs", "gp2", "gp3"]]);
    assert_eq!(columns(&rows["all"], &names), expected);
    assert_eq!(columns(&rows["fleeting"], &names), json!([1, 1 << 30, ["fleeting-scratch"], ["vol-0f"], ["gp3"]]));
    assert_eq!(columns(&rows["none"], &["pvc_count", "total_pvc_storage_bytes"]), json!([0, 0]));
}

#[tokio::test]
async fn resources_are_those_of_the_scheduler() {
    let world = World::start().await;
    let api = &world.api;
    api.apply_node(&NodeSpec::new("node-1"));
    let cpu = |quantity| [("cpu", quantity)];
    let pod = |id: &str| PodSpec::new("a", id).uid(id);
    let main = |quantity| Container::new("main").requests(cpu(quantity));
    let pods = [
        ("nothing", pod("nothing").container(Container::new("main")), 0),
        ("sum", pod("sum").container(main("100m")).container(main("0.2")), 300),
        ("first", pod("first").container(main("100m")).init_container(main("1")), 1_000),
        // A sidecar counts beside the containers, and beside what is initialised behind it.
        ("sidecar", pod("sidecar").container(main("100m")).init_container(main("50m").sidecar()), 150),
        ("late", pod("late").container(main("100m")).init_container(main("50m").sidecar()).init_container(main("1")), 1_050),
        ("early", pod("early").container(main("100m")).init_container(main("1")).init_container(main("50m").sidecar()), 1_000),
        ("whole", pod("whole").container(main("100m")).pod_requests(cpu("3")), 3_000),
        ("overhead", pod("overhead").container(main("100m")).overhead(cpu("250m")), 350),
        ("rounded", pod("rounded").container(main("100500u")), 101),
    ];
    for (_, pod, _) in &pods {
        api.apply_pod(pod);
    }
    let exporter = world.ready(&[]).await;
    let rows = joined(&world, &exporter, &pods.each_ref().map(|(id, ..)| usage(id, "a", id))).await;
    for (id, _, expected) in pods {
        assert_eq!(rows[id]["requests_cpu_millicores"], expected, "{id}");
        assert_eq!(rows[id]["limits_memory_bytes"], 0, "{id}");
    }
}

#[tokio::test]
async fn static_pods_and_strangers() {
    let world = World::start().await;
    let api = &world.api;
    api.apply_node(&NodeSpec::new("node-1").provider_id("gce://project/zone/instance"));
    let hash = "5b6f0d2b9c4e4f0d8a7c6b5a49382716";
    let mirror = PodSpec::new("kube-system", "kube-proxy-node-1").uid("u-1").owner("Node", "node-1").label("tier", "node");
    api.apply_pod(&mirror.annotation("kubernetes.io/config.hash", hash).annotation("kubernetes.io/config.mirror", hash));
    let exporter = world.ready(&[]).await;
    let rows =
        joined(&world, &exporter, &[usage(hash, "kube-system", "kube-proxy-node-1"), usage("stranger", "shop", "cart")]).await;
    let row = &rows[hash];
    assert_eq!(
        columns(row, &["labels", "owner", "workload_kind", "workload_name"]),
        json!([["tier=node"], "node-1", "Node", "node-1"])
    );
    assert_eq!(columns(row, &["node", "pod_name", "ec2_instance_id"]), json!(["node-1", "kube-proxy-node-1", null]));
    // Nobody knows it: what was sent stays.
    let row = &rows["stranger"];
    assert_eq!(columns(row, &["namespace", "pod_name", "owner", "workload_name"]), json!(["shop", "cart", null, null]));
    assert_eq!(
        columns(row, &["requests_cpu_millicores", "limits_memory_bytes", "memory_usage_bytes"]),
        json!([null, null, 1_048_576])
    );
    assert_eq!(metric(&exporter, "rows_unmatched_total").await, 1.0);
}

#[tokio::test]
async fn clusters_are_named_by_their_nodes_then_by_the_operator() {
    let world = World::start().await;
    world.api.apply_node(&NodeSpec::new("blue-1").cluster("blue"));
    world.api.apply_node(&NodeSpec::new("plain-1"));
    let exporter = world.ready(&["--cluster-name=named"]).await;
    for node in ["blue-1", "plain-1", "nobody's"] {
        post(exporter.address, &report(node, &[some(node)])).await.taken();
    }
    drained(&exporter).await;
    let rows = world.rows_by_pod();
    let clusters = ["blue-1", "plain-1", "nobody's"].map(|node| text(&rows[node], "cluster_id"));
    assert_eq!(clusters, ["blue", "named", "named"]);
    for cluster in ["blue", "named"] {
        assert!(world.tables().keys().any(|key| key.starts_with(&format!("k8s-metrics/cluster-name={cluster}/"))));
    }
}

/// The collector's word stands over that of the node.
#[tokio::test]
async fn instances_are_those_of_the_collector_then_those_of_the_node() {
    let world = World::start().await;
    for (node, id) in [("ec2", "aws:///eu-central-1a/i-0aa"), ("other", "kind://docker/kind/other")] {
        world.api.apply_node(&NodeSpec::new(node).provider_id(id));
    }
    let exporter = world.ready(&[]).await;
    for (node, id) in [("ec2", Value::Null), ("other", Value::Null), ("none", Value::Null)] {
        let mut sent = report(node, &[some(node)]);
        sent["ec2_instance_id"] = id;
        post(exporter.address, &sent).await.taken();
    }
    let mut sent = report("ec2", &[some("told")]);
    sent["ec2_instance_id"] = json!("i-0bb");
    post(exporter.address, &sent).await.taken();
    drained(&exporter).await;
    let rows = world.rows_by_pod();
    let ids = ["ec2", "other", "none", "told"].map(|pod| &rows[pod]["ec2_instance_id"]);
    assert_eq!(ids, [&json!("i-0aa"), &Value::Null, &Value::Null, &json!("i-0bb")]);
}

/// Pods come and go all the time, with their owners and claims, while watches break and expire. Each lives for longer than a watch is away and is
/// reported until it is gone. Every row finds its own.
#[tokio::test(flavor = "multi_thread")]
async fn churn_leaves_no_row_without_a_match() {
    const GENERATIONS: usize = 70;
    const ALIVE: usize = 30;
    let world = World::start().await;
    let api = &world.api;
    api.apply_node(&NodeSpec::new("node-1"));
    // So that a seal waits for as long as watches may take.
    let exporter = world.ready(&["--usage-roll-age=5s"]).await;
    let sender = Sender::new();
    let id = |generation: usize| format!("{generation:03}");
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    let mut sent = 0;
    for generation in 0..GENERATIONS {
        tick.tick().await;
        let new = id(generation);
        api.apply_owner(&OwnerSpec::replica_set("a", &format!("set-{new}")).owner("Deployment", "app"));
        api.apply_volume(&VolumeSpec::csi(&format!("pv-{new}"), "ebs.csi.aws.com", &format!("vol-{new}")));
        api.apply_claim(&ClaimSpec::new("a", &format!("claim-{new}")).volume(&format!("pv-{new}")).class("gp3"));
        // Names come again.
        let pod = PodSpec::new("a", &format!("pod-{}", generation % ALIVE)).uid(&new);
        let oldest = generation.checked_sub(ALIVE);
        if let Some(gone) = oldest.map(id) {
            api.delete_pod("a", &format!("pod-{}", generation % ALIVE));
            api.delete(REPLICA_SETS, &format!("set-{gone}"), Some("a"));
            api.delete(CLAIMS, &format!("claim-{gone}"), Some("a"));
            api.delete(VOLUMES, &format!("pv-{gone}"), None);
        }
        api.apply_pod(&pod.owner("ReplicaSet", &format!("set-{new}")).claim("data", &format!("claim-{new}")));
        // What has just gone was there when it was measured.
        let alive = oldest.unwrap_or(0)..=generation;
        let pods: Vec<Value> = alive.map(|number| usage(&id(number), "a", &format!("pod-{}", number % ALIVE))).collect();
        sent += pods.len();
        sender.post(exporter.address, &report("node-1", &pods)).await.taken();
        match generation % 30 {
            7 => api.break_watches(),
            22 => api.expire_watches(),
            _ => {}
        }
    }
    drained(&exporter).await;
    let rows = world.rows();
    assert_eq!(rows.len(), sent);
    assert_eq!(metric(&exporter, "rows_unmatched_total").await, 0.0);
    for row in &rows {
        let id = text(row, "pod_id");
        let expected = json!([format!("set-{id}"), "Deployment", [format!("claim-{id}")], [format!("vol-{id}")]]);
        assert_eq!(columns(row, &["owner", "workload_kind", "pvc_names", "aws_volume_ids"]), expected, "{id}");
    }
    // Several seals were made meanwhile, or nothing would have been proven.
    assert!(world.tables().len() > 1);
}
