//! What a collector reports, once it has been read and found to be usable: see [`payload`](super::payload).

/// The usage of all pods of a node at one time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// When it was measured, as the collector wrote it.
    pub timestamp: String,
    /// The same, in microseconds since the Unix epoch.
    pub collected_at: i64,
    /// `metadata.name` of the node.
    pub node_name: String,
    /// What the node calls itself.
    pub hostname: String,
    /// `i-...`, where the collector knows it.
    pub ec2_instance_id: Option<String>,
    /// Seconds since the measurement before, where the collector tells.
    pub interval_seconds: Option<f64>,
    /// Its pods, without those that could not be read.
    pub pods: Vec<PodUsage>,
}

/// What one pod uses. Nothing is negative, and no number is infinite.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodUsage {
    /// `metadata.uid`; of a static pod the hash of its configuration.
    pub pod_id: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// Cores in use.
    pub cpu_usage_cores: Option<f64>,
    /// Seconds of CPU since the pod began.
    pub cpu_usage_cum: Option<f64>,
    /// Bytes of memory in use.
    pub memory_usage_bytes: Option<i64>,
    /// Bytes sent since the pod began.
    pub net_tx_bytes: Option<i64>,
    /// Bytes received since the pod began.
    pub net_rx_bytes: Option<i64>,
    /// When the pod began, as the collector wrote it.
    pub pod_start_time: Option<String>,
}

/// An entry of a report's pods that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which one, from zero.
    pub index: usize,
    /// Path of the field that is wrong, such as `pods[3].net_rx_bytes`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// The entry as it was sent.
    pub entry: String,
}
