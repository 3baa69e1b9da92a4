//! Claims and the volumes that they are bound to.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Where claims live.
pub const CLAIMS: &str = "/api/v1/persistentvolumeclaims";
/// Where volumes live. They are cluster-scoped.
pub const VOLUMES: &str = "/api/v1/persistentvolumes";

/// A persistent volume claim, pending until it has a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ClaimSpec {
    namespace: String,
    name: String,
    volume: Option<String>,
    class: Option<String>,
    requested: String,
    capacity: Option<String>,
    owner: Option<Value>,
}

impl ClaimSpec {
    /// A claim for 1 GiB of no class.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            volume: None,
            class: None,
            requested: "1Gi".to_owned(),
            capacity: None,
            owner: None,
        }
    }

    /// It is bound to this volume.
    pub fn volume(mut self, name: &str) -> Self {
        self.volume = Some(name.to_owned());
        self
    }

    /// `spec.storageClassName`
    pub fn class(mut self, name: &str) -> Self {
        self.class = Some(name.to_owned());
        self
    }

    /// `spec.resources.requests.storage`
    pub fn requested(mut self, quantity: &str) -> Self {
        quantity.clone_into(&mut self.requested);
        self
    }

    /// `status.capacity.storage`; what was requested if nothing is said and the claim is bound.
    pub fn capacity(mut self, quantity: &str) -> Self {
        self.capacity = Some(quantity.to_owned());
        self
    }

    /// The pod for which Kubernetes has made it, for a generic ephemeral volume.
    pub fn of_pod(mut self, pod: &str, uid: &str) -> Self {
        self.owner = Some(json!({ "apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid, "controller": true }));
        self
    }

    /// The object.
    pub fn to_json(&self) -> Value {
        let mut metadata = json!({ "namespace": self.namespace, "name": self.name });
        if let Some(owner) = &self.owner {
            metadata["ownerReferences"] = json!([owner]);
        }
        let mut spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": self.requested } } });
        if let Some(class) = &self.class {
            spec["storageClassName"] = json!(class);
        }
        let mut status = json!({ "phase": "Pending" });
        if let Some(volume) = &self.volume {
            spec["volumeName"] = json!(volume);
            let capacity = self.capacity.as_ref().unwrap_or(&self.requested);
            status = json!({ "phase": "Bound", "capacity": { "storage": capacity } });
        }
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": status })
    }
}

/// A persistent volume of any maker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct VolumeSpec {
    name: String,
    source: Value,
    capacity: String,
    annotations: BTreeMap<String, String>,
}

impl VolumeSpec {
    /// A volume of 1 GiB by a CSI driver, as `("ebs.csi.aws.com", "vol-0123456789abcdef0")`.
    pub fn csi(name: &str, driver: &str, handle: &str) -> Self {
        Self::of(name, json!({ "csi": { "driver": driver, "volumeHandle": handle } }))
    }

    /// A volume of 1 GiB by the driver for EBS that was part of Kubernetes, as `aws://eu-central-1a/vol-0123456789abcdef0`.
    pub fn in_tree_ebs(name: &str, id: &str) -> Self {
        Self::of(name, json!({ "awsElasticBlockStore": { "volumeID": id, "fsType": "ext4" } }))
    }

    /// A volume of 1 GiB from any source: `{ "nfs": { ... } }`.
    pub fn of(name: &str, source: Value) -> Self {
        Self { name: name.to_owned(), source, capacity: "1Gi".to_owned(), annotations: BTreeMap::new() }
    }

    /// `spec.capacity.storage`
    pub fn capacity(mut self, quantity: &str) -> Self {
        quantity.clone_into(&mut self.capacity);
        self
    }

    /// One more annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The object.
    pub fn to_json(&self) -> Value {
        let mut spec = self.source.clone();
        spec["capacity"] = json!({ "storage": self.capacity });
        spec["accessModes"] = json!(["ReadWriteOnce"]);
        let metadata = json!({ "name": self.name, "annotations": self.annotations });
        json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec, "status": { "phase": "Bound" } })
    }
}
