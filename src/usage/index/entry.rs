//! What is kept of each object, and how it comes into its table: as little as will do, with texts that others have too kept once.

use std::sync::Arc;

use jiff::Timestamp;

use super::kept::{Millis, Table};
use super::{Index, Keep};
use crate::k8s::slim::{Claim, Job, Namespace, Node, Pod, ReplicaSet, Volume};
use crate::k8s::{Controller, LAST_APPLIED, LONGEST_VALUE, Slim, Uid};
use crate::usage::facts::{NodeFacts, Resources};
use crate::usage::resources::effective;

/// A static pod has it on its mirror in the API: what the kubelet has for its UID.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// A kind of objects that is indexed.
pub trait Indexed: Slim {
    /// The table of the kind.
    fn table(index: &Index) -> &dyn Table;

    /// The same, to be changed.
    fn table_mut(index: &mut Index) -> &mut dyn Table;

    /// The object is there, or is gone since `gone`.
    fn put(self, index: &mut Index, gone: Option<Millis>);
}

/// A pod.
#[derive(Debug)]
pub struct PodEntry {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub node: Option<Arc<str>>,
    /// Seconds since the Unix epoch.
    pub started: Option<i64>,
    pub controller: Option<Arc<Owner>>,
    pub resources: Arc<Effective>,
    pub labels: Arc<[Arc<str>]>,
    pub annotations: Arc<[Arc<str>]>,
    /// Names of claims in its namespace, sorted, each once.
    pub claims: Box<[Arc<str>]>,
}

/// Effective requests and limits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Effective {
    pub requests: Resources,
    pub limits: Resources,
}

/// A node.
#[derive(Debug)]
pub struct NodeEntry {
    pub cluster: Option<Arc<str>>,
    /// `i-...`
    pub instance: Option<Arc<str>>,
    pub facts: Arc<NodeFacts>,
}

/// A persistent volume claim.
#[derive(Debug)]
pub struct ClaimEntry {
    pub volume: Option<Arc<str>>,
    pub class: Option<Arc<str>>,
    pub bytes: i64,
}

/// Namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// A controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub uid: Uid,
}

impl Index {
    fn text(&mut self, text: &str) -> Arc<str> {
        self.texts.intern(text)
    }

    fn optional(&mut self, text: Option<&str>) -> Option<Arc<str>> {
        text.map(|text| self.texts.intern(text))
    }

    fn owner(&mut self, controller: Option<Controller>) -> Option<Arc<Owner>> {
        let Controller { kind, name, uid } = controller?;
        // Few other than pods have the name of a controller, and those have the controller itself.
        Some(self.owners.intern(Owner { kind: self.texts.intern(kind), name: name.into(), uid: Uid::new(&uid) }))
    }

    fn pairs(&mut self, pairs: impl Iterator<Item = (String, String)>) -> Vec<Arc<str>> {
        let mut pairs: Vec<Arc<str>> = pairs.map(|(key, value)| self.texts.intern(format!("{key}={value}"))).collect();
        pairs.sort_unstable();
        pairs
    }
}

impl Keep {
    fn keeps(self, key: &str, value: &str) -> bool {
        (self.last_applied || key != LAST_APPLIED) && (self.long_values || value.len() <= LONGEST_VALUE)
    }
}

impl<const LONGEST: usize> Indexed for Pod<LONGEST> {
    fn table(index: &Index) -> &dyn Table {
        &index.pods
    }

    fn table_mut(index: &mut Index) -> &mut dyn Table {
        &mut index.pods
    }

    fn put(self, index: &mut Index, gone: Option<Millis>) {
        let uid = Uid::new(self.uid());
        let hash = self.annotations.iter().find(|(key, _)| key == CONFIG_HASH).map(|(_, hash)| Uid::new(hash));
        let (requests, limits) = effective(&self.resources);
        let mut claims: Vec<Arc<str>> = self.claims.iter().map(|name| index.text(name)).collect();
        claims.sort_unstable();
        claims.dedup();
        let keep = index.keep;
        let labels = index.pairs(self.labels.into_iter());
        let annotations = self.annotations.into_iter().filter(|(key, value)| keep.keeps(key, value));
        let entry = PodEntry {
            namespace: index.text(self.meta.namespace.as_deref().unwrap_or_default()),
            name: self.meta.name.unwrap_or_default().into(),
            node: index.optional(self.node.as_deref()),
            started: self.started.and_then(|at| at.parse().ok()).map(Timestamp::as_second),
            controller: index.owner(self.controller),
            resources: index.resources.intern(Effective { requests, limits }),
            labels: index.label_sets.intern(labels),
            annotations: index.pairs(annotations).into(),
            claims: claims.into(),
        };
        index.pods.put(uid, hash, entry, gone);
    }
}

