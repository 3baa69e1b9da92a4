//! What owns pods and has an owner itself: replica sets and jobs.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

/// Where replica sets live.
pub const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
/// Where jobs live.
pub const JOBS: &str = "/apis/batch/v1/jobs";

/// A replica set or a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct OwnerSpec {
    kind: &'static str,
    namespace: String,
    name: String,
    owner: Option<(String, String)>,
}

impl OwnerSpec {
    /// A replica set that nobody owns.
    pub fn replica_set(namespace: &str, name: &str) -> Self {
        Self { kind: "ReplicaSet", namespace: namespace.to_owned(), name: name.to_owned(), owner: None }
    }

    /// A job that nobody owns.
    pub fn job(namespace: &str, name: &str) -> Self {
        Self { kind: "Job", ..Self::replica_set(namespace, name) }
    }

    /// Its controller: `("Deployment", "web")`.
    pub fn owner(mut self, kind: &str, name: &str) -> Self {
        self.owner = Some((kind.to_owned(), name.to_owned()));
        self
    }

    /// Where it lives.
    pub fn resource(&self) -> &'static str {
        if self.kind == "Job" { JOBS } else { REPLICA_SETS }
    }

    /// The object.
    pub fn to_json(&self) -> Value {
        let mut metadata =
            json!({ "namespace": self.namespace, "name": self.name, "uid": uid(self.kind, &self.namespace, &self.name) });
        if let Some((kind, name)) = &self.owner {
            metadata["ownerReferences"] = json!([reference(&self.namespace, kind, name)]);
        }
        let template = json!({ "spec": { "containers": [{ "name": "main", "image": "registry.example/main:1.2.3" }] } });
        json!({ "apiVersion": api_version(self.kind), "kind": self.kind, "metadata": metadata, "spec": { "template": template } })
    }
}

/// A controller in the `ownerReferences` of what it owns, which is in this namespace.
pub(super) fn reference(namespace: &str, kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": api_version(kind),
        "kind": kind,
        "name": name,
        "uid": uid(kind, namespace, name),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Job" | "CronJob" => "batch/v1",
        "Node" => "v1",
        "Rollout" => "argoproj.io/v1alpha1",
        _ => "apps/v1",
    }
}

/// The UID of an owner, to which those that it owns refer.
fn uid(kind: &str, namespace: &str, name: &str) -> String {
    // Always with the same keys.
    let mut hasher = DefaultHasher::new();
    (kind, namespace, name).hash(&mut hasher);
    let hash = hasher.finish();
    format!("{:08x}-0000-4000-8000-{:012x}", hash >> 48, hash & 0xffff_ffff_ffff)
}
