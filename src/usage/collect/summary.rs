//! What the kubelet says of the pods of its node: `/stats/summary` (`k8s.io/kubelet/pkg/apis/stats/v1alpha1`, types.go), as far as reports need it.
//! Pure.
//!
//! Runtimes differ in what they tell. What is missing, or is of another type than it should be, is unknown and costs nothing else.
//!
//! Memory is the working set: what the kubelet goes by when it evicts, what `kubectl top` shows, and what OpenCost and Kubecost charge for.
//! (`usageBytes` counts page cache that the kernel gives back when asked, `rssBytes` leaves out what it cannot.)

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::report::PodEntry;

/// An answer that is no summary.
#[derive(Debug, thiserror::Error)]
pub(super) enum SummaryError {
    /// It breaks off, or is something else.
    #[error("the answer is no JSON object: {0}")]
    NotJson(serde_json::Error),
    /// An object of another kind.
    #[error("the answer has neither `node` nor `pods`, so it is no summary")]
    NotSummary,
}

/// The pods of a node.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// `node.nodeName`
    pub(super) node_name: Option<String>,
    /// In the kubelet's order.
    pub(super) pods: Vec<PodEntry>,
    /// Pods without a UID, a namespace or a name, which are left out.
    pub(super) nameless: usize,
}

/// Reads an answer.
pub(super) fn read(body: &[u8]) -> Result<Summary, SummaryError> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(SummaryError::NotJson)?;
    if answer.node.is_none() && answer.pods.is_none() {
        return Err(SummaryError::NotSummary);
    }
    let told: Vec<Option<PodEntry>> = answer.pods.unwrap_or_default().into_iter().map(entry).collect();
    let all = told.len();
    let pods: Vec<PodEntry> = told.into_iter().flatten().collect();
    let node_name = answer.node.and_then(|node| node.name).filter(|name| !name.is_empty());
    Ok(Summary { node_name, nameless: all - pods.len(), pods })
}

fn entry(raw: &RawValue) -> Option<PodEntry> {
    let pod: Pod = serde_json::from_str(raw.get()).ok()?;
    let PodRef { uid, namespace, name } = pod.pod_ref;
    if uid.is_empty() || namespace.is_empty() || name.is_empty() {
        return None;
    }
    let own = Usage { cpu: pod.cpu, memory: pod.memory };
    let containers = pod.containers.unwrap_or_default();
    // Some runtimes tell of containers alone.
    let usage = |of: fn(&Usage) -> Option<u64>| of(&own).or_else(|| total(containers.iter().map(of)));
    let bytes = |of: fn(&Interface) -> Option<u64>| pod.network.as_ref().and_then(|network| network.bytes(of));
    Some(PodEntry {
        pod_id: uid,
        namespace,
        name,
        cpu_usage_cores: usage(|usage| usage.cpu.as_ref()?.usage_nano_cores).map(billionths),
        cpu_usage_cum: usage(|usage| usage.cpu.as_ref()?.usage_core_nano_seconds).map(billionths),
        memory_usage_bytes: usage(|usage| usage.memory.as_ref()?.working_set_bytes).filter(possible),
        net_tx_bytes: bytes(|interface| interface.tx_bytes).filter(possible),
        net_rx_bytes: bytes(|interface| interface.rx_bytes).filter(possible),
        pod_start_time: pod.start_time.filter(|time| !time.is_empty()),
    })
}

/// The sum of what is known; nothing if nothing is.
fn total(values: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    values.flatten().reduce(u64::saturating_add)
}

/// More than half of what 64 bits hold is a counter that fell below zero. The receiver would refuse the whole pod for it.
fn possible(bytes: &u64) -> bool {
    i64::try_from(*bytes).is_ok()
}

#[expect(clippy::cast_precision_loss, reason = "a float has digits enough for a century of nanoseconds")]
fn billionths(value: u64) -> f64 {
    value as f64 / 1e9
}

/// Any value; of another type than expected it is unknown.
fn loose<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default, deserialize_with = "loose")]
    node: Option<Node>,
    #[serde(default, borrow, deserialize_with = "loose")]
    pods: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default, rename = "nodeName", deserialize_with = "loose")]
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: PodRef,
    #[serde(default, deserialize_with = "loose")]
    start_time: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    cpu: Option<Cpu>,
    #[serde(default, deserialize_with = "loose")]
    memory: Option<Memory>,
    #[serde(default, deserialize_with = "loose")]
    containers: Option<Vec<Usage>>,
    #[serde(default, deserialize_with = "loose")]
    network: Option<Network>,
}

#[derive(Deserialize)]
struct PodRef {
    uid: String,
    namespace: String,
    name: String,
}

/// Of a pod, or of a container.
#[derive(Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "loose")]
    cpu: Option<Cpu>,
    #[serde(default, deserialize_with = "loose")]
    memory: Option<Memory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    #[serde(default, deserialize_with = "loose")]
    usage_nano_cores: Option<u64>,
    #[serde(default, deserialize_with = "loose")]
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    #[serde(default, deserialize_with = "loose")]
    working_set_bytes: Option<u64>,
}

/// Bytes of the pod's default interface; where a runtime tells of none, of all of them but the loopback.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    #[serde(default, deserialize_with = "loose")]
    rx_bytes: Option<u64>,
    #[serde(default, deserialize_with = "loose")]
    tx_bytes: Option<u64>,
    #[serde(default, deserialize_with = "loose")]
    interfaces: Option<Vec<Interface>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    #[serde(default, deserialize_with = "loose")]
    name: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    rx_bytes: Option<u64>,
    #[serde(default, deserialize_with = "loose")]
    tx_bytes: Option<u64>,
}

