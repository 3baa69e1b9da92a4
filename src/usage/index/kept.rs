//! Objects of a kind by their key: those that are there, and for a while those that are gone.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use foldhash::fast::RandomState;

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// In the place of a time for what is not gone; an `Option` would be twice as large.
const HERE: Millis = Millis::MAX;

/// A table that a watch feeds. A list updates objects in place, and those that it did not have are gone when it is complete.
#[derive(Debug)]
pub struct Kept<K, V> {
    /// Behind pointers, for a map has room for up to twice as many as it holds.
    entries: HashMap<K, Box<Entry<V>>, RandomState>,
    /// Keys of what is gone and since when, in the order in which it went. One that came back meanwhile is here too.
    departed: VecDeque<(Millis, K)>,
    /// Number of the list that has begun last.
    list: u32,
    synced: bool,
    /// How many objects are there.
    here: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// Since when it is gone; [`HERE`] if it is not.
    gone: Millis,
    /// Number of the list that was the last when it was last seen.
    list: u32,
}

/// What can be done with any table.
pub trait Table {
    /// A list begins, perhaps again.
    fn begin_list(&mut self);
    /// The list is complete: what it did not have is gone.
    fn end_list(&mut self, now: Millis);
    /// Forgets what is gone since `before` or longer.
    fn sweep(&mut self, before: Millis);
    /// How many objects are there, without those that are gone.
    fn known(&self) -> usize;
    /// Whether a list has been complete.
    fn synced(&self) -> bool;
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::default(), departed: VecDeque::new(), list: 0, synced: false, here: 0 }
    }
}

impl<K: Hash + Eq + Clone, V> Kept<K, V> {
    /// Keys of what is there.
    pub fn here(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().filter(|(_, entry)| entry.gone == HERE).map(|(key, _)| key)
    }

    /// What has this key, or had it.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// This is the state of an object, which is there, new or changed, or is gone since `gone`.
    pub fn put(&mut self, key: K, value: V, gone: Option<Millis>) {
        if let Some(since) = gone {
            self.departed.push_back((since, key.clone()));
        } else {
            self.here += 1;
        }
        let entry = Entry { value, gone: gone.unwrap_or(HERE), list: self.list };
        if self.entries.insert(key, entry.into()).is_some_and(|old| old.gone == HERE) {
            self.here -= 1;
        }
    }

    /// How many there are, with those that are gone.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl<K: Hash + Eq + Clone, V> Table for Kept<K, V> {
    fn begin_list(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    fn end_list(&mut self, now: Millis) {
        self.synced = true;
        for (key, entry) in &mut self.entries {
            if entry.gone == HERE && entry.list != self.list {
                entry.gone = now;
                self.here -= 1;
                self.departed.push_back((now, key.clone()));
            }
        }
    }

    fn sweep(&mut self, before: Millis) {
        while self.departed.front().is_some_and(|&(since, _)| since <= before) {
            let Some((since, key)) = self.departed.pop_front() else { break };
            if self.entries.get(&key).is_some_and(|entry| entry.gone == since) {
                self.entries.remove(&key);
            }
        }
    }

    fn known(&self) -> usize {
        self.here
    }

    fn synced(&self) -> bool {
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_stays_for_a_while() {
        let mut kept: Kept<&str, u8> = Kept::default();
        kept.put("a", 1, None);
        kept.put("a", 2, Some(10));
        kept.put("never seen", 3, Some(10));
        assert_eq!((kept.get("a"), kept.known()), (Some(&2), 0));
        kept.sweep(9);
        assert_eq!((kept.get("a"), kept.len()), (Some(&2), 2));
        kept.sweep(10);
        assert_eq!((kept.get("a"), kept.len()), (None, 0));
    }

    #[test]
    fn what_comes_back_is_there_until_it_goes_again() {
        let mut kept: Kept<&str, u8> = Kept::default();
        kept.put("a", 1, None);
        kept.put("a", 1, Some(10));
        kept.put("a", 2, None);
        assert_eq!(kept.known(), 1);
        kept.sweep(1_000);
        assert_eq!(kept.get("a"), Some(&2));
        kept.put("a", 2, Some(20));
        kept.put("a", 3, None);
        kept.put("a", 3, Some(30));
        kept.sweep(20);
        assert_eq!((kept.get("a"), kept.known()), (Some(&3), 0));
        kept.sweep(30);
        assert_eq!((kept.get("a"), kept.departed.len()), (None, 0));
    }

    #[test]
    fn what_a_list_does_not_have_is_gone_when_it_is_complete() {
        let mut kept: Kept<&str, u8> = Kept::default();
        kept.begin_list();
        kept.put("a", 1, None);
        kept.put("b", 1, None);
        assert!(!kept.synced());
        kept.end_list(0);
        assert!(kept.synced());
        // One that fails halfway, and one that does not.
        kept.begin_list();
        kept.put("b", 2, None);
        kept.begin_list();
        assert_eq!(kept.known(), 2);
        kept.put("c", 3, None);
        kept.put("a", 3, None);
        kept.end_list(50);
        assert_eq!((kept.known(), kept.get("b")), (2, Some(&2)));
        // Gone since then, not since a later list.
        kept.begin_list();
        kept.put("a", 4, None);
        kept.put("c", 4, None);
        kept.end_list(90);
        kept.sweep(50);
        assert_eq!((kept.get("b"), kept.known(), kept.len()), (None, 2, 2));
    }
}
