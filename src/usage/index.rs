//! What is known of pods, nodes, claims and controllers: slim, and for a while also of those that are gone, since reports of them are joined later
//! than they were measured.
//!
//! It is plain data: [`watch`](self::watch()) feeds it, [`join`](super::join) reads it, and tests need neither. Pods and controllers are found by
//! UID, which no other ever has; nodes, claims and volumes by name, as others refer to them, so that a new one takes the place of one that is gone.

mod entry;
mod feed;
mod kept;
mod pods;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use self::entry::Indexed;
pub(super) use self::entry::{NodeEntry, Owner, PodEntry};
pub use self::feed::{Indexes, WatchState, check, watch};

use self::entry::{ClaimEntry, Effective, Name};
use self::kept::{Kept, Millis, Table};
use self::pods::Pods;
use crate::k8s::{Shared, Uid};

/// The namespace whose UID stands for the cluster.
const KUBE_SYSTEM: &str = "kube-system";

/// What is kept of annotations beyond the usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// `kubectl.kubernetes.io/last-applied-configuration`, as far as its length allows.
    pub last_applied: bool,
    /// Values of more than 1 KiB.
    pub long_values: bool,
}

/// Which kinds have been listed completely.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Synced {
    pub nodes: bool,
    pub pods: bool,
    pub pvcs: bool,
    pub pvs: bool,
    pub replica_sets: bool,
    pub jobs: bool,
    pub namespaces: bool,
}

impl Synced {
    /// True when all have been.
    pub fn all(self) -> bool {
        self == Self { nodes: true, pods: true, pvcs: true, pvs: true, replica_sets: true, jobs: true, namespaces: true }
    }
}

/// All objects of all kinds.
#[derive(Debug)]
pub struct Index {
    keep: Keep,
    /// How long what is gone is kept.
    retention: Millis,
    pods: Pods,
    nodes: Kept<Arc<str>, NodeEntry>,
    claims: Kept<Name, ClaimEntry>,
    /// What EBS calls a volume, if it is on EBS.
    volumes: Kept<Arc<str>, Option<Arc<str>>>,
    /// What controls them.
    replica_sets: Kept<Uid, Option<Arc<Owner>>>,
    jobs: Kept<Uid, Option<Arc<Owner>>>,
    /// UIDs.
    namespaces: Kept<Arc<str>, Arc<str>>,
    texts: Shared<str>,
    label_sets: Shared<[Arc<str>]>,
    owners: Shared<Owner>,
    resources: Shared<Effective>,
}

impl Index {
    /// An index without objects, that keeps what is gone for `retention`.
    pub fn new(retention: Duration, keep: Keep) -> Self {
        Self {
            keep,
            retention: Millis::try_from(retention.as_millis()).unwrap_or(Millis::MAX),
            pods: Pods::default(),
            nodes: Kept::default(),
            claims: Kept::default(),
            volumes: Kept::default(),
            replica_sets: Kept::default(),
            jobs: Kept::default(),
            namespaces: Kept::default(),
            texts: Shared::default(),
            label_sets: Shared::default(),
            owners: Shared::default(),
            resources: Shared::default(),
        }
    }

    /// A list of a kind begins, perhaps again.
    pub fn begin_list<B: Indexed>(&mut self) {
        B::table_mut(self).begin_list();
    }

    /// An object of the list.
    pub fn listed<B: Indexed>(&mut self, object: B) {
        object.put(self, None);
    }

    /// The list is complete: what it did not have is gone as of now.
    pub fn end_list<B: Indexed>(&mut self, now: Timestamp) {
        B::table_mut(self).end_list(now.as_millisecond());
        self.label_sets.sweep();
        self.owners.sweep();
        self.resources.sweep();
        self.texts.sweep();
        self.sweep(now);
    }

    /// An object is there, new or changed.
    pub fn apply<B: Indexed>(&mut self, object: B, now: Timestamp) {
        object.put(self, None);
        self.sweep(now);
    }

    /// An object is gone as of now; this is its last state.
    pub fn delete<B: Indexed>(&mut self, object: B, now: Timestamp) {
        object.put(self, Some(now.as_millisecond()));
        self.sweep(now);
    }

    /// Forgets what has been gone for long enough.
    pub fn sweep(&mut self, now: Timestamp) {
        let before = now.as_millisecond().saturating_sub(self.retention);
        let tables: [&mut dyn Table; 7] = [
            &mut self.pods,
            &mut self.nodes,
            &mut self.claims,
            &mut self.volumes,
            &mut self.replica_sets,
            &mut self.jobs,
            &mut self.namespaces,
        ];
        tables.into_iter().for_each(|table| table.sweep(before));
    }

    /// How many objects of a kind there are, without those that are gone.
    pub fn known<B: Indexed>(&self) -> usize {
        B::table(self).known()
    }

    /// Which kinds have been listed.
    pub fn synced(&self) -> Synced {
        Synced {
            nodes: self.nodes.synced(),
            pods: self.pods.synced(),
            pvcs: self.claims.synced(),
            pvs: self.volumes.synced(),
            replica_sets: self.replica_sets.synced(),
            jobs: self.jobs.synced(),
            namespaces: self.namespaces.synced(),
        }
    }

    /// UID of `kube-system`.
    pub(super) fn cluster_uid(&self) -> Option<&Arc<str>> {
        self.namespaces.get(KUBE_SYSTEM)
    }

    /// Names of the nodes that are there.
    pub(super) fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.here().map(|name| &**name)
    }

    pub(super) fn node(&self, name: &str) -> Option<&NodeEntry> {
        self.nodes.get(name)
    }

    /// The pod that a collector calls `pod_id`.
    pub(super) fn pod(&self, pod_id: &str) -> Option<&PodEntry> {
        self.pods.get(pod_id)
    }

    /// A claim in a namespace.
    pub(super) fn claim(&self, namespace: &Arc<str>, name: &Arc<str>) -> Option<&ClaimEntry> {
        self.claims.get(&Name { namespace: Arc::clone(namespace), name: Arc::clone(name) })
    }

    /// `vol-...` of a persistent volume on EBS.
    pub(super) fn ebs_volume(&self, name: &str) -> Option<&Arc<str>> {
        self.volumes.get(name)?.as_ref()
    }

    /// What a controller belongs to: the Deployment of a ReplicaSet, the CronJob of a Job; without one, itself.
    pub(super) fn workload<'a>(&'a self, controller: &'a Arc<Owner>) -> &'a Owner {
        let above = match &*controller.kind {
            "ReplicaSet" => self.replica_sets.get(&controller.uid),
            "Job" => self.jobs.get(&controller.uid),
            _ => None,
        };
        above.and_then(Option::as_ref).unwrap_or(controller)
    }
}
