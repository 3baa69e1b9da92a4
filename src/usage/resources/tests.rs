use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::k8s::ContainerResources;

/// A pod's spec in each line, and what Kubernetes v1.34.3 says of it: `SetObjectDefaults_Pod` of `k8s.io/kubernetes/pkg/apis/core/v1`, then `PodRequests`
/// and `PodLimits` of `k8s.io/component-helpers/resource`, as millicores, bytes, bytes of ephemeral storage, and devices that are GPUs. No amount has
/// more than three decimal places: the API server sends no other.
const PODS: &str = include_str!("../../../tests/fixtures/resources/pods.jsonl");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    containers: Vec<Container>,
    init_containers: Option<Vec<Container>>,
    resources: Option<ContainerResources>,
    overhead: Option<ResourceList>,
}

fn of(spec: &Value) -> ([i64; 4], [i64; 4]) {
    let spec: Spec = serde_json::from_str(&spec.to_string()).unwrap();
    let numbers = |of: Resources| [of.cpu_millicores, of.memory_bytes, of.storage_bytes, of.gpu];
    let (requests, limits) = effective(&PodResources {
        containers: spec.containers,
        init_containers: spec.init_containers.unwrap_or_default(),
        pod: spec.resources.unwrap_or_default(),
        overhead: spec.overhead.unwrap_or_default(),
    });
    (numbers(requests), numbers(limits))
}

/// CPU of requests and limits, in millicores.
fn cpu(spec: &Value) -> (i64, i64) {
    let (requests, limits) = of(spec);
    (requests[0], limits[0])
}

/// A container that requests this much CPU.
fn asks(cpu: &str) -> Value {
    json!({"resources": {"requests": {"cpu": cpu}}})
}

/// The same with a limit of twice as much.
fn limited(cpu: i64) -> Value {
    json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": 2 * cpu}}})
}

fn sidecar(mut container: Value) -> Value {
    container["restartPolicy"] = json!("Always");
    container
}

#[test]
fn pods_need_what_kubernetes_says() {
    let mut differing = 0;
    for line in PODS.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let expected = |what: &str| -> [i64; 4] { serde_json::from_value(case[what].clone()).unwrap() };
        assert_eq!(of(&case["spec"]), (expected("requests"), expected("limits")), "{line}");
        differing += usize::from(expected("requests") != expected("limits"));
    }
    assert!(PODS.lines().count() > 350 && differing > 200, "{differing}");
}

#[test]
fn what_is_absent_is_nothing() {
    for spec in
        [json!({"containers": []}), json!({"containers": [{}], "initContainers": null, "resources": null, "overhead": null})]
    {
        assert_eq!(of(&spec), ([0; 4], [0; 4]), "{spec}");
    }
}

#[test]
fn containers_add_up_in_all_resources() {
    let all = json!({"cpu": "250m", "memory": "1Gi", "ephemeral-storage": "1k", "nvidia.com/gpu": "1"});
    let one = json!({"resources": {"requests": all, "limits": all}});
    assert_eq!(of(&json!({"containers": [one, one]})), ([500, 2 << 30, 2_000, 2], [500, 2 << 30, 2_000, 2]));
}

#[test]
fn the_sum_is_rounded_and_not_its_parts() {
    assert_eq!(cpu(&json!({"containers": [asks("0.4m"), asks("0.4m"), asks("0.1m")]})), (1, 0));
    let memory = json!({"resources": {"requests": {"memory": "400m"}}});
    assert_eq!(of(&json!({"containers": [memory, memory]})).0, [0, 1, 0, 0]);
    assert_eq!(of(&json!({"containers": [memory, memory, memory]})).0, [0, 2, 0, 0]);
}

#[test]
fn requests_are_the_limits_where_there_are_none() {
    let limit = json!({"resources": {"limits": {"cpu": "2"}}});
    assert_eq!(cpu(&json!({"containers": [limit]})), (2_000, 2_000));
    assert_eq!(cpu(&json!({"containers": [asks("1")], "initContainers": [limit]})), (2_000, 2_000));
    // None is asked for, and that is said.
    assert_eq!(cpu(&json!({"containers": [{"resources": {"requests": {"cpu": 0}, "limits": {"cpu": 2}}}]})), (0, 2_000));
}

