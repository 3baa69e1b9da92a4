//! Which series of a body were seen before, whatever the order of their labels.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher};

use foldhash::quality::RandomState;

use super::check::Terms;
use super::line::{Plain, own_labels};
use crate::exposition::{Entry, Escaping, Label, Name, Scanner, unescape};

/// Takes keys that are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// Series by the hash of their name and labels. The seed is random for each body, so that no body can be made to collide.
#[derive(Debug)]
pub(super) struct SeriesSet {
    seed: RandomState,
    /// To the offset of the line.
    seen: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    scratch: Vec<u8>,
}

impl SeriesSet {
    pub(super) fn with_capacity(series: usize) -> Self {
        Self {
            seed: RandomState::default(),
            seen: HashMap::with_capacity_and_hasher(series, BuildHasherDefault::default()),
            scratch: Vec::new(),
        }
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// Of a name as it goes out.
    pub(super) fn name_hash(&self, name: &[u8]) -> u64 {
        self.hash(name)
    }

    /// Of a label as it goes out. Hashes are added up, so that their order does not matter; one without a value is as good as none.
    pub(super) fn label_hash(&mut self, label: &Label<'_>, escaping: Escaping) -> u64 {
        if label.value.is_empty() {
            return 0;
        }
        let contiguous = label.whole.len() == label.name.raw.len() + 2 + label.value.len();
        if contiguous && !label.escaped && !label.name.quoted {
            return self.hash(label.whole);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        write_canonical(label, escaping, &mut scratch);
        let hash = self.hash(&scratch);
        self.scratch = scratch;
        hash
    }

    /// Of a series, from the hash of its name and the sum of those of its labels.
    pub(super) fn series_hash(name: u64, labels: u64) -> u64 {
        mix(name, labels)
    }

    /// Of labels without escapes, summed up.
    pub(super) fn plain_hash(&mut self, labels: &[Plain<'_>]) -> u64 {
        let mut sum = 0_u64;
        for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            self.scratch.clear();
            self.scratch.extend_from_slice(name.as_bytes());
            self.scratch.extend_from_slice(b"=\"");
            self.scratch.extend_from_slice(value);
            sum = sum.wrapping_add(self.hash(&self.scratch));
        }
        sum
    }

    /// Notes the series at `offset`; false if the same is in an earlier line.
    pub(super) fn insert(&mut self, hash: u64, offset: usize, text: &[u8], terms: &Terms<'_>) -> bool {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        match self.seen.entry(hash) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(offset);
                true
            }
            // Equal hashes are believed only if the labels say so too.
            std::collections::hash_map::Entry::Occupied(taken) => {
                series_at(text, *taken.get() as usize, terms) != series_at(text, offset as usize, terms)
            }
        }
    }

    /// Notes that samples of a metric begin in a family; false if they have begun before.
    pub(super) fn begin_metric(&mut self, family: usize, metric: u64) -> bool {
        // Kept apart from series by another mixture.
        let key = mix(metric ^ 0x9e37_79b9_7f4a_7c15, family as u64 + 1);
        self.seen.insert(key, u32::MAX).is_none()
    }
}

fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one ^ 0xa076_1d64_78bd_642f) * u128::from(other ^ 0xe703_7ed1_a0b4_28db);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let folded = (product >> 64) as u64 ^ product as u64;
    folded
}

/// `name="value` with nothing escaped.
fn write_canonical(label: &Label<'_>, escaping: Escaping, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(label_name(label.name, escaping).as_bytes());
    out.extend_from_slice(b"=\"");
    unescape(label.value, true, out);
}

/// A name without the escapes of its quotation marks.
pub(super) fn plain_name(name: Name<'_>) -> Cow<'_, str> {
    if name.quoted && name.raw.contains(&b'\\') {
        let mut out = Vec::new();
        unescape(name.raw, true, &mut out);
        return Cow::Owned(String::from_utf8_lossy(&out).into_owned());
    }
    String::from_utf8_lossy(name.raw)
}

/// The name of a label as it goes out.
pub(super) fn label_name(name: Name<'_>, escaping: Escaping) -> Cow<'_, str> {
    match plain_name(name) {
        Cow::Borrowed(name) => escaping.apply_to_label(name),
        Cow::Owned(name) => Cow::Owned(escaping.apply_to_label(&name).into_owned()),
    }
}

/// Name and sorted labels of the sample in the line at `offset`, as they go out.
fn series_at<'a>(text: &'a [u8], offset: usize, terms: &Terms<'_>) -> Option<(Vec<u8>, Vec<Plain<'a>>)> {
    let mut scanner = Scanner::resume(text, terms.format, offset);
    let Ok(Some(Entry::Sample)) = scanner.entry() else { return None };
    let mut labels = own_labels(scanner.labels(), terms.escaping, terms.honor_labels, |name| terms.added.contains(&name));
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_unstable();
    Some((out_name(scanner.sample().name, terms.escaping).into_owned(), labels))
}

/// The name of a metric as it goes out.
pub(super) fn out_name(name: Name<'_>, escaping: Escaping) -> Cow<'_, [u8]> {
    if !name.quoted {
        return Cow::Borrowed(name.raw);
    }
    let plain = plain_name(name);
    match escaping.apply(&plain) {
        Cow::Borrowed(same) if same.len() == name.raw.len() => Cow::Borrowed(name.raw),
        changed => Cow::Owned(changed.into_owned().into_bytes()),
    }
}
