//! What a pod is made of besides its name and address: owner, containers, volumes, and whatever else a test wants to say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::PodSpec;
use crate::kube_api::owner::reference;

/// As it was asked for; empty where nothing was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    owner: Option<(String, String)>,
    pub(super) containers: Vec<Container>,
    init_containers: Vec<Container>,
    resources: Resources,
    overhead: Quantities,
    volumes: Vec<Value>,
    started: Option<String>,
    patches: Vec<Value>,
}

type Quantities = BTreeMap<String, String>;

/// Requests and limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Resources {
    requests: Quantities,
    limits: Quantities,
}

/// A container, or an init container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Container {
    name: String,
    resources: Resources,
    sidecar: bool,
}

impl Container {
    /// A container without requests and limits.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), resources: Resources::default(), sidecar: false }
    }

    /// More requests, as `("cpu", "100m")`.
    pub fn requests<'a>(mut self, quantities: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.resources.requests.extend(owned(quantities));
        self
    }

    /// More limits.
    pub fn limits<'a>(mut self, quantities: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.resources.limits.extend(owned(quantities));
        self
    }

    /// `restartPolicy: Always`, which makes an init container a sidecar.
    pub fn sidecar(mut self) -> Self {
        self.sidecar = true;
        self
    }

    fn to_json(&self) -> Value {
        let mut container =
            json!({ "name": self.name, "image": "registry.example/main:1.2.3", "resources": self.resources.to_json() });
        if self.sidecar {
            container["restartPolicy"] = json!("Always");
        }
        container
    }
}

impl PodSpec {
    /// Its controller: `("ReplicaSet", "web-6d4b")`.
    pub fn owner(mut self, kind: &str, name: &str) -> Self {
        self.parts.owner = Some((kind.to_owned(), name.to_owned()));
        self
    }

    /// One more container. The first takes the place of the invented one.
    pub fn container(mut self, container: Container) -> Self {
        self.parts.containers.push(container);
        self
    }

    /// One more init container.
    pub fn init_container(mut self, container: Container) -> Self {
        self.parts.init_containers.push(container);
        self
    }

    /// `spec.resources.requests`: those of the pod as a whole.
    pub fn pod_requests<'a>(mut self, quantities: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.parts.resources.requests.extend(owned(quantities));
        self
    }

    /// `spec.resources.limits`: those of the pod as a whole.
    pub fn pod_limits<'a>(mut self, quantities: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.parts.resources.limits.extend(owned(quantities));
        self
    }

    /// `spec.overhead`: what its runtime class needs besides.
    pub fn overhead<'a>(mut self, quantities: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.parts.overhead.extend(owned(quantities));
        self
    }

    /// A volume of a claim.
    pub fn claim(self, volume: &str, claim: &str) -> Self {
        self.volume(json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim } }))
    }

    /// A generic ephemeral volume. Its claim is called as the pod, a dash, and the volume; it has to be applied, too.
    pub fn ephemeral(self, volume: &str) -> Self {
        let spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
        self.volume(json!({ "name": volume, "ephemeral": { "volumeClaimTemplate": { "spec": spec } } }))
    }

    /// One more volume of any kind.
    pub fn volume(mut self, volume: Value) -> Self {
        self.parts.volumes.push(volume);
        self
    }

    /// `status.startTime`.
    pub fn started(mut self, time: &str) -> Self {
        self.parts.started = Some(time.to_owned());
        self
    }

    /// Changes the object as a JSON merge patch does (RFC 7396), after everything else.
    pub fn patch(mut self, patch: Value) -> Self {
        self.parts.patches.push(patch);
        self
    }
}

impl Parts {
    /// The containers; the first has room for an environment, if it will have one.
    pub(super) fn containers(&self, environment: bool) -> Vec<Value> {
        let mut containers: Vec<Value> = self.containers.iter().map(Container::to_json).collect();
        if let Some(first) = containers.first_mut().filter(|_| environment) {
            first["env"] = json!([]);
        }
        containers
    }

    pub(super) fn add_to(&self, pod: &mut Value) {
        if let Some((kind, name)) = &self.owner {
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            pod["metadata"]["ownerReferences"] = json!([reference(namespace, kind, name)]);
        }
        if let Some(started) = &self.started {
            pod["status"]["startTime"] = json!(started);
        }
        let spec = &mut pod["spec"];
        if !self.init_containers.is_empty() {
            spec["initContainers"] = self.init_containers.iter().map(Container::to_json).collect();
        }
        if self.resources != Resources::default() {
            spec["resources"] = self.resources.to_json();
        }
        if !self.overhead.is_empty() {
            spec["overhead"] = json!(self.overhead);
        }
        if !self.volumes.is_empty() {
            spec["volumes"] = json!(self.volumes);
        }
    }

    pub(super) fn is_patched(&self) -> bool {
        !self.patches.is_empty()
    }

    pub(super) fn patch(&self, pod: &mut Value) {
        for patch in &self.patches {
            merge(pod, patch);
        }
    }
}

impl Resources {
    fn to_json(&self) -> Value {
        let sides = [("requests", &self.requests), ("limits", &self.limits)];
        sides
            .into_iter()
            .filter(|(_, quantities)| !quantities.is_empty())
            .map(|(side, quantities)| (side.to_owned(), json!(quantities)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

fn owned<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> impl Iterator<Item = (String, String)> {
    pairs.into_iter().map(|(name, quantity)| (name.to_owned(), quantity.to_owned()))
}

/// A JSON merge patch: members of objects are merged, null removes, everything else replaces.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (name, patch) in members {
        if !patch.is_null() {
            merge(&mut value[name], patch);
        } else if let Some(object) = value.as_object_mut() {
            object.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_where_kubernetes_has_them() {
        let pod = PodSpec::new("default", "web-0")
            .owner("StatefulSet", "web")
            .container(Container::new("main").requests([("cpu", "1500m")]).limits([("memory", "1Gi")]))
            .init_container(Container::new("proxy").sidecar())
            .pod_limits([("cpu", "2")])
            .overhead([("memory", "64Mi")])
            .claim("data", "data-web-0")
            .ephemeral("scratch")
            .started("2026-01-01T00:00:01Z");
        let json = pod.to_json();
        let owner = &json["metadata"]["ownerReferences"][0];
        assert_eq!([&owner["apiVersion"], &owner["controller"]], [&json!("apps/v1"), &json!(true)]);
        let spec = &json["spec"];
        assert_eq!(spec["containers"][0]["resources"], json!({ "requests": { "cpu": "1500m" }, "limits": { "memory": "1Gi" } }));
        assert!(!spec["containers"][0]["env"].as_array().unwrap().is_empty());
        assert_eq!(spec["initContainers"][0]["restartPolicy"], "Always");
        assert_eq!((&spec["resources"], &spec["overhead"]), (&json!({ "limits": { "cpu": "2" } }), &json!({ "memory": "64Mi" })));
        assert_eq!(spec["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-web-0");
        assert_eq!(json["status"]["startTime"], "2026-01-01T00:00:01Z");
        assert_eq!(json["status"]["phase"], "Running");
    }

    #[test]
    fn patches_come_last() {
        let pod = PodSpec::new("default", "a").label("app", "web");
        let pod = pod.patch(json!({ "metadata": { "labels": { "app": null, "tier": "front" } }, "spec": { "containers": [] } }));
        let (object, ballast) = pod.stored();
        assert_eq!(
            (&object["metadata"]["labels"], &object["spec"]["containers"], ballast),
            (&json!({ "tier": "front" }), &json!([]), None)
        );
    }
}