#[test]
fn limits_that_are_set_add_up() {
    assert_eq!(cpu(&json!({"containers": [limited(1), asks("5")]})), (6_000, 2_000));
}

#[test]
fn an_init_container_counts_where_it_needs_more() {
    assert_eq!(cpu(&json!({"containers": [limited(1), limited(1)], "initContainers": [limited(3), limited(1)]})), (3_000, 6_000));
    assert_eq!(cpu(&json!({"containers": [limited(1), limited(1)], "initContainers": [limited(1), limited(1)]})), (2_000, 4_000));
}

#[test]
fn sidecars_run_beside_the_containers() {
    assert_eq!(cpu(&json!({"containers": [limited(1)], "initContainers": [sidecar(limited(1)), limited(1)]})), (2_000, 4_000));
    // Only for init containers does it mean anything.
    assert_eq!(cpu(&json!({"containers": [sidecar(limited(1))], "initContainers": [limited(2)]})), (2_000, 4_000));
}

#[test]
fn an_init_container_runs_beside_the_sidecars_before_it() {
    let (small, great) = (sidecar(limited(1)), limited(5));
    assert_eq!(cpu(&json!({"containers": [limited(1)], "initContainers": [small, great, small]})), (6_000, 12_000));
    assert_eq!(cpu(&json!({"containers": [limited(1)], "initContainers": [great, small, small]})), (5_000, 10_000));
    assert_eq!(cpu(&json!({"containers": [limited(1)], "initContainers": [small, small, great]})), (7_000, 14_000));
}

#[test]
fn the_pod_as_a_whole_holds_for_cpu_and_memory() {
    let more = json!({"cpu": "3", "memory": "1k", "ephemeral-storage": "1k", "nvidia.com/gpu": "9"});
    let spec = json!({"containers": [limited(1), limited(1)], "resources": {"requests": more, "limits": more}});
    assert_eq!(of(&spec), ([3_000, 1_000, 0, 0], [3_000, 1_000, 0, 0]));
    // Less than its containers need is no error here.
    assert_eq!(cpu(&json!({"containers": [limited(4)], "resources": {"requests": {"cpu": "1"}}})), (1_000, 8_000));
}

#[test]
fn the_limit_of_a_pod_is_its_request_where_its_containers_have_none() {
    let resources = json!({"limits": {"cpu": "4", "memory": "1k"}});
    assert_eq!(of(&json!({"containers": [{}], "resources": resources})), ([4_000, 1_000, 0, 0], [4_000, 1_000, 0, 0]));
    assert_eq!(of(&json!({"containers": [asks("1")], "resources": resources})), ([1_000, 1_000, 0, 0], [4_000, 1_000, 0, 0]));
}

#[test]
fn overhead_is_added_but_makes_no_limit() {
    let overhead = json!({"cpu": "250m", "memory": "1k"});
    assert_eq!(of(&json!({"containers": [limited(1)], "overhead": overhead})), ([1_250, 1_000, 0, 0], [2_250, 0, 0, 0]));
    assert_eq!(cpu(&json!({"containers": [{"resources": {"limits": {"cpu": "0"}}}], "overhead": overhead})), (250, 0));
    let whole = json!({"requests": {"cpu": "3"}, "limits": {"cpu": "4"}});
    assert_eq!(cpu(&json!({"containers": [limited(1)], "resources": whole, "overhead": overhead})), (3_250, 4_250));
}

#[test]
fn sums_that_are_too_great_are_capped() {
    let memory = json!({"resources": {"requests": {"memory": "7Ei", "cpu": "9E"}}});
    assert_eq!(of(&json!({"containers": [memory, memory, memory]})).0, [i64::MAX, i64::MAX, 0, 0]);
}
