//! Pods by the hundred thousand, and the memory that an index of them takes.

use kube_s3_exporter::k8s::PodObject;
use kube_s3_exporter::podmetrics::index::Index;
use kube_s3_exporter::podmetrics::target::{DEFAULT_PREFIX, IpFamily, Rules};
use serde_json::json;

/// What the process has taken from the system, in bytes.
#[derive(Debug)]
pub struct Memory {
    /// For an index that is complete.
    pub settled: usize,
    /// At most, while all pods are listed again and every one of them has changed.
    pub peak: usize,
}

/// Fills an index with as many pods, and does it again. To be called first in a process, since memory that has been used and freed is not seen.
pub fn measure(pods: usize) -> (Index, Memory) {
    // What is used once, whatever the number of pods.
    drop(pod(1));
    let before = status("VmRSS");
    let mut index = Index::new(Rules::new(DEFAULT_PREFIX, IpFamily::Any).expect("a prefix"));
    let source = index.add_source();
    index.begin_list(source);
    (0..pods).for_each(|number| index.listed(source, &pod(number)));
    index.end_list(source);
    let settled = status("VmRSS") - before;
    index.begin_list(source);
    for number in 0..pods {
        let node = format!("ip-10-9-9-{}", number % 100);
        index.listed(source, &PodObject { node: Some(node), ..pod(number) });
    }
    index.end_list(source);
    let peak = status("VmHWM") - before;
    (index, Memory { settled, peak })
}

/// A pod as clusters have them: 25 to a node, 50 to a workload, and every tenth with a setting that few others have.
pub fn pod(number: usize) -> PodObject {
    let (namespace, workload) = (number / 500, number / 50);
    let rare = if number.is_multiple_of(10) { 10_000 + number % 997 } else { 8_080 };
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("payment-gateway-{workload:05}-7d9f8b6c5d-{:05}", number % 50),
            "namespace": format!("team-{namespace:03}-production"),
            "uid": format!("0c1d2e3f-0000-4000-8000-{number:012x}"),
            "resourceVersion": number.to_string(),
            "labels": {format!("{DEFAULT_PREFIX}job-name"): format!("payment-gateway-{workload:05}"), "app": "payment-gateway"},
            "annotations": {
                format!("{DEFAULT_PREFIX}endpoint"): "/actuator/prometheus",
                format!("{DEFAULT_PREFIX}port"): rare.to_string(),
                "kubernetes.io/psp": "a".repeat(2_000),
            },
        },
        "spec": {"nodeName": format!("ip-10-{}-{}.eu-central-1.compute.internal", number / 25 / 250, number / 25 % 250)},
        "status": {"phase": "Running", "podIPs": [{"ip": format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255)}]},
    }))
    .expect("a pod")
}

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of this name");
    let kibibytes: usize = line.trim_start_matches(':').trim_end_matches("kB").trim().parse().expect("a number");
    kibibytes * 1024
}
