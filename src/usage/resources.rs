//! Effective requests and limits of a pod, as the scheduler sees them.
//!
//! The rules are those of `PodRequests` and `PodLimits` in `k8s.io/component-helpers/resource/helpers.go`, on what the spec says (during a resize in
//! place, the scheduler also looks at what the status says is still allocated):
//!
//! - Containers add up, and so do sidecars, which are init containers with `restartPolicy: Always`.
//! - Other init containers run one after the other, each beside the sidecars that were started before it; where one needs more than all that runs
//!   later, that is what the pod needs.
//! - What `spec.resources` says of CPU and memory holds instead (the gate `PodLevelResources`, on by default since 1.34; without it, the API server
//!   keeps no such field).
//! - The overhead is added: to requests always, to a limit only if there is one that is not zero.
//!
//! A limit that one container lacks is not the pod's lack of it: the limits that are set add up.
//!
//! Requests that are absent where a limit is set are equal to it. The API server writes them into each pod before anybody sees it (`SetDefaults_Pod`
//! and `defaultPodRequests` in `pkg/apis/core/v1/defaults.go`), and rounds each amount up to thousandths; so with pods from there, the former changes
//! nothing here, and nobody notices that the latter is left to it.

use std::array;

use super::facts::Resources;
use crate::k8s::{Container, PodResources, ResourceList};
use crate::quantity::Quantity;

#[cfg(test)]
mod tests;

/// CPU, memory, ephemeral storage, GPUs.
type Amounts = [Option<Quantity>; 4];

/// How many of the first [`Amounts`] a pod can have as a whole: CPU and memory.
const OF_PODS: usize = 2;

/// Requests and limits of `pod`; what is absent is 0. All GPUs count as of one kind: with those of two makers in one pod, an init container's and the
/// containers' are not added.
pub fn effective(pod: &PodResources) -> (Resources, Resources) {
    let own = pod.pod;
    let (own_requests, own_limits, overhead) = (amounts(&own.requests), amounts(&own.limits), amounts(&pod.overhead));

    let limits_of = |container: &Container| amounts(&container.resources.limits);
    let mut limits = of_containers(pod, limits_of);
    let mut requests = of_containers(pod, |container| {
        let (requests, limits) = (amounts(&container.resources.requests), limits_of(container));
        array::from_fn(|i| requests[i].or(limits[i]))
    });
    for i in 0..OF_PODS {
        limits[i] = own_limits[i].or(limits[i]);
        requests[i] = own_requests[i].or(requests[i]).or(own_limits[i]);
    }

    let over_nothing = |limit: Option<Quantity>| limit.is_none_or(Quantity::is_zero);
    (
        resources(plus(requests, overhead)),
        resources(array::from_fn(|i| if over_nothing(limits[i]) { limits[i] } else { plus_one(limits[i], overhead[i]) })),
    )
}

/// What all containers need at once, or an init container beside the sidecars before it, whichever is more.
fn of_containers(pod: &PodResources, of: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut running = pod.containers.iter().map(&of).fold(Amounts::default(), plus);
    let (mut sidecars, mut starting) = (Amounts::default(), Amounts::default());
    for container in &pod.init_containers {
        let beside = plus(sidecars, of(container));
        if container.restart_always {
            running = plus(running, of(container));
            sidecars = beside;
        }
        starting = array::from_fn(|i| starting[i].max(beside[i]));
    }
    array::from_fn(|i| running[i].max(starting[i]))
}

fn amounts(list: &ResourceList) -> Amounts {
    [list.cpu, list.memory, list.ephemeral_storage, list.gpu]
}

fn plus(some: Amounts, others: Amounts) -> Amounts {
    array::from_fn(|i| plus_one(some[i], others[i]))
}

/// Absent only if both are.
fn plus_one(one: Option<Quantity>, other: Option<Quantity>) -> Option<Quantity> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

/// Rounded to what the columns count in, once for each sum.
fn resources(amounts: Amounts) -> Resources {
    let [cpu, memory, storage, gpu] = amounts.map(Option::unwrap_or_default);
    Resources {
        cpu_millicores: cpu.milli_value(),
        memory_bytes: memory.value(),
        storage_bytes: storage.value(),
        gpu: gpu.value(),
    }
}
