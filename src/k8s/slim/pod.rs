//! Pods with all that a table of their usage tells of them.

use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::object::{Controller, Slim, Values, WireMeta};
use super::super::{Container, ContainerResources, LONGEST_VALUE, PodResources, ResourceList};

/// What is kept of a pod. Values of annotations that are longer than `LONGEST` are cut, but stay longer than that.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Wire<LONGEST>")]
pub struct Pod<const LONGEST: usize = LONGEST_VALUE> {
    /// Name, namespace, UID and resource version; nothing else.
    pub meta: ObjectMeta,
    /// All labels.
    pub labels: Vec<(String, String)>,
    /// All annotations.
    pub annotations: Vec<(String, String)>,
    /// What controls it; the node, if it is a static pod.
    pub controller: Option<Controller>,
    /// Where it runs, once that is decided.
    pub node: Option<String>,
    /// `status.startTime`, as it is written.
    pub started: Option<String>,
    /// Names of its claims, those that are made for it included; in the order of its volumes, perhaps twice.
    pub claims: Vec<String>,
    /// What it requests and is limited to.
    pub resources: PodResources,
}

impl<const LONGEST: usize> Slim for Pod<LONGEST> {
    type Scope = NamespaceResourceScope;
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[derive(Deserialize)]
struct Wire<const LONGEST: usize> {
    metadata: WireMeta<Values<LONGEST>>,
    spec: Option<WireSpec>,
    status: Option<WireStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct WireSpec {
    node_name: Option<String>,
    volumes: Option<Vec<WireVolume>>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    resources: Option<ContainerResources>,
    overhead: Option<ResourceList>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireVolume {
    name: Option<String>,
    persistent_volume_claim: Option<WireClaimSource>,
    ephemeral: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireClaimSource {
    claim_name: Option<String>,
}

impl WireVolume {
    /// The claim behind it, if there is one. That of a generic ephemeral volume is named after pod and volume,
    /// <https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#persistentvolumeclaim-naming>.
    fn claim(self, pod: &str) -> Option<String> {
        match self.persistent_volume_claim {
            Some(source) => source.claim_name,
            None => self.ephemeral.and(self.name).map(|volume| format!("{pod}-{volume}")),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct WireStatus {
    start_time: Option<String>,
}

impl<const LONGEST: usize> From<Wire<LONGEST>> for Pod<LONGEST> {
    fn from(Wire { mut metadata, spec, status }: Wire<LONGEST>) -> Self {
        let spec = spec.unwrap_or_default();
        let meta = metadata.identity();
        let name = meta.name.as_deref().unwrap_or_default();
        Self {
            controller: metadata.controller(),
            labels: metadata.labels.unwrap_or_default().0,
            annotations: metadata.annotations.unwrap_or_default().0,
            node: spec.node_name.filter(|node| !node.is_empty()),
            started: status.unwrap_or_default().start_time,
            claims: spec.volumes.into_iter().flatten().filter_map(|volume| volume.claim(name)).collect(),
            resources: PodResources {
                containers: spec.containers.unwrap_or_default(),
                init_containers: spec.init_containers.unwrap_or_default(),
                pod: spec.resources.unwrap_or_default(),
                overhead: spec.overhead.unwrap_or_default(),
            },
            meta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_read_with_its_claims_and_its_controller() {
        let object = json!({
            "metadata": {
                "name": "web-0", "namespace": "shop", "uid": "u", "labels": {"app": "web"},
                "annotations": {"long": "x".repeat(5_000)}, "managedFields": [{"manager": "kubelet"}],
                "ownerReferences": [{"kind": "StatefulSet", "name": "web", "uid": "o", "controller": true}],
            },
            "spec": {
                "nodeName": "node-1",
                "containers": [{"name": "c", "env": [{"name": "A", "value": "b"}], "resources": {"requests": {"cpu": "100m"}}}],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0", "readOnly": false}},
                    {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "none", "ephemeral": null},
                ],
            },
            "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"},
        });
        let pod: Pod = serde_json::from_value(object.clone()).unwrap();
        assert_eq!((pod.name(), pod.namespace(), pod.uid()), ("web-0", "shop", "u"));
        assert_eq!((pod.node.as_deref(), pod.started.as_deref()), (Some("node-1"), Some("2026-01-01T00:00:00Z")));
        assert_eq!(pod.claims, ["data-web-0", "web-0-scratch"]);
        assert_eq!(pod.controller.as_ref().map(|owner| owner.name.as_str()), Some("web"));
        assert_eq!((pod.annotations[0].1.len(), pod.resources.containers.len()), (LONGEST_VALUE + 1, 1));
        let whole: Pod<{ usize::MAX }> = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(whole.annotations[0].1.len(), 5_000);
    }

    #[test]
    fn a_pod_that_waits_is_read_too() {
        let bare = json!({"metadata": {"name": "a", "labels": null}, "spec": {"nodeName": "", "volumes": null}});
        let pod: Pod = serde_json::from_value(bare).unwrap();
        assert!(pod.node.is_none() && pod.started.is_none() && pod.claims.is_empty() && pod.controller.is_none());
    }
}