impl Indexed for Node {
    fn table(index: &Index) -> &dyn Table {
        &index.nodes
    }

    fn table_mut(index: &mut Index) -> &mut dyn Table {
        &mut index.nodes
    }

    fn put(self, index: &mut Index, gone: Option<Millis>) {
        let name = index.text(self.name());
        let entry = NodeEntry {
            cluster: index.optional(self.cluster.as_deref()),
            instance: self.provider_id.as_deref().and_then(instance_id).map(Into::into),
            facts: Arc::new(NodeFacts {
                cpu_capacity_cores: self.capacity.cpu.map(|cpu| cpu.to_f64()),
                memory_capacity_bytes: self.capacity.memory.map(|memory| memory.value()),
                instance_type: index.optional(self.instance_type.as_deref()),
                zone: index.optional(self.zone.as_deref()),
                capacity_type: index.optional(self.capacity_type.as_deref()),
            }),
        };
        index.nodes.put(name, entry, gone);
    }
}

/// `i-...` at the end of the ID of a node on AWS, `aws:///ZONE/i-0123456789abcdef0`.
fn instance_id(provider_id: &str) -> Option<&str> {
    let id = provider_id.rsplit('/').next()?;
    let digits = id.strip_prefix("i-")?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

impl Indexed for Claim {
    fn table(index: &Index) -> &dyn Table {
        &index.claims
    }

    fn table_mut(index: &mut Index) -> &mut dyn Table {
        &mut index.claims
    }

    fn put(self, index: &mut Index, gone: Option<Millis>) {
        let name = Name { namespace: index.text(self.namespace()), name: index.text(self.name()) };
        let entry = ClaimEntry {
            volume: index.optional(self.volume.as_deref()),
            class: index.optional(self.class.as_deref()),
            bytes: self.storage.map_or(0, |storage| storage.value().max(0)),
        };
        index.claims.put(name, entry, gone);
    }
}

impl Indexed for Volume {
    fn table(index: &Index) -> &dyn Table {
        &index.volumes
    }

    fn table_mut(index: &mut Index) -> &mut dyn Table {
        &mut index.volumes
    }

    fn put(self, index: &mut Index, gone: Option<Millis>) {
        let name = index.text(self.name());
        index.volumes.put(name, self.ebs.map(Into::into), gone);
    }
}

impl Indexed for ReplicaSet {
    fn table(index: &Index) -> &dyn Table {
        &index.replica_sets
    }

    fn table_mut(index: &mut Index) -> &mut dyn Table {
        &mut index.replica_sets
    }

    fn put(self, index: &mut Index, gone: Option<Millis>) {
        let uid = Uid::new(self.uid());
        let owner = index.owner(self.controller);
        index.replica_sets.put(uid, owner, gone);
    }
}

impl Indexed for Job {
    fn table(index: &Index) -> &dyn Table {
        &index.jobs
    }

    fn table_mut(index: &mut Index) -> &mut dyn Table {
        &mut index.jobs
    }

    fn put(self, index: &mut Index, gone: Option<Millis>) {
        let uid = Uid::new(self.uid());
        let owner = index.owner(self.controller);
        index.jobs.put(uid, owner, gone);
    }
}

impl Indexed for Namespace {
    fn table(index: &Index) -> &dyn Table {
        &index.namespaces
    }

    fn table_mut(index: &mut Index) -> &mut dyn Table {
        &mut index.namespaces
    }

    fn put(self, index: &mut Index, gone: Option<Millis>) {
        index.namespaces.put(self.name().into(), self.uid().into(), gone);
    }
}
