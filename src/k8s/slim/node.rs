//! Nodes: which cluster and zone they are of, what they are, and how large.

use kube::core::{ClusterResourceScope, ObjectMeta};
use serde::Deserialize;

use super::super::ResourceList;
use super::super::object::{Slim, Values, WireMeta};

/// Set by Cluster API, <https://cluster-api.sigs.k8s.io/reference/api/labels-and-annotations>.
const CLUSTER: &str = "cluster.x-k8s.io/cluster-name";

/// Well-known labels, the current one first, <https://kubernetes.io/docs/reference/labels-annotations-taints/>.
const INSTANCE_TYPES: [&str; 2] = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];
const ZONES: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/// Labels whose value says how a node is paid for: of Karpenter now and before, EKS node groups, GKE, AKS, kOps, Spot.io.
const CAPACITY_TYPES: [&str; 8] = [
    "karpenter.sh/capacity-type",
    "node.k8s.aws/capacity-type",
    "eks.amazonaws.com/capacityType",
    "cloud.google.com/gke-provisioning",
    "kubernetes.azure.com/scalesetpriority",
    "node.kubernetes.io/lifecycle",
    "kubernetes.io/lifecycle",
    "spotinst.io/node-lifecycle",
];

/// Labels that are `true` on nodes that may be taken away at any time.
const SPOT: [&str; 3] =
    ["cloud.google.com/gke-spot", "cloud.google.com/gke-preemptible", "oci.oraclecloud.com/oke-is-preemptible"];

/// What is kept of a node.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Wire")]
pub struct Node {
    /// Name, UID and resource version; nothing else.
    pub meta: ObjectMeta,
    /// What its annotation `cluster.x-k8s.io/cluster-name` says.
    pub cluster: Option<String>,
    /// Such as `m5.large`.
    pub instance_type: Option<String>,
    /// Such as `eu-central-1a`.
    pub zone: Option<String>,
    /// `spot`, `on-demand`, or what else its provisioner has, in lower case with hyphens.
    pub capacity_type: Option<String>,
    /// `spec.providerID`, such as `aws:///eu-central-1a/i-0123456789abcdef0`.
    pub provider_id: Option<String>,
    /// `status.capacity`
    pub capacity: ResourceList,
}

impl Slim for Node {
    type Scope = ClusterResourceScope;
    const KIND: &'static str = "Node";
    const PLURAL: &'static str = "nodes";

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta<Values>,
    spec: Option<WireSpec>,
    status: Option<WireStatus>,
}

#[derive(Deserialize, Default)]
struct WireSpec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct WireStatus {
    capacity: Option<ResourceList>,
}

impl From<Wire> for Node {
    fn from(Wire { mut metadata, spec, status }: Wire) -> Self {
        let meta = metadata.identity();
        let (labels, annotations) = (metadata.labels.unwrap_or_default(), metadata.annotations.unwrap_or_default());
        let first_of = |keys: &[&str]| labels.first_of(keys).map(str::to_owned);
        Self {
            meta,
            cluster: annotations.first_of(&[CLUSTER]).map(str::to_owned),
            instance_type: first_of(&INSTANCE_TYPES),
            zone: first_of(&ZONES),
            capacity_type: capacity_type(&labels),
            provider_id: spec.unwrap_or_default().provider_id.filter(|id| !id.is_empty()),
            capacity: status.unwrap_or_default().capacity.unwrap_or_default(),
        }
    }
}

fn capacity_type(labels: &Values) -> Option<String> {
    if SPOT.iter().any(|label| labels.first_of(&[label]) == Some("true")) {
        return Some("spot".to_owned());
    }
    let told = labels.first_of(&CAPACITY_TYPES)?.to_ascii_lowercase().replace('_', "-");
    Some(match told.as_str() {
        "preemptible" => "spot".to_owned(),
        "ondemand" | "od" | "normal" | "standard" | "regular" => "on-demand".to_owned(),
        _ => told,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn labelled(labels: &Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n", "labels": labels}})).unwrap()
    }

    #[test]
    fn a_node_is_read() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "n", "annotations": {CLUSTER: "prod", "other": "x".repeat(5_000)}, "labels": {
                "node.kubernetes.io/instance-type": "m5.large", "beta.kubernetes.io/instance-type": "old",
                "topology.kubernetes.io/zone": "eu-central-1a",
            }},
            "spec": {"providerID": "aws:///eu-central-1a/i-0123456789abcdef0", "taints": []},
            "status": {"capacity": {"cpu": "2", "memory": "8Gi", "pods": "110"}, "images": [{"names": ["a"]}]},
        }))
        .unwrap();
        assert_eq!((node.cluster.as_deref(), node.instance_type.as_deref()), (Some("prod"), Some("m5.large")));
        assert_eq!((node.zone.as_deref(), node.provider_id.is_some()), (Some("eu-central-1a"), true));
        assert_eq!(node.capacity.cpu.map(|cpu| cpu.milli_value()), Some(2_000));
        assert_eq!(node.capacity.memory.map(|memory| memory.value()), Some(8 << 30));
    }

    #[test]
    fn older_labels_count_where_the_new_ones_are_missing() {
        let node = labelled(&json!({
            "node.kubernetes.io/instance-type": "", "beta.kubernetes.io/instance-type": "old",
            "failure-domain.beta.kubernetes.io/zone": "z",
        }));
        assert_eq!((node.instance_type.as_deref(), node.zone.as_deref()), (Some("old"), Some("z")));
        let bare: Node = serde_json::from_value(json!({"metadata": {}, "spec": {"providerID": ""}, "status": {}})).unwrap();
        assert!(bare.cluster.is_none() && bare.provider_id.is_none() && bare.capacity_type.is_none());
    }

    #[test]
    fn capacity_types_are_told_in_the_same_words() {
        let cases = [
            ("karpenter.sh/capacity-type", "spot", "spot"),
            ("karpenter.sh/capacity-type", "reserved", "reserved"),
            ("eks.amazonaws.com/capacityType", "ON_DEMAND", "on-demand"),
            ("eks.amazonaws.com/capacityType", "SPOT", "spot"),
            ("eks.amazonaws.com/capacityType", "CAPACITY_BLOCK", "capacity-block"),
            ("cloud.google.com/gke-spot", "true", "spot"),
            ("cloud.google.com/gke-preemptible", "true", "spot"),
            ("cloud.google.com/gke-provisioning", "standard", "on-demand"),
            ("kubernetes.azure.com/scalesetpriority", "spot", "spot"),
            ("kubernetes.io/lifecycle", "normal", "on-demand"),
            ("spotinst.io/node-lifecycle", "od", "on-demand"),
        ];
        for (label, value, expected) in cases {
            assert_eq!(labelled(&json!({label: value})).capacity_type.as_deref(), Some(expected), "{label}={value}");
        }
        assert_eq!(labelled(&json!({"cloud.google.com/gke-spot": "false"})).capacity_type, None);
    }
}
