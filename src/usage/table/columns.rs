//! The columns: name, type, and where each value comes from.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};

use crate::usage::facts::{KnownPod, NodeFacts, PodFacts, ReportFacts, Resources, Row};

/// What times are stored in.
pub(super) const TIME_ZONE: &str = "UTC";

/// A list, if there is one.
pub(super) type Texts<'a> = Option<&'a [Arc<str>]>;

/// One column.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) of: Of,
}

/// What a value is of, and by that its type. `None` is null.
pub(super) enum Of {
    ReportText(fn(&ReportFacts) -> Option<&str>),
    ReportDouble(fn(&ReportFacts) -> Option<f64>),
    ReportLong(fn(&ReportFacts) -> Option<i64>),
    /// Microseconds since the Unix epoch.
    ReportTime(fn(&ReportFacts) -> Option<i64>),
    PodText(fn(&PodFacts) -> Option<&str>),
    PodLong(fn(&PodFacts) -> Option<i64>),
    PodInt(fn(&PodFacts) -> Option<i32>),
    PodTexts(fn(&PodFacts) -> Texts<'_>),
    RowDouble(fn(&Row) -> Option<f64>),
    RowLong(fn(&Row) -> Option<i64>),
}

impl Column {
    pub(super) fn field(&self) -> Field {
        let kind = match self.of {
            Of::ReportText(_) | Of::PodText(_) => DataType::Utf8,
            Of::ReportDouble(_) | Of::RowDouble(_) => DataType::Float64,
            Of::ReportLong(_) | Of::PodLong(_) | Of::RowLong(_) => DataType::Int64,
            Of::PodInt(_) => DataType::Int32,
            Of::ReportTime(_) => DataType::Timestamp(TimeUnit::Microsecond, Some(TIME_ZONE.into())),
            Of::PodTexts(_) => DataType::List(Arc::new(element(DataType::Utf8))),
        };
        Field::new(self.name, kind, true)
    }

    /// Whether a dictionary is worth while, and the level of zstd: found by measuring.
    ///
    /// The higher levels find what is equal in the first bytes of counters that rise, and gain nothing elsewhere.
    pub(super) fn packing(&self) -> (bool, i32) {
        match self.name {
            "cpu_usage_cores" | "memory_usage_bytes" => (false, 1),
            "cpu_usage_cum_sec" | "net_tx_bytes" | "net_rx_bytes" => (false, 6),
            // Those of one node come again with each of its pods, byte by byte.
            "collected_at" | "interval_seconds" => (false, 3),
            "timestamp" => (true, 3),
            _ => (true, 1),
        }
    }
}

/// Of a list, under the name that the format prescribes.
pub(super) fn element(of: DataType) -> Field {
    Field::new("element", of, true)
}

const fn column(name: &'static str, of: Of) -> Column {
    Column { name, of }
}

const fn text(name: &'static str, of: fn(&PodFacts) -> Option<&str>) -> Column {
    column(name, Of::PodText(of))
}

const fn long(name: &'static str, of: fn(&PodFacts) -> Option<i64>) -> Column {
    column(name, Of::PodLong(of))
}

const fn texts(name: &'static str, of: fn(&PodFacts) -> Texts<'_>) -> Column {
    column(name, Of::PodTexts(of))
}

/// In the order of the file. New ones go to the end, since some readers go by place.
pub(super) const COLUMNS: [Column; 39] = [
    column("timestamp", Of::ReportText(|report| Some(&report.timestamp))),
    column("cluster_id", Of::ReportText(|report| Some(&report.cluster_id))),
    column("node_name", Of::ReportText(|report| Some(&report.node_name))),
    column("ec2_instance_id", Of::ReportText(|report| report.ec2_instance_id.as_deref())),
    text("pod_id", |pod| Some(&pod.pod_id)),
    text("namespace", |pod| Some(&pod.namespace)),
    text("owner", |pod| known(pod)?.owner.as_deref()),
    column("cpu_usage_cores", Of::RowDouble(|row| row.cpu_usage_cores.get())),
    column("memory_usage_bytes", Of::RowLong(|row| row.memory_usage_bytes.get())),
    column("net_tx_bytes", Of::RowLong(|row| row.net_tx_bytes.get())),
    column("net_rx_bytes", Of::RowLong(|row| row.net_rx_bytes.get())),
    long("requests_cpu_millicores", |pod| requests(pod).map(|of| of.cpu_millicores)),
    long("requests_memory_bytes", |pod| requests(pod).map(|of| of.memory_bytes)),
    long("limits_cpu_millicores", |pod| limits(pod).map(|of| of.cpu_millicores)),
    long("limits_memory_bytes", |pod| limits(pod).map(|of| of.memory_bytes)),
    texts("labels", |pod| Some(&known(pod)?.labels)),
    texts("annotations", |pod| Some(&known(pod)?.annotations)),
    column("pvc_count", Of::PodInt(|pod| i32::try_from(known(pod)?.claims.names.len()).ok())),
    long("total_pvc_storage_bytes", |pod| Some(known(pod)?.claims.storage_bytes)),
    texts("pvc_names", |pod| Some(&known(pod)?.claims.names)),
    texts("aws_volume_ids", |pod| Some(&known(pod)?.claims.aws_volume_ids)),
    // Written from the beginning, and not documented.
    column("cluster_uid", Of::ReportText(|report| report.cluster_uid.as_deref())),
    column("node_cpu_capacity_cores", Of::ReportDouble(|report| report.node.cpu_capacity_cores)),
    column("node_memory_capacity_bytes", Of::ReportLong(|report| report.node.memory_capacity_bytes)),
    text("pod_name", |pod| Some(&pod.pod_name)),
    text("node", |pod| known(pod)?.node.as_deref()),
    column("cpu_usage_cum_sec", Of::RowDouble(|row| row.cpu_usage_cum.get())),
    text("pod_start_time", |pod| pod.pod_start_time.as_deref()),
    long("requests_storage_bytes", |pod| requests(pod).map(|of| of.storage_bytes)),
    long("limits_storage_bytes", |pod| limits(pod).map(|of| of.storage_bytes)),
    // New.
    column("collected_at", Of::ReportTime(|report| Some(report.collected_at))),
    text("workload_kind", |pod| known(pod)?.workload_kind.as_deref()),
    text("workload_name", |pod| known(pod)?.workload_name.as_deref()),
    texts("storage_classes", |pod| Some(&known(pod)?.claims.storage_classes)),
    column("node_instance_type", Of::ReportText(|report| node(report).instance_type.as_deref())),
    column("node_zone", Of::ReportText(|report| node(report).zone.as_deref())),
    column("node_capacity_type", Of::ReportText(|report| node(report).capacity_type.as_deref())),
    column("interval_seconds", Of::ReportDouble(|report| report.interval_seconds)),
    long("requests_gpu", |pod| requests(pod).map(|of| of.gpu)),
];

fn known(pod: &PodFacts) -> Option<&KnownPod> {
    pod.known.as_ref()
}

fn requests(pod: &PodFacts) -> Option<&Resources> {
    Some(&known(pod)?.requests)
}

fn limits(pod: &PodFacts) -> Option<&Resources> {
    Some(&known(pod)?.limits)
}

fn node(report: &ReportFacts) -> &NodeFacts {
    &report.node
}
