use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::k8s::slim::{Claim, Job, Namespace, Node, Pod, ReplicaSet, Volume};
use crate::usage::facts::Batch;
use crate::usage::index::Keep;
use crate::usage::report::Report;

mod rows;

const RETENTION: Duration = Duration::from_secs(480);
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

fn controlled(kind: &str, name: &str) -> Value {
    json!([{"kind": kind, "name": name, "uid": format!("{kind}-{name}"), "controller": true}])
}

fn pod(uid: &str, name: &str, owners: &Value) -> Value {
    json!({
        "metadata": {"uid": uid, "name": name, "namespace": "shop", "ownerReferences": owners, "labels": {"app": "web"}, "annotations": {"team": "a"}},
        "spec": {
            "nodeName": "node-1", "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}}],
            "volumes": [
                {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "again", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "tree", "persistentVolumeClaim": {"claimName": "in-tree"}},
                {"name": "share", "persistentVolumeClaim": {"claimName": "nfs"}},
                {"name": "missing", "persistentVolumeClaim": {"claimName": "missing"}},
                {"name": "scratch", "ephemeral": {}},
            ],
        },
        "status": {"startTime": "2026-01-01T00:00:00Z"},
    })
}

fn claim(name: &str, volume: &str, class: &str, size: &str) -> Claim {
    let spec = json!({"volumeName": volume, "storageClassName": class, "resources": {"requests": {"storage": size}}});
    read(&json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}))
}

fn volume(name: &str, spec: &Value) -> Volume {
    read(&json!({"metadata": {"name": name}, "spec": spec}))
}

fn owned(kind: &str, name: &str, owners: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": format!("{kind}-{name}"), "ownerReferences": owners}})
}

fn node(name: &str, annotations: &Value) -> Node {
    read(&json!({
        "metadata": {"name": name, "annotations": annotations, "labels": {"node.kubernetes.io/instance-type": "m5.large"}},
        "spec": {"providerID": "aws:///eu-central-1a/i-0123456789abcdef0"},
        "status": {"capacity": {"cpu": "1930m", "memory": "8Gi"}},
    }))
}

/// A pod of a Deployment, with claims of all sorts.
fn world() -> Index {
    let mut index = Index::new(RETENTION, Keep::default());
    let csi = |driver: &str, handle: &str| json!({"csi": {"driver": driver, "volumeHandle": handle}});
    index.apply(read::<Pod>(&pod("u1", "web-1", &controlled("ReplicaSet", "web-5d8f"))), NOW);
    index.apply(read::<ReplicaSet>(&owned("ReplicaSet", "web-5d8f", &controlled("Deployment", "web"))), NOW);
    index.apply(claim("data", "pv-1", "gp3", "10Gi"), NOW);
    index.apply(claim("in-tree", "pv-2", "gp2", "1Gi"), NOW);
    index.apply(claim("nfs", "pv-3", "nfs", "1Gi"), NOW);
    index.apply(claim("web-1-scratch", "", "gp3", "1Gi"), NOW);
    index.apply(volume("pv-1", &csi("ebs.csi.aws.com", "vol-1")), NOW);
    index.apply(volume("pv-2", &json!({"awsElasticBlockStore": {"volumeID": "aws://eu-central-1a/vol-0"}})), NOW);
    index.apply(volume("pv-3", &csi("nfs.csi.k8s.io", "vol-3")), NOW);
    index.apply(node("node-1", &json!({"cluster.x-k8s.io/cluster-name": "prod"})), NOW);
    index.apply(read::<Namespace>(&json!({"metadata": {"name": "kube-system", "uid": "cluster-1"}})), NOW);
    index
}

fn usage(pod_id: &str) -> PodUsage {
    PodUsage { pod_id: pod_id.into(), namespace: "sent".into(), name: "sent".into(), ..PodUsage::default() }
}

fn texts(texts: &[Arc<str>]) -> Vec<&str> {
    texts.iter().map(|text| &**text).collect()
}

#[test]
fn a_pod_is_joined_with_its_workload_and_its_claims() {
    let index = world();
    let facts = Join::new(&index, None).pod(&usage("u1"));
    assert_eq!((&*facts.pod_id, &*facts.namespace, &*facts.pod_name), ("u1", "shop", "web-1"));
    assert_eq!(facts.pod_start_time.as_deref(), Some("2026-01-01T00:00:00Z"));
    let known = facts.known.unwrap();
    assert_eq!((known.node.as_deref(), known.owner.as_deref()), (Some("node-1"), Some("web-5d8f")));
    assert_eq!((known.workload_kind.as_deref(), known.workload_name.as_deref()), (Some("Deployment"), Some("web")));
    assert_eq!((known.requests.cpu_millicores, known.limits.memory_bytes), (100, 1 << 30));
    assert_eq!((texts(&known.labels), texts(&known.annotations)), (vec!["app=web"], vec!["team=a"]));
    assert_eq!(texts(&known.claims.names), ["data", "in-tree", "missing", "nfs", "web-1-scratch"]);
    assert_eq!(known.claims.storage_bytes, 13 << 30);
    assert_eq!(texts(&known.claims.aws_volume_ids), ["vol-0", "vol-1"]);
    assert_eq!(texts(&known.claims.storage_classes), ["gp2", "gp3", "nfs"]);
}

