//! Objects of which only the metadata is of interest, and is all that the server sends: who controls a ReplicaSet or a Job, and which UID a
//! namespace has.

use std::fmt::Debug;
use std::marker::PhantomData;

use kube::core::{ClusterResourceScope, NamespaceResourceScope, ObjectMeta};
use serde::Deserialize;

use super::super::object::{Controller, Slim, WireMeta};

/// A ReplicaSet, perhaps of a Deployment.
pub type ReplicaSet = Owned<ReplicaSets>;

/// A Job, perhaps of a CronJob.
pub type Job = Owned<Jobs>;

/// A namespace.
pub type Namespace = Owned<Namespaces>;

/// An object of kind `K`, and what controls it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Wire", bound = "")]
pub struct Owned<K> {
    /// Name, namespace, UID and resource version; nothing else.
    pub meta: ObjectMeta,
    /// What controls it, if anything does.
    pub controller: Option<Controller>,
    kind: PhantomData<K>,
}

/// A kind of objects that are [`Owned`].
pub trait OwnedKind: Debug + Clone + Send + 'static {
    /// See [`Slim::Scope`].
    type Scope;
    /// See [`Slim::GROUP`].
    const GROUP: &'static str;
    /// See [`Slim::KIND`].
    const KIND: &'static str;
    /// See [`Slim::PLURAL`].
    const PLURAL: &'static str;
}

/// The kind of [`ReplicaSet`].
#[derive(Debug, Clone)]
pub struct ReplicaSets;

impl OwnedKind for ReplicaSets {
    type Scope = NamespaceResourceScope;
    const GROUP: &'static str = "apps";
    const KIND: &'static str = "ReplicaSet";
    const PLURAL: &'static str = "replicasets";
}

/// The kind of [`Job`].
#[derive(Debug, Clone)]
pub struct Jobs;

impl OwnedKind for Jobs {
    type Scope = NamespaceResourceScope;
    const GROUP: &'static str = "batch";
    const KIND: &'static str = "Job";
    const PLURAL: &'static str = "jobs";
}

/// The kind of [`Namespace`].
#[derive(Debug, Clone)]
pub struct Namespaces;

impl OwnedKind for Namespaces {
    type Scope = ClusterResourceScope;
    const GROUP: &'static str = "";
    const KIND: &'static str = "Namespace";
    const PLURAL: &'static str = "namespaces";
}

impl<K: OwnedKind> Slim for Owned<K> {
    type Scope = K::Scope;
    const GROUP: &'static str = K::GROUP;
    const KIND: &'static str = K::KIND;
    const PLURAL: &'static str = K::PLURAL;
    const METADATA_ONLY: bool = true;

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta,
}

impl<K> From<Wire> for Owned<K> {
    fn from(Wire { mut metadata }: Wire) -> Self {
        Self { meta: metadata.identity(), controller: metadata.controller(), kind: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_controller_is_the_owner_that_says_so() {
        let owner = |kind: &str, controller| json!({"apiVersion": "v1", "kind": kind, "name": kind.to_lowercase(), "uid": "u", "controller": controller});
        let read = |owners: serde_json::Value| -> ReplicaSet {
            serde_json::from_value(
                json!({"metadata": {"name": "a", "labels": {"l": "1"}, "ownerReferences": owners}, "spec": {}}),
            )
            .unwrap()
        };
        let controller = Controller { kind: "Deployment".into(), name: "deployment".into(), uid: "u".into() };
        assert_eq!(read(json!([owner("Group", false), owner("Deployment", true)])).controller, Some(controller));
        assert_eq!(read(json!([owner("Group", false)])).controller, None);
        assert_eq!((read(json!([])).controller, read(json!(null)).controller), (None, None));
    }
}
