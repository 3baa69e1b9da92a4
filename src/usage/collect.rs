//! The collector: runs on every node, asks the kubelet, and sends reports.
