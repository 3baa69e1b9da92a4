//! The resources in a pod's spec, and nothing else of it: four amounts for each list, however many resources it names.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::quantity::Quantity;

#[cfg(test)]
mod tests;

/// What a pod's spec says of resources. Made of its fields `containers`, `initContainers`, `resources` and `overhead`; `null` is as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodResources {
    /// `spec.containers`
    pub containers: Vec<Container>,
    /// `spec.initContainers`, in their order; sidecars are among them.
    pub init_containers: Vec<Container>,
    /// `spec.resources`: what the pod as a whole may use.
    pub pod: ContainerResources,
    /// `spec.overhead`: what its runtime class adds.
    pub overhead: ResourceList,
}

/// A container, or an init container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Container {
    /// Its own `restartPolicy` is `Always`, which makes an init container a sidecar.
    #[serde(rename = "restartPolicy", default, deserialize_with = "is_always")]
    pub restart_always: bool,
    /// `resources`
    #[serde(default, deserialize_with = "or_default")]
    pub resources: ContainerResources,
}

/// Requests and limits of a container, or of a pod as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct ContainerResources {
    /// What is set aside for it.
    #[serde(default)]
    pub requests: ResourceList,
    /// What it can have at most.
    #[serde(default)]
    pub limits: ResourceList,
}

/// What is kept of a map from resources to quantities. A quantity that cannot be read is as absent: the API server takes none that is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceList {
    /// Cores.
    pub cpu: Option<Quantity>,
    /// Bytes.
    pub memory: Option<Quantity>,
    /// Bytes.
    pub ephemeral_storage: Option<Quantity>,
    /// Devices: the sum of what [`is_gpu`] says are GPUs.
    pub gpu: Option<Quantity>,
}

/// Whether an extended resource is a GPU or a slice of one, of which a whole number is requested as devices:
///
/// - `nvidia.com/gpu`, `nvidia.com/gpu.shared` (its name with time slicing), `nvidia.com/mig-*` (each slice is one device);
/// - `amd.com/gpu`, and `amd.com/spx_*`, `dpx_*`, `qpx_*`, `cpx_*` (a partition each);
/// - `gpu.intel.com/i915` and `gpu.intel.com/xe`; `habana.ai/gaudi`, which is sold for the same work.
///
/// Not: their memory, cores and monitoring (`nvidia.com/gpumem`, `gpu.intel.com/millicores`, `gpu.intel.com/i915_monitoring`), which would be counted
/// with the device itself; nor what is no GPU (`google.com/tpu`, `aws.amazon.com/neuron`).
pub fn is_gpu(resource: &str) -> bool {
    match resource.split_once('/') {
        Some(("nvidia.com", device)) => matches!(device, "gpu" | "gpu.shared") || device.starts_with("mig-"),
        Some(("amd.com", device)) => {
            device == "gpu" || ["spx_", "dpx_", "qpx_", "cpx_"].iter().any(|mode| device.starts_with(mode))
        }
        Some(("gpu.intel.com", device)) => matches!(device, "i915" | "xe"),
        Some(("habana.ai", device)) => device == "gaudi",
        _ => false,
    }
}

impl<'de> Deserialize<'de> for ResourceList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amounts)
    }
}

struct Amounts;

impl<'de> Visitor<'de> for Amounts {
    type Value = ResourceList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from resources to quantities")
    }

    fn visit_unit<E>(self) -> Result<ResourceList, E> {
        Ok(ResourceList::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ResourceList, A::Error> {
        let mut list = ResourceList::default();
        while let Some(name) = map.next_key()? {
            match name {
                Name::Cpu => list.cpu = map.next_value::<Amount>()?.0,
                Name::Memory => list.memory = map.next_value::<Amount>()?.0,
                Name::EphemeralStorage => list.ephemeral_storage = map.next_value::<Amount>()?.0,
                Name::Gpu => {
                    if let Amount(Some(devices)) = map.next_value()? {
                        list.gpu = Some(list.gpu.unwrap_or_default() + devices);
                    }
                }
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(list)
    }
}

/// A key of the map, not kept as text.
enum Name {
    Cpu,
    Memory,
    EphemeralStorage,
    Gpu,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a resource")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "cpu" => Name::Cpu,
                    "memory" => Name::Memory,
                    "ephemeral-storage" => Name::EphemeralStorage,
                    name if is_gpu(name) => Name::Gpu,
                    _ => Name::Other,
                })
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A quantity; nothing where there is something else.
struct Amount(Option<Quantity>);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_str<E>(self, text: &str) -> Result<Amount, E> {
                Ok(Amount(Quantity::parse(text.trim()).ok()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Amount, E> {
                Ok(Amount(Some(Quantity::of(number))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(Some(Quantity::of(i64::try_from(number).unwrap_or(i64::MAX)))))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Amount, E> {
                Ok(Amount(Quantity::of_f64(number).ok()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Amount, E> {
                Ok(Amount(None))
            }

            fn visit_unit<E>(self) -> Result<Amount, E> {
                Ok(Amount(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Amount, A::Error> {
                IgnoredAny.visit_seq(seq)?;
                Ok(Amount(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Amount, A::Error> {
                IgnoredAny.visit_map(map)?;
                Ok(Amount(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_always<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    enum Policy {
        Always,
        #[serde(other)]
        Other,
    }
    Ok(matches!(Option::deserialize(deserializer)?, Some(Policy::Always)))
}
