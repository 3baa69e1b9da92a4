//! Persistent volume claims and persistent volumes: how large, of which class, and which volume of EBS it is.

use kube::core::{ClusterResourceScope, NamespaceResourceScope, ObjectMeta};
use serde::Deserialize;

use super::super::object::{Slim, Values, WireMeta};
use crate::quantity::Quantity;

/// The annotation from before `spec.storageClassName`, which still has priority in Kubernetes
/// (`GetPersistentVolumeClaimClass` in `pkg/apis/core/v1/helper`).
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// CSI drivers of EBS: the one of AWS, and the one that EKS Auto Mode runs.
const EBS_DRIVERS: [&str; 2] = ["ebs.csi.aws.com", "ebs.csi.eks.amazonaws.com"];

/// What is kept of a persistent volume claim.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireClaim")]
pub struct Claim {
    /// Name, namespace, UID and resource version; nothing else.
    pub meta: ObjectMeta,
    /// `spec.volumeName`, once it is bound.
    pub volume: Option<String>,
    /// Its storage class.
    pub class: Option<String>,
    /// `status.capacity.storage`, else what it asks for.
    pub storage: Option<Quantity>,
}

/// What is kept of a persistent volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireVolume")]
pub struct Volume {
    /// Name, UID and resource version; nothing else.
    pub meta: ObjectMeta,
    /// `vol-...`, if it is a volume of EBS.
    pub ebs: Option<String>,
}

impl Slim for Claim {
    type Scope = NamespaceResourceScope;
    const KIND: &'static str = "PersistentVolumeClaim";
    const PLURAL: &'static str = "persistentvolumeclaims";

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

impl Slim for Volume {
    type Scope = ClusterResourceScope;
    const KIND: &'static str = "PersistentVolume";
    const PLURAL: &'static str = "persistentvolumes";

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[derive(Deserialize)]
struct WireClaim {
    metadata: WireMeta<Values>,
    spec: Option<WireClaimSpec>,
    status: Option<WireClaimStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct WireClaimSpec {
    volume_name: Option<String>,
    storage_class_name: Option<String>,
    resources: Option<WireRequests>,
}

#[derive(Deserialize)]
struct WireRequests {
    requests: Option<WireStorage>,
}

#[derive(Deserialize, Default)]
struct WireClaimStatus {
    capacity: Option<WireStorage>,
}

#[derive(Deserialize)]
struct WireStorage {
    storage: Option<String>,
}

impl WireStorage {
    fn read(self) -> Option<Quantity> {
        Quantity::parse(&self.storage?).ok()
    }
}

impl From<WireClaim> for Claim {
    fn from(WireClaim { mut metadata, spec, status }: WireClaim) -> Self {
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let annotated = metadata.annotations.as_ref().and_then(|annotations| annotations.first_of(&[CLASS]));
        let class = annotated.map(str::to_owned).or(spec.storage_class_name);
        let asked = || spec.resources?.requests?.read();
        Self {
            meta: metadata.identity(),
            volume: spec.volume_name.filter(|name| !name.is_empty()),
            class: class.filter(|class| !class.is_empty()),
            storage: status.capacity.and_then(WireStorage::read).or_else(asked),
        }
    }
}

#[derive(Deserialize)]
struct WireVolume {
    metadata: WireMeta,
    spec: Option<WireVolumeSpec>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct WireVolumeSpec {
    csi: Option<WireCsi>,
    aws_elastic_block_store: Option<WireEbs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCsi {
    driver: Option<String>,
    volume_handle: Option<String>,
}

#[derive(Deserialize)]
struct WireEbs {
    #[serde(rename = "volumeID")]
    volume_id: Option<String>,
}

impl From<WireVolume> for Volume {
    fn from(WireVolume { mut metadata, spec }: WireVolume) -> Self {
        let spec = spec.unwrap_or_default();
        let csi = spec.csi.filter(|csi| csi.driver.as_deref().is_some_and(|driver| EBS_DRIVERS.contains(&driver)));
        let told = csi.and_then(|csi| csi.volume_handle).or_else(|| spec.aws_elastic_block_store?.volume_id);
        Self { meta: metadata.identity(), ebs: told.as_deref().and_then(volume_id).map(str::to_owned) }
    }
}

/// `vol-...`, `aws://ZONE/vol-...` or `aws:///vol-...`, the forms of `KubernetesVolumeID` in the cloud provider of AWS.
fn volume_id(told: &str) -> Option<&str> {
    let id = told.rsplit('/').next().unwrap_or_default();
    id.starts_with("vol-").then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claim(spec: &Value, status: &Value, annotations: &Value) -> Claim {
        let meta = json!({"name": "c", "namespace": "n", "annotations": annotations});
        serde_json::from_value(json!({"metadata": meta, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn a_claim_has_what_it_got_else_what_it_asks_for() {
        let spec = json!({
            "volumeName": "pv-1", "storageClassName": "gp3", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}},
        });
        let bound = claim(&spec, &json!({"phase": "Bound", "capacity": {"storage": "12Gi"}}), &json!(null));
        assert_eq!((bound.volume.as_deref(), bound.class.as_deref()), (Some("pv-1"), Some("gp3")));
        assert_eq!(bound.storage.map(|storage| storage.value()), Some(12 << 30));
        let asking = claim(&spec, &json!({"phase": "Pending"}), &json!({CLASS: "old"}));
        assert_eq!((asking.storage.map(|storage| storage.value()), asking.class.as_deref()), (Some(10 << 30), Some("old")));
        let bare = claim(&json!({"volumeName": "", "storageClassName": ""}), &json!(null), &json!({}));
        assert!(bare.volume.is_none() && bare.class.is_none() && bare.storage.is_none());
        let odd = claim(&json!({}), &json!({"capacity": {"storage": "many"}}), &json!({}));
        assert!(odd.storage.is_none());
    }

    #[test]
    fn only_volumes_of_ebs_have_an_id() {
        let ebs = |spec: &Value| {
            let volume: Volume = serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": spec})).unwrap();
            volume.ebs
        };
        let csi = |driver: &str, handle: &str| ebs(&json!({"csi": {"driver": driver, "volumeHandle": handle}}));
        let tree = |id: &str| ebs(&json!({"awsElasticBlockStore": {"volumeID": id, "fsType": "ext4"}}));
        let id = Some("vol-0123456789abcdef0".to_owned());
        assert_eq!(csi("ebs.csi.aws.com", "vol-0123456789abcdef0"), id);
        assert_eq!(csi("ebs.csi.eks.amazonaws.com", "vol-0123456789abcdef0"), id);
        assert_eq!(csi("efs.csi.aws.com", "vol-0123456789abcdef0"), None);
        assert_eq!(csi("ebs.csi.aws.com", "fs-0123"), None);
        for form in ["vol-0123456789abcdef0", "aws://eu-central-1a/vol-0123456789abcdef0", "aws:///vol-0123456789abcdef0"] {
            assert_eq!(tree(form), id, "{form}");
        }
        assert_eq!((ebs(&json!({"nfs": {"path": "/"}})), ebs(&json!(null))), (None, None));
    }
}
