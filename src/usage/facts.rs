//! What is known of pods, nodes and reports when they become rows: the join's result ([`join`](super::join)), and what a [`table`](super::table)
//! is made of. Facts that many rows share are kept once, and rows point to them.

use std::sync::Arc;

/// Everything that becomes one file.
#[derive(Debug, Default)]
pub struct Batch {
    /// What rows of one report share.
    pub reports: Vec<ReportFacts>,
    /// What rows of one pod share.
    pub pods: Vec<PodFacts>,
    /// In any order.
    pub rows: Vec<Row>,
}

/// What one pod used at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Which of [`Batch::reports`].
    pub report: u32,
    /// Which of [`Batch::pods`].
    pub pod: u32,
    /// Cores in use.
    pub cpu_usage_cores: Known<f64>,
    /// Seconds of CPU since the pod began.
    pub cpu_usage_cum: Known<f64>,
    /// Bytes.
    pub memory_usage_bytes: Known<i64>,
    /// Bytes since the pod began.
    pub net_tx_bytes: Known<i64>,
    /// Bytes since the pod began.
    pub net_rx_bytes: Known<i64>,
}

/// A number that is not negative, or is unknown, in the space of the number: a file has a million rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known<T>(T);

impl<T: From<i8> + PartialOrd> Known<T> {
    /// The number, unless it is unknown.
    pub fn get(self) -> Option<T> {
        (self.0 >= T::from(0)).then_some(self.0)
    }
}

impl<T: From<i8>> From<Option<T>> for Known<T> {
    fn from(number: Option<T>) -> Self {
        Self(number.unwrap_or_else(|| T::from(-1)))
    }
}

/// One report: when it was measured, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFacts {
    /// As the collector wrote it.
    pub timestamp: String,
    /// The same, in microseconds since the Unix epoch.
    pub collected_at: i64,
    /// As the collector wrote it.
    pub node_name: Arc<str>,
    /// The collector's, else that of the node's `providerID`.
    pub ec2_instance_id: Option<Arc<str>>,
    /// Seconds since the measurement before.
    pub interval_seconds: Option<f64>,
    /// `cluster_id` of the table.
    pub cluster_id: Arc<str>,
    /// UID of `kube-system`.
    pub cluster_uid: Option<Arc<str>>,
    /// What Kubernetes says of the node; nothing if it does not know it.
    pub node: Arc<NodeFacts>,
}

/// A node, as far as a row tells of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeFacts {
    /// `status.capacity.cpu`, cores.
    pub cpu_capacity_cores: Option<f64>,
    /// `status.capacity.memory`, bytes.
    pub memory_capacity_bytes: Option<i64>,
    /// Label `node.kubernetes.io/instance-type`, or the older one.
    pub instance_type: Option<Arc<str>>,
    /// Label `topology.kubernetes.io/zone`, or the older one.
    pub zone: Option<Arc<str>>,
    /// `spot`, `on-demand` and the like, as its provisioner's label says.
    pub capacity_type: Option<Arc<str>>,
}

/// A pod, as far as a row tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PodFacts {
    /// As the collector wrote it.
    pub pod_id: Arc<str>,
    /// Of the pod in Kubernetes; as the collector wrote it where there is none.
    pub namespace: Arc<str>,
    /// As `namespace`.
    pub pod_name: Arc<str>,
    /// The collector's, else `status.startTime`.
    pub pod_start_time: Option<Arc<str>>,
    /// What Kubernetes says of the pod; `None` if it knows no such pod.
    pub known: Option<KnownPod>,
}

/// What only Kubernetes knows of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownPod {
    /// `spec.nodeName`
    pub node: Option<Arc<str>>,
    /// Name of its controller.
    pub owner: Option<Arc<str>>,
    /// `Deployment`, `CronJob` and the like: the controller of its controller, where that has one.
    pub workload_kind: Option<Arc<str>>,
    /// Name of that one.
    pub workload_name: Option<Arc<str>>,
    /// As the scheduler counts them.
    pub requests: Resources,
    /// The same for limits.
    pub limits: Resources,
    /// `k=v`, sorted.
    pub labels: Arc<[Arc<str>]>,
    /// `k=v`, sorted.
    pub annotations: Arc<[Arc<str>]>,
    /// Its claims.
    pub claims: Claims,
}

/// Effective resources of a pod; what is absent is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// Thousandths of a core, rounded up.
    pub cpu_millicores: i64,
    /// Bytes, rounded up.
    pub memory_bytes: i64,
    /// Bytes of ephemeral storage, rounded up.
    pub storage_bytes: i64,
    /// Devices of all makers.
    pub gpu: i64,
}

/// The persistent volume claims of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Names, sorted; their number is `pvc_count`.
    pub names: Vec<Arc<str>>,
    /// Sum of their capacities, bytes.
    pub storage_bytes: i64,
    /// `vol-...` of those on EBS, sorted.
    pub aws_volume_ids: Vec<Arc<str>>,
    /// Each class once, sorted.
    pub storage_classes: Vec<Arc<str>>,
}