impl Network {
    fn bytes(&self, of: fn(&Interface) -> Option<u64>) -> Option<u64> {
        let default = Interface { name: None, rx_bytes: self.rx_bytes, tx_bytes: self.tx_bytes };
        let others = self.interfaces.iter().flatten().filter(|interface| interface.name.as_deref() != Some("lo"));
        of(&default).or_else(|| total(others.map(of)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(more: Value) -> PodEntry {
        let mut pod = json!({"podRef": {"name": "web-0", "namespace": "shop", "uid": "u1"}});
        pod.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let summary = read(json!({"node": {"nodeName": "n1"}, "pods": [pod]}).to_string().as_bytes()).unwrap();
        assert_eq!((summary.node_name.as_deref(), summary.nameless), (Some("n1"), 0));
        summary.pods.into_iter().next().unwrap()
    }

    #[test]
    fn a_pod_is_told_in_cores_seconds_and_bytes() {
        let pod = pod(json!({
            "startTime": "2026-11-21T05:20:00Z",
            "cpu": {"time": "2026-11-21T06:00:00Z", "usageNanoCores": 250_000_000, "usageCoreNanoSeconds": 1_500_000_000_000_u64},
            "memory": {"usageBytes": 9, "workingSetBytes": 7, "rssBytes": 5},
            "network": {"name": "eth0", "rxBytes": 11, "txBytes": 12,
                "interfaces": [{"name": "eth0", "rxBytes": 11, "txBytes": 12}, {"name": "net1", "rxBytes": 100, "txBytes": 100}]},
            "containers": [{"name": "c", "cpu": {"usageNanoCores": 1}, "memory": {"workingSetBytes": 1}}],
            "volume": [], "ephemeral-storage": {"usedBytes": 1},
        }));
        let PodEntry { cpu_usage_cores, cpu_usage_cum, memory_usage_bytes, net_tx_bytes, net_rx_bytes, pod_start_time, .. } = pod;
        assert_eq!((cpu_usage_cores, cpu_usage_cum, memory_usage_bytes), (Some(0.25), Some(1500.0), Some(7)));
        assert_eq!((net_tx_bytes, net_rx_bytes, pod_start_time.as_deref()), (Some(12), Some(11), Some("2026-11-21T05:20:00Z")));
    }

    #[test]
    fn a_runtime_that_tells_of_containers_alone_is_summed_up() {
        let pod = pod(json!({"containers": [
            {"name": "a", "cpu": {"usageNanoCores": 100_000_000, "usageCoreNanoSeconds": 3_000_000_000_u64}, "memory": {"workingSetBytes": 1}},
            {"name": "b", "cpu": {"usageNanoCores": 200_000_000}, "memory": {"workingSetBytes": 2}},
            {"name": "just begun"},
        ]}));
        assert_eq!((pod.cpu_usage_cores, pod.cpu_usage_cum, pod.memory_usage_bytes), (Some(0.3), Some(3.0), Some(3)));
    }

    #[test]
    fn interfaces_count_where_there_is_no_default_one() {
        let told =
            json!([{"name": "lo", "rxBytes": 1000}, {"name": "a", "rxBytes": 1, "txBytes": 2}, {"name": "b", "rxBytes": 3}]);
        let pod = pod(json!({"network": {"time": "2026-11-21T06:00:00Z", "interfaces": told}}));
        assert_eq!((pod.net_rx_bytes, pod.net_tx_bytes), (Some(4), Some(2)));
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_unknown_and_costs_nothing_else() {
        let bare = pod(json!({}));
        assert_eq!(bare, PodEntry { pod_id: "u1".into(), namespace: "shop".into(), name: "web-0".into(), ..Default::default() });
        let odd = json!({
            "startTime": 5, "cpu": [], "memory": {"workingSetBytes": -1}, "network": {"rxBytes": "many", "txBytes": 1.5}, "containers": {},
        });
        assert_eq!(pod(odd), bare);
        let below_zero =
            json!({"memory": {"workingSetBytes": u64::MAX - 4_095}, "network": {"rxBytes": u64::MAX, "txBytes": u64::MAX}});
        assert_eq!(pod(below_zero), bare);
        assert_eq!(pod(json!({"cpu": {"usageNanoCores": 1e3, "usageCoreNanoSeconds": 2_000_000_000}})).cpu_usage_cum, Some(2.0));
    }

    #[test]
    fn pods_without_a_name_are_counted_and_left_out() {
        let nameless = json!({"podRef": {"name": "x", "namespace": "", "uid": "u"}});
        let good = json!({"podRef": {"name": "x", "namespace": "y", "uid": "u"}});
        let body = json!({"pods": [nameless, {}, null, {"podRef": {"name": "x", "namespace": "y"}}, good]}).to_string();
        let summary = read(body.as_bytes()).unwrap();
        assert_eq!((summary.pods.len(), summary.nameless, summary.node_name), (1, 4, None));
    }

    #[test]
    fn what_is_no_summary_is_refused() {
        assert_eq!(read(br#"{"node":{},"pods":null}"#).unwrap(), Summary::default());
        for body in ["", "[]", "{}", "null", "<html>", r#"{"items":[]}"#, r#"{"pods":[{"podRef":{"name":"x""#] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
