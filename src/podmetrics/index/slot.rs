//! What the index keeps of every pod, whether it is scraped or waits: as little as will do.

use std::sync::Arc;

use super::super::target::Pod;
use super::Source;
use crate::k8s::Uid;

/// Namespace and name, which one pod has at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

/// The pod that has a name.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) uid: Uid,
    pub(super) job: Arc<str>,
    pub(super) source: Source,
    /// Number of the source's list that was the last when the pod was last seen.
    pub(super) list: u32,
    /// Absent while it waits.
    pub(super) pod: Option<Arc<Pod>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small() {
        assert_eq!(std::mem::size_of::<Slot>(), 64);
    }
}
