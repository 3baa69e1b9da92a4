//! The join of reports with the index: whose a pod is, where it ran, and what it had. Nothing here waits or asks anybody.
//!
//! [`Join`] looks up one node or pod. [`Batches`] joins many reports, and sorts their rows into the files that they belong to.

mod batches;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

pub use self::batches::{Batches, Counts, Group, day};

use super::facts::{Claims, KnownPod, NodeFacts, PodFacts};
use super::index::{Index, PodEntry};
use super::report::PodUsage;

/// The cluster of a node that nothing tells the cluster of.
const UNKNOWN: &str = "unknown";

/// The index, as reports are joined with it.
#[derive(Debug, Clone, Copy)]
pub struct Join<'a> {
    index: &'a Index,
    cluster_name: Option<&'a str>,
    /// Whatever nodes say.
    pinned: Option<&'a str>,
}

/// A node, as reports of it are joined.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedNode {
    /// What its annotation says, else the name that the program was given, else `unknown`.
    pub cluster_id: Arc<str>,
    /// What is known of it; nothing of one that Kubernetes does not know.
    pub facts: Arc<NodeFacts>,
    /// `i-...`, as its `providerID` says.
    pub instance_id: Option<Arc<str>>,
}

impl<'a> Join<'a> {
    /// A join with what is in `index` now. Nodes that do not say which cluster they are of are of `cluster_name`.
    pub fn new(index: &'a Index, cluster_name: Option<&'a str>) -> Self {
        Self { index, cluster_name, pinned: None }
    }

    /// The same, but all nodes are of this cluster, if one is told.
    pub fn pinned_to(self, cluster_id: Option<&'a str>) -> Self {
        Self { pinned: cluster_id, ..self }
    }

    /// UID of `kube-system`, which stands for the cluster.
    pub fn cluster_uid(&self) -> Option<Arc<str>> {
        self.index.cluster_uid().cloned()
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> JoinedNode {
        let entry = self.index.node(name);
        let annotated = || entry.and_then(|entry| entry.cluster.clone());
        let given = || self.cluster_name.filter(|name| !name.is_empty()).unwrap_or(UNKNOWN).into();
        JoinedNode {
            cluster_id: self.pinned.map(Into::into).or_else(annotated).unwrap_or_else(given),
            facts: entry.map(|entry| Arc::clone(&entry.facts)).unwrap_or_default(),
            instance_id: entry.and_then(|entry| entry.instance.clone()),
        }
    }

    /// Whether Kubernetes knows a pod.
    pub fn knows(&self, pod_id: &str) -> bool {
        self.index.pod(pod_id).is_some()
    }

    /// The pod that a usage is of: by its UID, or as a static pod by its hash. One that Kubernetes does not know has the names of the usage.
    pub fn pod(&self, usage: &PodUsage) -> PodFacts {
        let entry = self.index.pod(&usage.pod_id);
        let started = || Some(Timestamp::from_second(entry?.started?).ok()?.to_string().into());
        PodFacts {
            pod_id: usage.pod_id.as_str().into(),
            namespace: entry.map_or_else(|| usage.namespace.as_str().into(), |entry| Arc::clone(&entry.namespace)),
            pod_name: entry.map_or_else(|| usage.name.as_str().into(), |entry| Arc::clone(&entry.name)),
            pod_start_time: usage.pod_start_time.as_deref().map(Into::into).or_else(started),
            known: entry.map(|entry| self.known(entry)),
        }
    }

    fn known(&self, pod: &PodEntry) -> KnownPod {
        let workload = pod.controller.as_ref().map(|controller| self.index.workload(controller));
        KnownPod {
            node: pod.node.clone(),
            owner: pod.controller.as_ref().map(|controller| Arc::clone(&controller.name)),
            workload_kind: workload.map(|workload| Arc::clone(&workload.kind)),
            workload_name: workload.map(|workload| Arc::clone(&workload.name)),
            requests: pod.resources.requests,
            limits: pod.resources.limits,
            labels: Arc::clone(&pod.labels),
            annotations: Arc::clone(&pod.annotations),
            claims: self.claims(pod),
        }
    }

    /// A claim that nobody has seen yet has a name and no size, and one that is not bound yet no volume.
    fn claims(&self, pod: &PodEntry) -> Claims {
        let mut claims = Claims::default();
        let (mut volumes, mut classes) = (BTreeSet::new(), BTreeSet::new());
        for name in &pod.claims {
            claims.names.push(Arc::clone(name));
            let Some(claim) = self.index.claim(&pod.namespace, name) else { continue };
            claims.storage_bytes = claims.storage_bytes.saturating_add(claim.bytes);
            classes.extend(claim.class.clone());
            volumes.extend(claim.volume.as_deref().and_then(|volume| self.index.ebs_volume(volume)).cloned());
        }
        claims.aws_volume_ids = volumes.into_iter().collect();
        claims.storage_classes = classes.into_iter().collect();
        claims
    }
}
