//! What the index keeps of every pod, whether it is scraped or waits: as little as will do.

use std::sync::Arc;

use super::super::target::Pod;
use super::Source;

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

/// A UID. They are opaque, but in practice UUIDs, which fit without an allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Uid {
    Uuid([u8; 16]),
    Other(Box<str>),
}

impl Uid {
    pub(super) fn new(text: &str) -> Self {
        uuid(text).map_or_else(|| Self::Other(text.into()), Self::Uuid)
    }
}

/// The bytes of a UUID in its usual form; any other form would not be told apart from it.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let is_dash = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    let usual = |(place, byte): (usize, u8)| match byte {
        b'-' => is_dash(place),
        b'0'..=b'9' | b'a'..=b'f' => !is_dash(place),
        _ => false,
    };
    if text.len() != 36 || !text.bytes().enumerate().all(usual) {
        return None;
    }
    u128::from_str_radix(&text.replace('-', ""), 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_that_differ_stay_different() {
        let usual = "0c1d2e3f-0000-4000-8000-0123456789ab";
        assert!(matches!(Uid::new(usual), Uid::Uuid([0x0c, 0x1d, .., 0xab])));
        let others = ["", "u", "0C1D2E3F-0000-4000-8000-0123456789AB", "0c1d2e3f000040008000-0123456789ab----", &usual[1..]];
        for other in others {
            assert!(matches!(Uid::new(other), Uid::Other(_)), "{other}");
            assert_ne!(Uid::new(other), Uid::new(usual));
        }
        assert_eq!(std::mem::size_of::<Slot>(), 64);
    }
}
