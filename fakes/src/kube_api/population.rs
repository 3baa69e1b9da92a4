//! A whole cluster of computed nodes and pods, for demonstrations and for measuring.
//!
//! Of twenty pods of a node twelve belong to deployments, three to stateful sets with a claim on EBS each, two to daemon sets, two to cron jobs,
//! and one is static. What a node reports of its pods is computed in the same way, so that every row has a match.

use serde_json::{Value, json};

use super::{ClaimSpec, Container, KubeApi, NodeSpec, OwnerSpec, PodSpec, VolumeSpec};

/// How large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Population {
    /// Nodes: `node-0000`, `node-0001`, ...
    pub nodes: usize,
    /// Pods on each.
    pub pods_per_node: usize,
    /// The cluster that the annotation of the nodes names; empty: there is none.
    pub cluster: String,
    /// Bytes of each pod that are of no use to anybody.
    pub ballast: usize,
}

/// By whom a pod is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Deployment,
    StatefulSet,
    DaemonSet,
    CronJob,
    Static,
}

/// Pod number `pod` of node number `node`.
#[derive(Debug, Clone, Copy)]
struct Place {
    node: usize,
    pod: usize,
}

impl Population {
    /// So many nodes with so many pods each, of the cluster `demo`.
    pub fn new(nodes: usize, pods_per_node: usize) -> Self {
        Self { nodes, pods_per_node, cluster: "demo".to_owned(), ballast: 0 }
    }

    /// `metadata.name` of a node.
    pub fn node_name(node: usize) -> String {
        format!("node-{node:04}")
    }

    /// What a node reports at this time, as a collector writes it. Counters grow with `round`, from 0.
    pub fn report(&self, node: usize, timestamp: &str, round: u64) -> Value {
        let usage = |place: Place| {
            let seed = (place.node * 31 + place.pod * 7 + 1) as u64;
            json!({
                "pod_id": place.reported_id(),
                "namespace": place.namespace(),
                "name": place.name(),
                "cpu_usage_cores": (seed % 977) as f64 / 1_000.0,
                "cpu_usage_cum": (seed % 977 * (round + 1) * 30) as f64 / 1_000.0,
                "memory_usage_bytes": seed % 4_096 * 262_144,
                "net_tx_bytes": seed * 1_000 * (round + 1),
                "net_rx_bytes": seed * 3_000 * (round + 1),
                "pod_start_time": "2026-01-01T00:00:05Z",
            })
        };
        let pods: Vec<Value> = (0..self.pods_per_node).map(|pod| usage(Place { node, pod })).collect();
        let name = Self::node_name(node);
        json!({ "timestamp": timestamp, "node_name": name, "hostname": name, "ec2_instance_id": instance(node), "pods": pods })
    }

    pub(super) fn apply(&self, api: &KubeApi) {
        api.apply_namespace("kube-system", Some("7e1a3c52-0000-4000-8000-000000000001"));
        for node in 0..self.nodes {
            api.apply_node(&self.node(node));
            for pod in 0..self.pods_per_node {
                self.apply_pod(api, Place { node, pod });
            }
        }
    }

    fn node(&self, node: usize) -> NodeSpec {
        let zone = ["eu-central-1a", "eu-central-1b", "eu-central-1c"][node % 3];
        let spec = NodeSpec::new(&Self::node_name(node))
            .label("node.kubernetes.io/instance-type", ["m7i.2xlarge", "r7i.2xlarge"][node % 2])
            .label("topology.kubernetes.io/zone", zone)
            .label("karpenter.sh/capacity-type", ["on-demand", "spot"][node / 2 % 2])
            .provider_id(&format!("aws:///{zone}/{}", instance(node)));
        if self.cluster.is_empty() { spec } else { spec.cluster(&self.cluster) }
    }

