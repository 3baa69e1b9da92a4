//! What a kubelet says of its node, in the shape of `k8s.io/kubelet/pkg/apis/stats/v1alpha1`.

use serde_json::{Value, json};

/// When the first answer was given: 2026-11-21T05:20:00Z. Each further one is 15 s later.
const FIRST: i64 = 1_795_238_400;
const STEP: u64 = 15;

/// What a runtime tells of a pod. The pods of a node are of these kinds in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything, of the pod and of its containers.
    Whole,
    /// On the network of its host: nothing about that.
    HostNetwork,
    /// CPU and memory of containers alone.
    ContainersAlone,
    /// Network by interfaces alone.
    InterfacesAlone,
    /// From a file on the node: its id is the hash of that, without dashes.
    Static,
}

impl Kind {
    /// That of a pod by its number.
    pub fn of(pod: usize) -> Self {
        [Self::Whole, Self::HostNetwork, Self::ContainersAlone, Self::InterfacesAlone, Self::Static][pod % 5]
    }
}

/// A node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) pods: usize,
}

impl Node {
    /// The `answer`-th summary.
    pub(super) fn summary(&self, answer: u64) -> Value {
        let time = time(answer);
        let pods: Vec<Value> = (0..self.pods).map(|number| pod(number, answer)).collect();
        let mut node = json!({
            "nodeName": self.name,
            "systemContainers": [{"name": "kubelet", "startTime": time_of(0), "cpu": cpu(&time, 50_000_000, answer)}],
            "startTime": time_of(0),
            "cpu": cpu(&time, 2_000_000_000, answer),
            "memory": memory(&time, 8 << 30),
            "network": network(&time, 1_000_000, answer),
            "fs": fs(&time, 40 << 30),
            "runtime": {"imageFs": fs(&time, 10 << 30), "containerFs": fs(&time, 1 << 30)},
            "rlimit": {"time": time, "maxpid": 4_194_304, "curproc": 900},
        });
        if self.name.is_empty() {
            node.as_object_mut().expect("an object").remove("nodeName");
        }
        json!({ "node": node, "pods": pods })
    }
}

fn pod(number: usize, answer: u64) -> Value {
    let (kind, time, n) = (Kind::of(number), time(answer), number as u64);
    let (nano_cores, bytes) = (10_000_000 * (n + 1), (n + 1) << 20);
    let uid = match kind {
        Kind::Static => format!("{number:032x}"),
        _ => format!("00000000-0000-4000-8000-{number:012x}"),
    };
    // Two containers that share evenly.
    let container = |name: &str| {
        json!({
            "name": name,
            "startTime": time_of(0),
            "cpu": cpu(&time, nano_cores / 2, answer),
            "memory": memory(&time, bytes / 2),
            "rootfs": fs(&time, 1 << 20),
            "logs": fs(&time, 1 << 16),
            "swap": {"time": time, "swapUsageBytes": 0},
        })
    };
    let mut pod = json!({
        "podRef": {"name": format!("pod-{number}"), "namespace": format!("team-{}", number % 3), "uid": uid},
        "startTime": time_of(0),
        "containers": [container("app"), container("sidecar")],
        "cpu": cpu(&time, nano_cores, answer),
        "memory": memory(&time, bytes),
        "network": network(&time, n + 1, answer),
        "volume": [{"time": time, "name": "kube-api-access", "usedBytes": 12_288, "inodesUsed": 9, "pvcRef": {"name": format!("data-{number}"), "namespace": "team-0"}}],
        "ephemeral-storage": fs(&time, 1 << 20),
        "process_stats": {"process_count": 3},
        "swap": {"time": time, "swapUsageBytes": 0},
    });
    let fields = pod.as_object_mut().expect("an object");
    match kind {
        Kind::Whole | Kind::Static => {}
        Kind::HostNetwork => drop(fields.remove("network")),
        Kind::ContainersAlone => {
            fields.remove("cpu");
            fields.remove("memory");
        }
        Kind::InterfacesAlone => {
            let network = fields["network"].as_object_mut().expect("an object");
            network.retain(|key, _| matches!(key.as_str(), "time" | "interfaces"));
        }
    }
    pod
}

fn cpu(time: &str, nano_cores: u64, answer: u64) -> Value {
    json!({"time": time, "usageNanoCores": nano_cores, "usageCoreNanoSeconds": nano_cores * STEP * (answer + 1)})
}

fn memory(time: &str, bytes: u64) -> Value {
    json!({"time": time, "usageBytes": bytes * 2, "workingSetBytes": bytes, "rssBytes": bytes / 2, "pageFaults": 9, "majorPageFaults": 0})
}

fn network(time: &str, per_step: u64, answer: u64) -> Value {
    let (rx, tx) = (1_000 * per_step * (answer + 1), 100 * per_step * (answer + 1));
    let eth0 = json!({"name": "eth0", "rxBytes": rx, "rxErrors": 0, "txBytes": tx, "txErrors": 0});
    let mut network = eth0.clone();
    network["time"] = json!(time);
    network["interfaces"] = json!([{"name": "lo", "rxBytes": 7, "rxErrors": 0, "txBytes": 7, "txErrors": 0}, eth0]);
    network
}

fn fs(time: &str, used: u64) -> Value {
    json!({
        "time": time, "availableBytes": 50_u64 << 30, "capacityBytes": 100_u64 << 30, "usedBytes": used,
        "inodesFree": 6_000_000, "inodes": 6_500_000, "inodesUsed": 42,
    })
}

fn time(answer: u64) -> String {
    time_of(i64::try_from((answer + 1) * STEP).unwrap_or(i64::MAX))
}

fn time_of(seconds: i64) -> String {
    jiff::Timestamp::from_second(FIRST + seconds).expect("a time in this century").to_string()
}