#[test]
fn a_workload_is_the_controller_of_the_controller_where_there_is_one() {
    let mut index = world();
    let cases = [
        ("job", controlled("Job", "report-1"), Some(("CronJob", "report"))),
        ("lone-job", controlled("Job", "once"), Some(("Job", "once"))),
        ("lone-set", controlled("ReplicaSet", "lone"), Some(("ReplicaSet", "lone"))),
        ("not-listed-yet", controlled("ReplicaSet", "later"), Some(("ReplicaSet", "later"))),
        ("stateful", controlled("StatefulSet", "db"), Some(("StatefulSet", "db"))),
        ("bare", json!([]), None),
    ];
    index.apply(read::<Job>(&owned("Job", "report-1", &controlled("CronJob", "report"))), NOW);
    index.apply(read::<Job>(&owned("Job", "once", &json!([]))), NOW);
    index.apply(read::<ReplicaSet>(&owned("ReplicaSet", "lone", &json!([]))), NOW);
    for (uid, owners, expected) in cases {
        index.apply(read::<Pod>(&pod(uid, uid, &owners)), NOW);
        let known = Join::new(&index, None).pod(&usage(uid)).known.unwrap();
        let workload = known.workload_kind.as_deref().zip(known.workload_name.as_deref());
        assert_eq!(workload, expected, "{uid}");
        assert_eq!(known.owner.as_deref(), owners[0]["name"].as_str(), "{uid}");
    }
}

#[test]
fn what_is_gone_is_joined_as_if_it_were_there() {
    let mut index = world();
    let join = |index: &Index| Join::new(index, None).pod(&usage("u1"));
    let (before, node_before) = (join(&index), Join::new(&index, None).node("node-1"));
    index.delete(read::<Pod>(&pod("u1", "web-1", &controlled("ReplicaSet", "web-5d8f"))), NOW);
    index.delete(read::<ReplicaSet>(&owned("ReplicaSet", "web-5d8f", &controlled("Deployment", "web"))), NOW);
    index.begin_list::<Claim>();
    index.end_list::<Claim>(NOW);
    index.begin_list::<Volume>();
    index.end_list::<Volume>(NOW);
    index.begin_list::<Node>();
    index.end_list::<Node>(NOW);
    assert_eq!((index.known::<Pod>(), index.known::<Claim>(), index.known::<Node>()), (0, 0, 0));
    assert_eq!(join(&index), before);
    assert_eq!(Join::new(&index, None).node("node-1"), node_before);
    index.sweep(NOW + RETENTION);
    assert!(join(&index).known.is_none());
}

#[test]
fn static_pods_are_joined_by_their_hash() {
    let mut index = world();
    let mut mirror = pod("u2", "etcd-node-1", &controlled("Node", "node-1"));
    mirror["metadata"]["annotations"]["kubernetes.io/config.hash"] = json!("0123456789abcdef0123456789abcdef");
    index.apply(read::<Pod>(&mirror), NOW);
    let facts = Join::new(&index, None).pod(&usage("0123456789abcdef0123456789abcdef"));
    assert_eq!((&*facts.pod_id, &*facts.pod_name), ("0123456789abcdef0123456789abcdef", "etcd-node-1"));
    assert_eq!(facts.known.unwrap().workload_kind.as_deref(), Some("Node"));
}

#[test]
fn a_pod_that_nobody_knows_keeps_the_names_that_were_sent() {
    let index = world();
    let sent = PodUsage { pod_start_time: Some("then".into()), ..usage("u9") };
    let facts = Join::new(&index, None).pod(&sent);
    assert_eq!((&*facts.namespace, &*facts.pod_name, facts.known.is_none()), ("sent", "sent", true));
    assert_eq!(facts.pod_start_time.as_deref(), Some("then"));
}

#[test]
fn the_cluster_is_what_the_node_says_else_what_is_given() {
    let mut index = world();
    index.apply(node("node-2", &json!({"cluster.x-k8s.io/cluster-name": ""})), NOW);
    let cluster = |name: &str, given: Option<&str>| Join::new(&index, given).node(name).cluster_id.to_string();
    assert_eq!((cluster("node-1", Some("given")), cluster("node-2", Some("given"))), ("prod".to_owned(), "given".to_owned()));
    assert_eq!((cluster("node-2", None), cluster("node-9", Some(""))), ("unknown".to_owned(), "unknown".to_owned()));
    let node = Join::new(&index, None).node("node-1");
    assert_eq!(node.instance_id.as_deref(), Some("i-0123456789abcdef0"));
    assert_eq!((node.facts.cpu_capacity_cores, node.facts.memory_capacity_bytes), (Some(1.93), Some(8 << 30)));
    assert_eq!(Join::new(&index, None).node("node-9").facts, Arc::default());
}

#[test]
fn only_instances_of_aws_have_an_id() {
    let cases = [
        ("aws:///eu-central-1a/i-0123456789abcdef0", Some("i-0123456789abcdef0")),
        ("i-01234567", Some("i-01234567")),
        ("gce://project/zone/i-name", None),
        ("aws:///eu-central-1a/fargate-ip-10-0-0-1", None),
        ("aws:///eu-central-1a/i-", None),
        ("openstack:///i", None),
    ];
    for (provider_id, expected) in cases {
        let mut index = Index::new(RETENTION, Keep::default());
        index.apply(read::<Node>(&json!({"metadata": {"name": "n"}, "spec": {"providerID": provider_id}})), NOW);
        assert_eq!(Join::new(&index, None).node("n").instance_id.as_deref(), expected, "{provider_id}");
    }
}