    fn apply_pod(&self, api: &KubeApi, place: Place) {
        let (namespace, name) = (place.namespace(), place.name());
        let container = Container::new("main").requests([("cpu", "250m"), ("memory", "512Mi")]).limits([("memory", "1Gi")]);
        let mut pod = PodSpec::new(&namespace, &name)
            .uid(&place.uid())
            .node(Some(&Self::node_name(place.node)))
            .label("app.kubernetes.io/name", &place.application())
            .label("team", ["payments", "search", "platform"][place.group() % 3])
            .annotation("cost-center", ["4711", "4712", "4713", "4714"][place.group() % 4])
            .started("2026-01-01T00:00:05Z")
            .container(container)
            .ballast(self.ballast);
        match place.maker() {
            Maker::Deployment => {
                let replica_set = format!("{}-5d8f7c9b6d", place.application());
                api.apply_owner(&OwnerSpec::replica_set(&namespace, &replica_set).owner("Deployment", &place.application()));
                pod = pod.owner("ReplicaSet", &replica_set).label("pod-template-hash", "5d8f7c9b6d");
            }
            Maker::StatefulSet => {
                let (claim, volume) = (format!("data-{name}"), format!("pvc-{}", place.uid()));
                let handle = format!("vol-{:017x}", place.number());
                api.apply_volume(&VolumeSpec::csi(&volume, "ebs.csi.aws.com", &handle).capacity("20Gi"));
                api.apply_claim(&ClaimSpec::new(&namespace, &claim).volume(&volume).class("gp3").requested("20Gi"));
                pod = pod.owner("StatefulSet", &place.application()).claim("data", &claim);
            }
            Maker::DaemonSet => pod = pod.owner("DaemonSet", &place.application()),
            Maker::CronJob => {
                let job = format!("{}-29412345", place.application());
                api.apply_owner(&OwnerSpec::job(&namespace, &job).owner("CronJob", &place.application()));
                pod = pod.owner("Job", &job);
            }
            Maker::Static => {
                let hash = place.reported_id();
                pod = pod.owner("Node", &Self::node_name(place.node)).annotation("kubernetes.io/config.hash", &hash);
            }
        }
        api.apply_pod(&pod);
    }
}

impl Place {
    fn maker(self) -> Maker {
        match self.pod % 20 {
            0..12 => Maker::Deployment,
            12..15 => Maker::StatefulSet,
            15 | 16 => Maker::DaemonSet,
            17 | 18 => Maker::CronJob,
            _ => Maker::Static,
        }
    }

    /// Pods of a group are pods of one application, on all nodes.
    fn group(self) -> usize {
        match self.maker() {
            // A deployment has the pods of eight nodes.
            Maker::Deployment => self.pod + self.node / 8 * 20,
            _ => self.pod,
        }
    }

    fn number(self) -> usize {
        self.node * 1_000 + self.pod
    }

    fn namespace(self) -> String {
        match self.maker() {
            Maker::DaemonSet | Maker::Static => "kube-system".to_owned(),
            _ => format!("team-{:02}", self.group() % 25),
        }
    }

    fn application(self) -> String {
        let word = match self.maker() {
            Maker::Deployment => "service",
            Maker::StatefulSet => "store",
            Maker::DaemonSet => "agent",
            Maker::CronJob => "report",
            Maker::Static => "kube-proxy",
        };
        format!("{word}-{:04}", self.group())
    }

    fn name(self) -> String {
        match self.maker() {
            Maker::Deployment => format!("{}-5d8f7c9b6d-{:05x}", self.application(), self.number()),
            Maker::Static => format!("{}-{}", self.application(), Population::node_name(self.node)),
            _ => format!("{}-{:05x}", self.application(), self.number()),
        }
    }

    fn uid(self) -> String {
        format!("5f0e4d3c-{:04x}-4000-8000-{:012x}", self.node & 0xffff, self.number())
    }

    /// What the kubelet calls the pod: the uid, but for static ones the hash of their configuration.
    fn reported_id(self) -> String {
        if self.maker() == Maker::Static { format!("{:032x}", self.number() + 1) } else { self.uid() }
    }
}

fn instance(node: usize) -> String {
    format!("i-{node:017x}")
}
