//! What a scan counts: per cluster, and for what belongs to nobody. Pure; fed object by object.

use std::sync::Arc;

use super::owners::{Owner, Owners};
use crate::listing::{Object, Tally};

/// Further storage classes are counted together, since their names come from the server.
const MOST_STORAGE_CLASSES: usize = 32;
const OTHER_CLASS: &str = "OTHER";

/// An object that a cluster is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dated {
    /// Milliseconds since the Unix epoch.
    pub modified: i64,
    /// Its size.
    pub bytes: u64,
    /// Without the prefix of the bucket.
    pub key: Vec<u8>,
}

impl Dated {
    fn set(&mut self, object: &Object<'_>, key: &[u8]) {
        self.modified = object.modified;
        self.bytes = object.size;
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    /// Objects of the same instant are ordered by key, so that the answer does not depend on the order of arrival.
    fn is_before(&self, object: &Object<'_>, key: &[u8]) -> bool {
        (self.modified, self.key.as_slice()) < (object.modified, key)
    }
}

/// Objects and bytes of a storage class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassCount {
    /// How many.
    pub objects: u64,
    /// Their sizes together.
    pub bytes: u64,
}

/// The counts of one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterStats {
    /// How many, directory markers left out.
    pub objects: u64,
    /// How many of them hold no byte.
    pub empty: u64,
    /// Their sizes together.
    pub bytes: u64,
    /// The size of the largest.
    pub largest: u64,
    /// Milliseconds; meaningful with at least one object.
    pub oldest: i64,
    /// With at least one object.
    pub newest: Dated,
    /// With at least two objects.
    pub previous: Dated,
    /// By number of the class within the scan; shorter than the list of classes where the rest is zero.
    pub classes: Vec<ClassCount>,
}

impl ClusterStats {
    fn add(&mut self, object: &Object<'_>, key: &[u8], class: usize) {
        if self.objects == 0 || object.modified < self.oldest {
            self.oldest = object.modified;
        }
        if self.objects == 0 || self.newest.is_before(object, key) {
            // The buffers change places, so that nothing is allocated once both have grown.
            std::mem::swap(&mut self.newest, &mut self.previous);
            self.newest.set(object, key);
        } else if self.objects == 1 || self.previous.is_before(object, key) {
            self.previous.set(object, key);
        }
        self.objects += 1;
        self.empty += u64::from(object.size == 0);
        self.bytes = self.bytes.saturating_add(object.size);
        self.largest = self.largest.max(object.size);
        if class >= self.classes.len() {
            self.classes.resize(class + 1, ClassCount::default());
        }
        self.classes[class].objects += 1;
        self.classes[class].bytes = self.classes[class].bytes.saturating_add(object.size);
    }
}

/// A complete scan's result.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Sorted by name.
    pub clusters: Vec<(Arc<str>, ClusterStats)>,
    /// Names of the storage classes, by number.
    pub classes: Vec<String>,
    /// What belongs to no cluster, of all classes.
    pub orphans: ClassCount,
    /// Empty objects whose key ends in a slash; they count nowhere else.
    pub directory_markers: u64,
}

/// Counts a scan.
#[derive(Debug)]
pub struct Count {
    owners: Owners,
    prefix: usize,
    clusters: Vec<ClusterStats>,
    classes: Vec<String>,
    orphans: ClassCount,
    directory_markers: u64,
}

impl Count {
    /// Starts at zero for every cluster that `owners` knows. The first `prefix` bytes of each key are left out of matching.
    pub fn new(owners: Owners, prefix: usize) -> Self {
        let clusters = vec![ClusterStats::default(); owners.len()];
        Self { owners, prefix, clusters, classes: Vec::new(), orphans: ClassCount::default(), directory_markers: 0 }
    }

    /// The result, when the listing was complete.
    pub fn finish(self) -> Inventory {
        let mut clusters: Vec<_> = self.owners.into_names().into_iter().zip(self.clusters).collect();
        clusters.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        Inventory { clusters, classes: self.classes, orphans: self.orphans, directory_markers: self.directory_markers }
    }

    fn class(&mut self, name: &[u8]) -> usize {
        if let Some(class) = self.classes.iter().position(|known| known.as_bytes() == name) {
            return class;
        }
        let name = match std::str::from_utf8(name) {
            Ok(name) if self.classes.len() < MOST_STORAGE_CLASSES => name,
            _ => OTHER_CLASS,
        };
        self.classes.iter().position(|known| known == name).unwrap_or_else(|| {
            self.classes.push(name.to_owned());
            self.classes.len() - 1
        })
    }
}

