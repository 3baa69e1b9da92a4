//! A bucket as a function: the i-th key in byte order, computed when a page asks for it.

use crate::mix::mix;
use crate::text::push_hex;

/// The objects of a bucket in the order in which S3 lists them.
///
/// Ten million objects cost no memory, since nothing is stored. The keys must ascend strictly in byte
/// order; everything else follows from [`len`](Self::len) and [`key`](Self::key).
pub trait KeySpace: Send + Sync {
    /// How many objects there are.
    fn len(&self) -> u64;

    /// Appends the key of object `i` to `out`.
    fn key(&self, i: u64, out: &mut Vec<u8>);

    /// Whether the bucket has no objects.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of object `i` in bytes; a few MiB unless the key space says otherwise.
    fn size(&self, i: u64) -> u64 {
        (1 << 20) + mix(i) % (4 << 20)
    }

    /// When object `i` was written, in Unix seconds.
    fn modified(&self, i: u64) -> u64 {
        FIRST_BACKUP + i % (300 * 86_400)
    }

    /// Storage class of object `i`.
    fn storage_class(&self, _i: u64) -> &str {
        "STANDARD"
    }

    /// How many keys are below `key` or equal to it: the index of the first object after `key`.
    fn rank_after(&self, key: &[u8]) -> u64 {
        partition_point(self, |other| other <= key)
    }

    /// How many keys are below `key`: the index of the first object at `key` or after it.
    fn rank_at(&self, key: &[u8]) -> u64 {
        partition_point(self, |other| other < key)
    }
}

impl KeySpace for Box<dyn KeySpace> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        (**self).key(i, out);
    }

    fn size(&self, i: u64) -> u64 {
        (**self).size(i)
    }

    fn modified(&self, i: u64) -> u64 {
        (**self).modified(i)
    }

    fn storage_class(&self, i: u64) -> &str {
        (**self).storage_class(i)
    }

    fn rank_after(&self, key: &[u8]) -> u64 {
        (**self).rank_after(key)
    }

    fn rank_at(&self, key: &[u8]) -> u64 {
        (**self).rank_at(key)
    }
}

/// 2026-01-01T00:00:00Z, where the provided key spaces begin.
pub const FIRST_BACKUP: u64 = 1_767_225_600;

/// The index of the first key for which `before` does not hold.
fn partition_point<S: KeySpace + ?Sized>(space: &S, before: impl Fn(&[u8]) -> bool) -> u64 {
    let (mut low, mut high) = (0, space.len());
    let mut key = Vec::with_capacity(128);
    while low < high {
        let middle = low + (high - low) / 2;
        key.clear();
        space.key(middle, &mut key);
        if before(&key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The smallest byte string above every string that begins with `prefix`; `None` if there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut above = prefix[..=last].to_vec();
    above[last] += 1;
    Some(above)
}

/// Appends 32 hexadecimal digits that look like the MD5 sum of object `i`.
pub(super) fn push_etag(out: &mut Vec<u8>, i: u64) {
    push_hex(out, mix(i), 0, 16);
    push_hex(out, mix(!i), 0, 16);
}

/// A key space that is written down, for tests.
#[derive(Debug, Clone, Default)]
pub struct Explicit {
    objects: Vec<ExplicitObject>,
}

/// One object of an [`Explicit`] key space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplicitObject {
    /// The key, UTF-8 as in S3.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Unix seconds.
    pub modified: u64,
    /// Storage class, `STANDARD` if nothing else matters.
    pub storage_class: String,
}

impl Explicit {
    /// Sorts the objects by key; of objects with the same key the last one stays.
    pub fn new(objects: Vec<ExplicitObject>) -> Self {
        let by_key: std::collections::BTreeMap<String, ExplicitObject> =
            objects.into_iter().map(|object| (object.key.clone(), object)).collect();
        Self { objects: by_key.into_values().collect() }
    }

    /// Objects of 1 KiB with these keys, written at [`FIRST_BACKUP`].
    pub fn keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self::new(
            keys.into_iter()
                .map(|key| ExplicitObject {
                    key: key.into(),
                    size: 1_024,
                    modified: FIRST_BACKUP,
                    storage_class: "STANDARD".to_owned(),
                })
                .collect(),
        )
    }

    fn at(&self, i: u64) -> &ExplicitObject {
        let i = usize::try_from(i).expect("an index below len fits");
        &self.objects[i]
    }
}

impl KeySpace for Explicit {
    fn len(&self) -> u64 {
        self.objects.len() as u64
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.at(i).key.as_bytes());
    }

    fn size(&self, i: u64) -> u64 {
        self.at(i).size
    }

    fn modified(&self, i: u64) -> u64 {
        self.at(i).modified
    }

    fn storage_class(&self, i: u64) -> &str {
        &self.at(i).storage_class
    }
}
