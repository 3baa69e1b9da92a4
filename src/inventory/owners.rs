//! Whose object is it: the rule from a key to the cluster that it belongs to.
//!
//! By names, an object belongs to the cluster with the longest name such that the key begins with `NAME-`. The names are kept sorted with their
//! dash; the greatest of them that is not behind the key is an extension of the answer or the answer itself, so a key costs one binary search,
//! or, since keys come in order, mostly none: two comparisons tell that the last position still holds.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use regex::bytes::{CaptureLocations, Regex};

/// Number of a cluster within a scan.
pub type ClusterId = usize;

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The cluster of this number.
    Cluster(ClusterId),
    /// The cluster that has this number from now on. What had it is not to be told apart from orphans any more.
    Instead(ClusterId),
}

/// Which clusters get an object whose key begins with several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PrefixMatch {
    /// The one with the longest name: a fresh `prod-eu-...` does not hide that `prod` is stale.
    #[default]
    Longest,
    /// All of them, which is the literal rule of Kubermatic's exporter.
    All,
}

/// Tells the owners of keys during one scan.
#[derive(Debug, Clone)]
pub enum Owners {
    /// By a set of names.
    Names(NameOwners),
    /// By a pattern.
    Pattern(PatternOwners),
}

impl Owners {
    /// Calls `owned_by` with each owner of `key`; not at all for an orphan.
    pub fn of(&mut self, key: &[u8], mut owned_by: impl FnMut(Owner)) {
        match self {
            Self::Names(names) => names.of(key, |id| owned_by(Owner::Cluster(id))),
            Self::Pattern(pattern) => pattern.of(key).into_iter().for_each(owned_by),
        }
    }

    /// Names of all clusters that are known, by number.
    pub fn into_names(self) -> Vec<Arc<str>> {
        match self {
            Self::Names(names) => names.names,
            Self::Pattern(pattern) => pattern.names,
        }
    }

    /// True when no cluster is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of clusters that are known so far.
    pub fn len(&self) -> usize {
        match self {
            Self::Names(names) => names.names.len(),
            Self::Pattern(pattern) => pattern.names.len(),
        }
    }
}

/// Owners by a set of names.
#[derive(Debug, Clone)]
pub struct NameOwners {
    names: Vec<Arc<str>>,
    /// `NAME-`, sorted, in step with `names`.
    prefixes: Arc<[Box<[u8]>]>,
    /// The longest other name that a name is an extension of.
    parents: Arc<[Option<ClusterId>]>,
    rule: PrefixMatch,
    /// How many prefixes are not behind the last key.
    position: usize,
}

impl NameOwners {
    /// `names` in any order; repeated ones count once.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>, rule: PrefixMatch) -> Self {
        let mut prefixes: Vec<Box<[u8]>> =
            names.into_iter().map(|name| format!("{}-", name.as_ref()).into_bytes().into_boxed_slice()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut parents: Vec<Option<ClusterId>> = Vec::with_capacity(prefixes.len());
        for (id, prefix) in prefixes.iter().enumerate() {
            let mut candidate = id.checked_sub(1);
            while let Some(ancestor) = candidate.filter(|&ancestor| !prefix.starts_with(&prefixes[ancestor])) {
                candidate = parents[ancestor];
            }
            parents.push(candidate);
        }
        let name = |prefix: &[u8]| Arc::from(String::from_utf8_lossy(&prefix[..prefix.len() - 1]));
        Self {
            names: prefixes.iter().map(|prefix| name(prefix)).collect(),
            prefixes: prefixes.into(),
            parents: parents.into(),
            rule,
            position: 0,
        }
    }

    fn of(&mut self, key: &[u8], mut owned_by: impl FnMut(ClusterId)) {
        if !self.position_holds(key) {
            self.position = self.prefixes.partition_point(|prefix| **prefix <= *key);
        }
        let mut candidate = self.position.checked_sub(1);
        while let Some(id) = candidate {
            if key.starts_with(&self.prefixes[id]) {
                owned_by(id);
                if self.rule == PrefixMatch::Longest {
                    return;
                }
            }
            candidate = self.parents[id];
        }
    }

    fn position_holds(&self, key: &[u8]) -> bool {
        let before = self.position.checked_sub(1).is_none_or(|last| *self.prefixes[last] <= *key);
        before && self.prefixes.get(self.position).is_none_or(|next| *key < **next)
    }
}

/// Owners by a pattern whose group `cluster` is the name. Names appear as their keys do.
#[derive(Debug, Clone)]
pub struct PatternOwners {
    pattern: Regex,
    group: usize,
    captures: CaptureLocations,
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, ClusterId>,
    most: usize,
    /// Once there are as many names as may be: all of them, the last one first.
    last: BinaryHeap<Arc<str>>,
}

/// The name of the group.
pub(super) const GROUP: &str = "cluster";

impl PatternOwners {
    /// `None` if `pattern` has no group `cluster`. Of more than `most` names the first by alphabet are kept, whatever order keys come in; keys of
    /// the others are orphans.
    pub fn new(pattern: &Regex, most: usize) -> Option<Self> {
        let group = pattern.capture_names().position(|name| name == Some(GROUP))?;
        let captures = pattern.capture_locations();
        Some(Self {
            pattern: pattern.clone(),
            group,
            captures,
            names: Vec::new(),
            ids: HashMap::new(),
            most,
            last: BinaryHeap::new(),
        })
    }

