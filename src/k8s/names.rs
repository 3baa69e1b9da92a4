//! The names of all objects of a kind: an index that is plain data, fed by a watch and read as snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

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
