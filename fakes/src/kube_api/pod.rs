//! An invented pod, with the fields and, if wanted, the size of a real one.

mod parts;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::ballast::{environment, managed_fields};
pub use parts::Container;
use parts::Parts;

/// Where pods live.
pub const PODS: &str = "/api/v1/pods";

/// What is known of a pod. It runs on `node-1` and has no address, if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct PodSpec {
    namespace: String,
    name: String,
    uid: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    phase: String,
    ips: Vec<String>,
    host_network: bool,
    node: Option<String>,
    created: Option<String>,
    deleted: Option<String>,
    ballast: usize,
    parts: Parts,
}

impl PodSpec {
    /// A running pod without labels.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            phase: "Running".to_owned(),
            ips: Vec::new(),
            host_network: false,
            node: Some("node-1".to_owned()),
            created: None,
            deleted: None,
            ballast: 4_096,
            parts: Parts::default(),
        }
    }

    /// This uid, in place of one from the API server.
    pub fn uid(mut self, uid: &str) -> Self {
        self.uid = Some(uid.to_owned());
        self
    }

    /// One more label, or another value of one.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// More labels.
    pub fn labels<'a>(self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        labels.into_iter().fold(self, |pod, (key, value)| pod.label(key, value))
    }

    /// One label less.
    pub fn without_label(mut self, key: &str) -> Self {
        self.labels.remove(key);
        self
    }

    /// One more annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub fn phase(mut self, phase: &str) -> Self {
        phase.clone_into(&mut self.phase);
        self
    }

    /// One more address; the first one is `podIP`, and all are in `podIPs`.
    pub fn ip(self, ip: IpAddr) -> Self {
        self.ip_text(&ip.to_string())
    }

    /// One more address that need not be one.
    pub fn ip_text(mut self, ip: &str) -> Self {
        self.ips.push(ip.to_owned());
        self
    }

    /// No address, as before the sandbox of the pod runs.
    pub fn without_ips(mut self) -> Self {
        self.ips.clear();
        self
    }

    /// Whether it has the address of its node.
    pub fn host_network(mut self, on: bool) -> Self {
        self.host_network = on;
        self
    }

    /// Its node; `None` before it is scheduled.
    pub fn node(mut self, node: Option<&str>) -> Self {
        self.node = node.map(str::to_owned);
        self
    }

    /// When it was created, as `2026-01-01T00:00:00Z`.
    pub fn created(mut self, time: &str) -> Self {
        self.created = Some(time.to_owned());
        self
    }

    /// It is being deleted, since this time.
    pub fn deletion_timestamp(mut self, time: &str) -> Self {
        self.deleted = Some(time.to_owned());
        self
    }

    /// About so many bytes that are of no use to anybody: managed fields, environment. 4 KiB without it.
    pub fn ballast(mut self, bytes: usize) -> Self {
        self.ballast = bytes;
        self
    }

    /// Its namespace and name.
    pub fn id(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    /// The object.
    pub fn to_json(&self) -> Value {
        let mut pod = self.without_ballast();
        if self.ballast > 0 {
            pod["metadata"]["managedFields"] = managed_fields(self.ballast);
            pod["spec"]["containers"][0]["env"] = environment(self.ballast);
        }
        self.parts.patch(&mut pod);
        pod
    }

    /// The object, and how much ballast belongs to it besides. What is patched by hand has it within.
    pub(super) fn stored(&self) -> (Value, Option<usize>) {
        if self.parts.is_patched() {
            return (self.to_json(), None);
        }
        (self.without_ballast(), Some(self.ballast).filter(|&bytes| bytes > 0))
    }

    pub(super) fn without_ballast(&self) -> Value {
        let mut metadata = json!({ "name": self.name, "namespace": self.namespace });
        let texts = [
            ("uid", self.uid.as_ref()),
            ("creationTimestamp", self.created.as_ref()),
            ("deletionTimestamp", self.deleted.as_ref()),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                metadata[field] = json!(text);
            }
        }
        if self.deleted.is_some() {
            metadata["deletionGracePeriodSeconds"] = json!(30);
        }
        for (field, pairs) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !pairs.is_empty() {
                metadata[field] = json!(pairs);
            }
        }
        let containers = if self.parts.containers.is_empty() {
            vec![self.invented_container()]
        } else {
            self.parts.containers(self.ballast > 0)
        };
        let mut spec = json!({ "containers": containers, "serviceAccountName": "default", "restartPolicy": "Always" });
        if let Some(node) = &self.node {
            spec["nodeName"] = json!(node);
        }
        if self.host_network {
            spec["hostNetwork"] = json!(true);
        }
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": self.status() });
        self.parts.add_to(&mut pod);
        pod
    }

    fn invented_container(&self) -> Value {
        let mut container = json!({ "name": "main", "image": "registry.example/main:1.2.3" });
        if self.ballast > 0 {
            container["resources"] = json!({ "requests": { "cpu": "100m", "memory": "256Mi" }, "limits": { "memory": "1Gi" } });
            container["env"] = json!([]);
        }
        container
    }

    fn status(&self) -> Value {
        let mut status = json!({ "phase": self.phase });
        if self.ballast > 0 {
            let condition = |name: &str| json!({ "type": name, "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z" });
            status["conditions"] = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition).into();
            status["qosClass"] = json!("Burstable");
        }
        if self.node.is_some() {
            status["hostIP"] = match self.ips.first() {
                Some(ip) if self.host_network => json!(ip),
                _ => json!("192.0.2.1"),
            };
        }
        if let Some(first) = self.ips.first() {
            status["podIP"] = json!(first);
            status["podIPs"] = self.ips.iter().map(|ip| json!({ "ip": ip })).collect();
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_as_said() {
        let pod = PodSpec::new("default", "web-0").labels([("app", "web")]).ip([127, 0, 0, 1].into()).ip_text("fd00::1");
        let json = pod.clone().uid("u").host_network(true).node(None).deletion_timestamp("2026-02-01T00:00:00Z").to_json();
        assert_eq!(json["status"]["podIPs"], json!([{ "ip": "127.0.0.1" }, { "ip": "fd00::1" }]));
        let picked = ["uid", "deletionTimestamp", "labels"].map(|field| &json["metadata"][field]);
        assert_eq!(picked, [&json!("u"), &json!("2026-02-01T00:00:00Z"), &json!({ "app": "web" })]);
        assert_eq!((&json["spec"]["hostNetwork"], &json["spec"]["nodeName"]), (&json!(true), &Value::Null));
        assert!(pod.clone().ballast(0).to_json().to_string().len() < 500);
        for ballast in [4_096, 20_000] {
            let length = pod.clone().ballast(ballast).to_json().to_string().len();
            assert!((ballast..ballast * 3 / 2).contains(&length), "{length}");
        }
    }
}
