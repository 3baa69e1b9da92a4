use serde_json::json;

use super::*;

fn read<T: for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(value: &serde_json::Value) -> T {
    // As the API writes it, and as a watch event whose parts come in another order is read.
    let from_text: T = serde_json::from_str(&value.to_string()).unwrap();
    let from_value: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(from_text, from_value);
    from_text
}

fn quantity(text: &str) -> Option<Quantity> {
    Some(text.parse().unwrap())
}

#[test]
fn a_list_keeps_four_amounts() {
    let list: ResourceList = read(&json!({
        "cpu": "1500m", "memory": "2Ti", "ephemeral-storage": "1e3", "hugepages-2Mi": "4Mi", "example.com/dongle": {"any": [1]},
        "nvidia.com/gpu": 1, "nvidia.com/mig-1g.5gb": "3", "nvidia.com/gpumem": "4000",
    }));
    let expected =
        ResourceList { cpu: quantity("1.5"), memory: quantity("2048Gi"), ephemeral_storage: quantity("1k"), gpu: quantity("4") };
    assert_eq!(list, expected);
    assert_eq!(
        read::<ResourceList>(&json!({"cpu": 0.1, "memory": 1024})),
        ResourceList { cpu: quantity("100m"), memory: quantity("1Ki"), ..ResourceList::default() }
    );
}

#[test]
fn what_cannot_be_read_is_absent() {
    for wrong in [json!("1GB"), json!(""), json!(null), json!(true), json!([1, [2]]), json!({"a": {"b": 1}})] {
        let list: ResourceList = read(&json!({"cpu": wrong, "nvidia.com/gpu": wrong, "amd.com/gpu": "2", "memory": "1"}));
        let expected = ResourceList { memory: quantity("1"), gpu: quantity("2"), ..ResourceList::default() };
        assert_eq!(list, expected, "{wrong}");
        assert_eq!(read::<ResourceList>(&json!({"nvidia.com/gpu": wrong})).gpu, None, "{wrong}");
    }
    assert_eq!(read::<ResourceList>(&json!({"cpu": "0"})).cpu, quantity("0"), "nothing is not absent");
    assert!(serde_json::from_value::<ResourceList>(json!([])).is_err());
}

#[test]
fn a_container_may_say_nothing() {
    for bare in [
        json!({}),
        json!({"name": "a", "image": "b", "env": [{"name": "X"}], "restartPolicy": null, "resources": null}),
        json!({"restartPolicy": "Never", "resources": {"requests": null, "limits": {}, "claims": [{"name": "c"}]}}),
    ] {
        assert_eq!(read::<Container>(&bare), Container::default(), "{bare}");
    }
    let sidecar: Container = read(&json!({"resources": {"limits": {"cpu": "1"}}, "name": "a", "restartPolicy": "Always"}));
    assert!(sidecar.restart_always);
    assert_eq!((sidecar.resources.limits.cpu, sidecar.resources.requests), (quantity("1"), ResourceList::default()));
}

#[test]
fn devices_are_counted_and_not_their_parts() {
    for gpu in [
        "nvidia.com/gpu",
        "nvidia.com/gpu.shared",
        "nvidia.com/mig-3g.20gb",
        "nvidia.com/mig-1g.5gb.shared",
        "amd.com/gpu",
        "amd.com/cpx_nps4",
        "gpu.intel.com/i915",
        "gpu.intel.com/xe",
        "habana.ai/gaudi",
    ] {
        assert!(is_gpu(gpu), "{gpu}");
    }
    for other in [
        "gpu",
        "nvidia.com",
        "nvidia.com/",
        "nvidia.com/gpumem",
        "nvidia.com/gpucores",
        "nvidia.com/gpu.sharedx",
        "example.com/gpu",
        "requests.nvidia.com/gpu",
        "gpu.intel.com/i915_monitoring",
        "gpu.intel.com/millicores",
        "google.com/tpu",
        "aws.amazon.com/neuron",
    ] {
        assert!(!is_gpu(other), "{other}");
    }
}