impl Tally for Count {
    fn add(&mut self, object: &Object<'_>) {
        if object.size == 0 && object.key.ends_with(b"/") {
            self.directory_markers += 1;
            return;
        }
        let class = self.class(object.storage_class);
        let key = &object.key[self.prefix..];
        let mut orphan = true;
        let clusters = &mut self.clusters;
        let orphans = &mut self.orphans;
        self.owners.of(key, |owner| {
            orphan = false;
            let (Owner::Cluster(cluster) | Owner::Instead(cluster)) = owner;
            if let Owner::Instead(_) = owner {
                let before = std::mem::take(&mut clusters[cluster]);
                orphans.objects += before.objects;
                orphans.bytes = orphans.bytes.saturating_add(before.bytes);
            }
            if cluster >= clusters.len() {
                clusters.resize_with(cluster + 1, ClusterStats::default);
            }
            clusters[cluster].add(object, key, class);
        });
        if orphan {
            self.orphans.objects += 1;
            self.orphans.bytes = self.orphans.bytes.saturating_add(object.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use regex::bytes::Regex;

    use super::super::owners::{NameOwners, PatternOwners, PrefixMatch};
    use super::*;

    fn object<'a>(key: &'a str, size: u64, modified: i64, storage_class: &'a str) -> Object<'a> {
        Object { key: key.as_bytes(), size, modified, storage_class: storage_class.as_bytes() }
    }

    fn count(objects: &[Object<'_>]) -> Inventory {
        let owners = Owners::Names(NameOwners::new(["a", "b", "never"], PrefixMatch::Longest));
        let mut count = Count::new(owners, 0);
        objects.iter().for_each(|object| count.add(object));
        count.finish()
    }

    #[test]
    fn a_cluster_is_counted() {
        let inventory = count(&[
            object("a-1", 10, 1_000, "STANDARD"),
            object("a-3", 0, 3_000, "GLACIER"),
            object("a-2", 30, 2_000, "STANDARD"),
            object("x", 5, 9_000, "STANDARD"),
            object("a-dir/", 0, 9_000, "STANDARD"),
            object("a-full/", 7, 500, "STANDARD"),
        ]);
        let (name, a) = &inventory.clusters[0];
        assert_eq!(&**name, "a");
        assert_eq!((a.objects, a.empty, a.bytes, a.largest, a.oldest), (4, 1, 47, 30, 500));
        assert_eq!(a.newest, Dated { modified: 3_000, bytes: 0, key: b"a-3".to_vec() });
        assert_eq!(a.previous, Dated { modified: 2_000, bytes: 30, key: b"a-2".to_vec() });
        assert_eq!(a.classes, [ClassCount { objects: 3, bytes: 47 }, ClassCount { objects: 1, bytes: 0 }]);
        assert_eq!(inventory.classes, ["STANDARD", "GLACIER"]);
        assert_eq!(inventory.orphans, ClassCount { objects: 1, bytes: 5 });
        assert_eq!(inventory.directory_markers, 1);
        assert_eq!(inventory.clusters[2].1, ClusterStats::default());
    }

    #[test]
    fn a_flood_of_storage_classes_is_bounded() {
        let names: Vec<String> = (0..100).map(|number| format!("CLASS{number}")).collect();
        let objects: Vec<Object<'_>> = names.iter().map(|name| object("a-1", 1, 1, name)).collect();
        let inventory = count(&objects);
        assert_eq!(inventory.classes.len(), MOST_STORAGE_CLASSES + 1);
        assert_eq!(inventory.clusters[0].1.classes[MOST_STORAGE_CLASSES].objects, 68);
    }

    proptest! {
        #[test]
        fn the_order_of_objects_does_not_matter(
            objects in proptest::collection::btree_map("[ab]-[0-9]{1,2}", (0_u64..3, 0_i64..4), 0..12),
            seed in any::<u64>(),
        ) {
            let mut listed: Vec<Object<'_>> = objects.iter().map(|(key, (size, modified))| object(key, *size, *modified, "S")).collect();
            let in_order = count(&listed);
            fastrand::Rng::with_seed(seed).shuffle(&mut listed);
            prop_assert_eq!(count(&listed), in_order);
        }

        #[test]
        fn of_too_many_clusters_the_same_are_kept_in_any_order(
            objects in proptest::collection::btree_map("[a-f]-[0-9]", 0_u64..9, 0..40), most in 1_usize..6, seed in any::<u64>(),
        ) {
            let mut listed: Vec<Object<'_>> = objects.iter().map(|(key, size)| object(key, *size, 1, "S")).collect();
            let pattern = Regex::new("^(?P<cluster>[a-z])-").unwrap();
            let count = |objects: &[Object<'_>]| {
                let mut count = Count::new(Owners::Pattern(PatternOwners::new(&pattern, most).unwrap()), 0);
                objects.iter().for_each(|object| count.add(object));
                count.finish()
            };
            let in_order = count(&listed);
            let kept: u64 = in_order.clusters.iter().map(|(_, cluster)| cluster.objects).sum();
            prop_assert_eq!(kept + in_order.orphans.objects, listed.len() as u64);
            prop_assert!(in_order.clusters.len() <= most);
            fastrand::Rng::with_seed(seed).shuffle(&mut listed);
            prop_assert_eq!(count(&listed), in_order);
        }
    }
}
