//! A report as it is sent: `schema/usage.json`, which the receiver reads as [`Report`](crate::usage::report::Report).

use jiff::Timestamp;
use serde::Serialize;

/// The usage of all pods of a node at one time.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// See [`timestamp`].
    pub(super) timestamp: String,
    /// `metadata.name` of the node.
    pub(super) node_name: String,
    /// What the node calls itself.
    pub(super) hostname: String,
    /// `i-...`, where it is known.
    pub(super) ec2_instance_id: Option<String>,
    /// Since the measurement before; nothing for the first.
    pub(super) interval_seconds: Option<f64>,
    /// In the kubelet's order.
    pub(super) pods: Vec<PodEntry>,
}

/// What one pod uses.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct PodEntry {
    /// `metadata.uid`; of a static pod the hash of its configuration.
    pub(super) pod_id: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Cores in use.
    pub(super) cpu_usage_cores: Option<f64>,
    /// Seconds of CPU since the pod began.
    pub(super) cpu_usage_cum: Option<f64>,
    /// The working set.
    pub(super) memory_usage_bytes: Option<u64>,
    /// Bytes sent since the pod began.
    pub(super) net_tx_bytes: Option<u64>,
    /// Bytes received since the pod began.
    pub(super) net_rx_bytes: Option<u64>,
    /// As the kubelet writes it.
    pub(super) pod_start_time: Option<String>,
}

/// RFC 3339 in UTC, always with microseconds: with the node's name it is what tells one report from another.
pub(super) fn timestamp(at: Timestamp) -> String {
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_microseconds_always() {
        for (nanosecond, text) in [(0, "1970-01-01T00:00:01.000000Z"), (123_456_789, "1970-01-01T00:00:01.123456Z")] {
            assert_eq!(timestamp(Timestamp::new(1, nanosecond).unwrap()), text);
        }
    }

    #[test]
    fn what_is_unknown_is_null() {
        let report = Report {
            timestamp: "t".into(),
            node_name: "n".into(),
            hostname: "h".into(),
            ec2_instance_id: None,
            interval_seconds: None,
            pods: vec![PodEntry { pod_id: "u".into(), cpu_usage_cores: Some(0.5), ..Default::default() }],
        };
        let text = serde_json::to_string(&report).unwrap();
        let pod = r#"{"pod_id":"u","namespace":"","name":"","cpu_usage_cores":0.5,"cpu_usage_cum":null,"memory_usage_bytes":null,"net_tx_bytes":null,"net_rx_bytes":null,"pod_start_time":null}"#;
        let head = r#"{"timestamp":"t","node_name":"n","hostname":"h","ec2_instance_id":null,"interval_seconds":null,"pods":["#;
        assert_eq!(text, format!("{head}{pod}]}}"));
    }
}
