//! The names of all objects of a kind: an index that is plain data, fed by a watch of their metadata and read as snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{ListParams, PartialObjectMeta};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Config, Resource, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::watch::{Feed, Selection, Watch, client};
use super::{ConnectError, WatchMetrics};
use crate::time::Clock;

/// All names, sorted, at one time. `None` before the first complete list.
pub type Names = watch::Receiver<Option<Arc<[String]>>>;

/// Keeps the names; tells its readers when their set has changed.
#[derive(Debug)]
pub struct NameIndex {
    names: BTreeSet<String>,
    /// Names of a list that is not complete yet. The old ones stay valid until it is.
    listing: BTreeSet<String>,
    snapshot: watch::Sender<Option<Arc<[String]>>>,
}

impl NameIndex {
    /// An index without a first list, and its reading end.
    pub fn new() -> (Self, Names) {
        let (snapshot, names) = watch::channel(None);
        (Self { names: BTreeSet::new(), listing: BTreeSet::new(), snapshot }, names)
    }

    /// An object exists.
    pub fn apply(&mut self, name: String) {
        if self.names.insert(name) {
            self.publish();
        }
    }

    /// An object is gone.
    pub fn delete(&mut self, name: &str) {
        if self.names.remove(name) {
            self.publish();
        }
    }

    /// A list begins.
    pub fn begin_list(&mut self) {
        self.listing.clear();
    }

    /// An object of the list.
    pub fn listed(&mut self, name: String) {
        self.listing.insert(name);
    }

    /// The list is complete and replaces all names.
    pub fn end_list(&mut self) {
        let listed = std::mem::take(&mut self.listing);
        if listed != self.names || self.snapshot.borrow().is_none() {
            self.names = listed;
            self.publish();
        }
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True without any name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn publish(&self) {
        self.snapshot.send_replace(Some(self.names.iter().cloned().collect()));
    }
}

/// Keeps the name of an object and forgets the rest.
impl<K: Resource> Feed<K> for NameIndex {
    fn begin_list(&mut self) {
        self.begin_list();
    }

    fn listed(&mut self, object: K) {
        self.listed(object.name_any());
    }

    fn end_list(&mut self) {
        self.end_list();
    }

    fn apply(&mut self, object: K) {
        self.apply(object.name_any());
    }

    fn delete(&mut self, object: K) {
        self.delete(&object.name_any());
    }

    fn known(&self) -> usize {
        self.len()
    }
}

/// Kubermatic's user clusters; cluster-scoped.
pub fn kubermatic_clusters() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kubermatic.k8c.io", "v1", "Cluster"), "clusters")
}

/// Prepares to feed `index` with the names of all objects of `resource`; only metadata is asked for. Run what is returned until `stop`; it
/// survives whatever the API does.
///
/// # Errors
/// When `config` holds TLS or authentication settings that do not work.
pub fn watch_names(
    config: Config,
    resource: &ApiResource,
    metrics: WatchMetrics,
    clock: Clock,
    index: NameIndex,
    stop: CancellationToken,
) -> Result<impl Future<Output = anyhow::Result<()>> + Send + use<>, ConnectError> {
    let watch = Watch::new(&resource.plural, &metrics, clock, stop);
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(watch.client(config, false)?, resource);
    Ok(watch.run(api, Selection::default(), index))
}

/// Lists all names once, to see whether it works.
///
/// # Errors
/// What the API or the way to it said.
pub async fn list_names(config: Config, resource: &ApiResource) -> anyhow::Result<Vec<String>> {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client(config, false, || {})?, resource);
    let listed = tokio::time::timeout(Duration::from_secs(30), api.list(&ListParams::default())).await;
    let objects = listed.map_err(|_| anyhow::anyhow!("no answer within 30 s"))??;
    Ok(objects.items.iter().map(|object| object.name_any()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current(names: &Names) -> Option<Vec<String>> {
        names.borrow().as_deref().map(<[String]>::to_vec)
    }

    #[test]
    fn a_list_replaces_all_names_only_when_it_is_complete() {
        let (mut index, names) = NameIndex::new();
        index.begin_list();
        index.listed("b".into());
        index.listed("a".into());
        assert_eq!(current(&names), None);
        index.end_list();
        assert_eq!(current(&names).unwrap(), ["a", "b"]);
        index.begin_list();
        index.listed("c".into());
        index.begin_list();
        index.listed("a".into());
        assert_eq!(current(&names).unwrap(), ["a", "b"]);
        index.end_list();
        assert_eq!(current(&names).unwrap(), ["a"]);
    }

    #[test]
    fn readers_are_told_of_changes_only() {
        let (mut index, mut names) = NameIndex::new();
        index.end_list();
        assert_eq!(current(&names).unwrap(), [""; 0]);
        index.apply("a".into());
        names.mark_unchanged();
        index.apply("a".into());
        index.delete("b");
        assert!(!names.has_changed().unwrap());
        index.delete("a");
        assert!(names.has_changed().unwrap() && index.is_empty());
    }
}
