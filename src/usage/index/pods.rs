//! The table of pods: by UID, and static ones also by the hash of their configuration, which is all that their kubelet knows of them.

use super::entry::PodEntry;
use super::kept::{Kept, Millis, Table};
use crate::k8s::Uid;

/// See above.
#[derive(Debug, Default)]
pub struct Pods {
    uids: Kept<Uid, PodEntry>,
    /// From the hash of a static pod to the UID of its mirror in the API.
    mirrors: Kept<Uid, Uid>,
}

impl Pods {
    /// The pod that a collector calls `pod_id`.
    pub fn get(&self, pod_id: &str) -> Option<&PodEntry> {
        let id = Uid::new(pod_id);
        self.uids.get(&id).or_else(|| self.uids.get(self.mirrors.get(&id)?))
    }

    /// A pod is there, or is gone since `gone`; `hash` if it is a static one.
    pub fn put(&mut self, uid: Uid, hash: Option<Uid>, entry: PodEntry, gone: Option<Millis>) {
        if let Some(hash) = hash
            // The last word of a mirror that is gone says nothing of the one that has come after it.
            && (gone.is_none() || self.mirrors.get(&hash).is_none_or(|known| *known == uid))
        {
            self.mirrors.put(hash, uid.clone(), gone);
        }
        self.uids.put(uid, entry, gone);
    }

    /// How many there are, with those that are gone.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.uids.len()
    }
}

impl Table for Pods {
    fn begin_list(&mut self) {
        self.uids.begin_list();
        self.mirrors.begin_list();
    }

    fn end_list(&mut self, now: Millis) {
        self.uids.end_list(now);
        self.mirrors.end_list(now);
    }

    fn sweep(&mut self, before: Millis) {
        self.uids.sweep(before);
        self.mirrors.sweep(before);
    }

    fn known(&self) -> usize {
        self.uids.known()
    }

    fn synced(&self) -> bool {
        self.uids.synced()
    }
}
