//! An invented node.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Where nodes live. They are cluster-scoped.
pub const NODES: &str = "/api/v1/nodes";

/// What is known of a node: 8 cores and 32 GiB on AWS, if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct NodeSpec {
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    capacity: BTreeMap<String, String>,
    provider_id: Option<String>,
}

impl NodeSpec {
    /// A node without labels, annotations and provider.
    pub fn new(name: &str) -> Self {
        let capacity = [("cpu", "8"), ("memory", "32Gi"), ("pods", "110")];
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            capacity: capacity.map(|(name, quantity)| (name.to_owned(), quantity.to_owned())).into(),
            provider_id: None,
        }
    }

    /// One more label, or another value of one.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// One more annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The annotation by which Cluster API names the cluster of a node.
    pub fn cluster(self, name: &str) -> Self {
        self.annotation("cluster.x-k8s.io/cluster-name", name)
    }

    /// `status.capacity`, as `("cpu", "7910m")`.
    pub fn capacity(mut self, resource: &str, quantity: &str) -> Self {
        self.capacity.insert(resource.to_owned(), quantity.to_owned());
        self
    }

    /// `spec.providerID`, as `aws:///eu-central-1a/i-0123456789abcdef0`.
    pub fn provider_id(mut self, id: &str) -> Self {
        self.provider_id = Some(id.to_owned());
        self
    }

    /// The object.
    pub fn to_json(&self) -> Value {
        let mut node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": self.name, "labels": self.labels, "annotations": self.annotations },
            "spec": {},
            "status": { "capacity": self.capacity, "allocatable": self.capacity },
        });
        if let Some(id) = &self.provider_id {
            node["spec"]["providerID"] = json!(id);
        }
        node
    }
}