    fn of(&mut self, key: &[u8]) -> Option<Owner> {
        self.pattern.captures_read(&mut self.captures, key)?;
        let (start, end) = self.captures.get(self.group)?;
        let name = std::str::from_utf8(&key[start..end]).ok().filter(|name| !name.is_empty())?;
        if let Some(&id) = self.ids.get(name) {
            return Some(Owner::Cluster(id));
        }
        let name: Arc<str> = name.into();
        if self.names.len() < self.most {
            self.names.push(Arc::clone(&name));
            self.ids.insert(name, self.names.len() - 1);
            return Some(Owner::Cluster(self.names.len() - 1));
        }
        if self.last.is_empty() {
            self.last.extend(self.names.iter().cloned());
        }
        let mut last = self.last.peek_mut().filter(|last| **last > name)?;
        let id = self.ids.remove(&*last)?;
        *last = Arc::clone(&name);
        self.names[id] = Arc::clone(&name);
        self.ids.insert(name, id);
        Some(Owner::Instead(id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owners(names: &[&str], rule: PrefixMatch, key: &[u8]) -> Vec<String> {
        let mut owners = Owners::Names(NameOwners::new(names, rule));
        let mut ids = Vec::new();
        owners.of(key, |owner| ids.push(owner));
        let names = owners.into_names();
        ids.into_iter().map(|(Owner::Cluster(id) | Owner::Instead(id))| names[id].to_string()).collect()
    }

    #[test]
    fn the_longest_name_owns_the_object() {
        let names = ["prod", "prod-eu", "prod-eu-1", "produce", "a"];
        let longest = |key: &str| owners(&names, PrefixMatch::Longest, key.as_bytes());
        assert_eq!(longest("prod-2026"), ["prod"]);
        assert_eq!(longest("prod-eu-2026"), ["prod-eu"]);
        assert_eq!(longest("prod-eu-12"), ["prod-eu"]);
        assert_eq!(longest("prod-eu"), ["prod"]);
        assert_eq!(longest("produce-x"), ["produce"]);
        assert_eq!(longest("a-"), ["a"]);
        for orphan in ["prod", "produc-e", "b", "", "-", "A-1"] {
            assert_eq!(longest(orphan), [""; 0], "{orphan}");
        }
    }

    #[test]
    fn the_literal_rule_counts_an_object_for_every_name() {
        assert_eq!(owners(&["prod", "prod-eu"], PrefixMatch::All, b"prod-eu-1"), ["prod-eu", "prod"]);
    }

    #[test]
    fn a_pattern_names_clusters_up_to_a_limit() {
        let pattern = Regex::new(r"^backups/(?P<cluster>[^/]*)/").unwrap();
        let mut owners = Owners::Pattern(PatternOwners::new(&pattern, 2).unwrap());
        let mut owner = |key: &[u8]| {
            let mut found = None;
            owners.of(key, |owner| found = Some(owner));
            found
        };
        assert_eq!(owner(b"backups/b/1"), Some(Owner::Cluster(0)));
        assert_eq!(owner(b"backups/c/1"), Some(Owner::Cluster(1)));
        assert_eq!(owner(b"backups/d/1"), None);
        assert_eq!(owner(b"backups/a/1"), Some(Owner::Instead(1)));
        assert_eq!(owner(b"backups/c/2"), None);
        assert_eq!(owner(b"backups/b/2"), Some(Owner::Cluster(0)));
        assert_eq!(owner(b"backups//2"), None);
        assert_eq!(owner(b"backups/\xff/2"), None);
        assert_eq!(owner(b"other"), None);
        assert!(PatternOwners::new(&Regex::new("(.*)").unwrap(), 1).is_none());
    }

    fn naive(names: &[String], rule: PrefixMatch, key: &[u8]) -> Vec<String> {
        let mut matching: Vec<&String> = names.iter().filter(|name| key.starts_with(format!("{name}-").as_bytes())).collect();
        matching.sort_by_key(|name| std::cmp::Reverse(name.len()));
        matching.dedup();
        matching.truncate(if rule == PrefixMatch::Longest { 1 } else { usize::MAX });
        matching.into_iter().cloned().collect()
    }

    proptest! {
        // A small alphabet makes names that are prefixes of each other, and keys that meet them.
        #[test]
        fn agrees_with_a_naive_matcher_whatever_the_order_of_keys(
            names in proptest::collection::vec("[ab-]{1,5}", 0..12),
            keys in proptest::collection::vec("[ab-]{0,9}", 0..40),
            sorted in any::<bool>(),
            all in any::<bool>(),
        ) {
            let rule = if all { PrefixMatch::All } else { PrefixMatch::Longest };
            let mut keys = keys;
            if sorted {
                keys.sort();
            }
            let mut owners = NameOwners::new(&names, rule);
            for key in &keys {
                let mut found = Vec::new();
                owners.of(key.as_bytes(), |id: ClusterId| found.push(id));
                let found: Vec<String> = found.into_iter().map(|id| owners.names[id].to_string()).collect();
                prop_assert_eq!(found, naive(&names, rule, key.as_bytes()), "key {:?} names {:?}", key, names);
            }
        }
    }
}
