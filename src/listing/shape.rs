//! What the keys of a bucket look like, learned from those seen: where a range of keys can be cut, and how much of it may be left. Pure.
//!
//! A cut is a guess about keys that nobody has seen. It is made from what the keys seen have in common:
//!
//! - *Proved positions*: where keys differ, such as the last digit of a cluster's number. There a range is halved, among the bytes seen at that
//!   position, or at others that share bytes with it, or of the same class (digits, letters).
//! - *Unexplored positions*: what has been the same in all keys between a range's bound and its first proved position. One question, what
//!   follows after the successor of a prefix, settles all positions to the left: either nothing does, or the answer shows where keys differ.
//!   So these are searched by bisection.

mod bytes;

use self::bytes::{ByteSet, Sets, Slot, slots};

/// A range of which `last` is the last key seen; keys up to `until` are left in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest<'a> {
    pub(super) last: &'a [u8],
    pub(super) until: Option<&'a [u8]>,
    /// Positions at which keys before `last` are known to differ from it, ascending.
    pub(super) proved: [usize; 3],
    /// Length of the prefix that all keys of the listing have.
    pub(super) prefix: usize,
}

impl Rest<'_> {
    /// The first position at which the keys that are left can differ.
    fn branch(&self) -> usize {
        self.until.map_or(self.prefix, |until| common_prefix(self.last, until).max(self.prefix))
    }

    /// The bytes that may follow `last[..position]` in a key between `last` and `until`, and be a character's part there.
    fn room(&self, position: usize) -> ByteSet {
        let low = self.last.get(position).map_or(0, |&byte| u16::from(byte) + 1);
        // A shorter key than `until` may end in the same byte.
        let below = |until: &[u8]| until.get(position).map_or(0, |&byte| u16::from(byte) + u16::from(until.len() > position + 1));
        let high = if position == self.branch() { self.until.map_or(256, below) } else { 256 };
        let within_character = position > 0 && !is_boundary(self.last, position);
        let possible = if within_character { ByteSet::CONTINUATION } else { ByteSet::range(0, 0x7f).union(ByteSet::LEAD) };
        if low >= high {
            return ByteSet::default();
        }
        let [first, last] = [low, high - 1].map(|byte| u8::try_from(byte).unwrap_or(u8::MAX));
        possible.intersection(&ByteSet::range(first, last))
    }

    /// `last[..position]` with `byte` behind it, as a key: valid UTF-8 and within the range.
    fn key(&self, position: usize, byte: u8) -> Option<Box<[u8]>> {
        let mut key = Vec::with_capacity(position + 4);
        key.extend_from_slice(&self.last[..position]);
        key.push(byte);
        complete_character(&mut key);
        let within = *key > *self.last && self.until.is_none_or(|until| *key < *until);
        (within && std::str::from_utf8(&key).is_ok()).then(|| key.into_boxed_slice())
    }
}

/// True if a character begins at `position`.
fn is_boundary(key: &[u8], position: usize) -> bool {
    key.get(position).is_none_or(|byte| !ByteSet::CONTINUATION.contains(*byte))
}

/// Completes a last character that has been begun, with the smallest bytes that it can have.
fn complete_character(key: &mut Vec<u8>) {
    for _ in 0..3 {
        match std::str::from_utf8(key) {
            Err(error) if error.error_len().is_none() => key.push(match key.last() {
                Some(0xe0) => 0xa0,
                Some(0xf0) => 0x90,
                _ => 0x80,
            }),
            _ => return,
        }
    }
}

/// Length of what two keys begin with.
pub(super) fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// An estimate does not look at parts of the range that are smaller.
const FINEST: f64 = 1e-15;

/// A cut.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) at: Box<[u8]>,
    /// Present if no key has been seen to look like this.
    pub(super) guess: Option<Guess>,
}

/// What is assumed of keys behind a cut: that this slot holds one of these bytes.
#[derive(Debug)]
pub(super) struct Guess {
    slot: Slot,
    bytes: ByteSet,
}

/// The bytes seen in the keys.
#[derive(Debug)]
pub(super) struct Shape {
    seen: Sets,
    /// By byte: all that has been seen in slots that hold this byte too.
    together: [ByteSet; 256],
    /// What was looked for in a slot in vain.
    barren: Sets,
    /// What the next key has in common with it is known already.
    last: Vec<u8>,
}

impl Default for Shape {
    fn default() -> Self {
        Self { seen: Sets::default(), together: [ByteSet::default(); 256], barren: Sets::default(), last: Vec::new() }
    }
}

impl Shape {
    /// Learns from a key.
    pub(super) fn observe(&mut self, key: &[u8]) {
        let known = common_prefix(&self.last, key);
        for (slot, &byte) in slots(key).zip(key).skip(known) {
            if let Some(set) = self.seen.insert(slot, byte) {
                set.bytes().for_each(|other| self.together[usize::from(other)] = self.together[usize::from(other)].union(set));
            }
        }
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    /// Learns that nothing was found where `guess` had been.
    pub(super) fn disappointed(&mut self, guess: &Guess) {
        guess.bytes.bytes().for_each(|byte| {
            self.barren.insert(guess.slot, byte);
        });
    }

    /// What may stand in a slot: the byte that always has, or what has been seen in slots that share a byte with it.
    fn likely(&self, slot: Slot) -> ByteSet {
        let seen = self.seen.get(slot);
        if seen.len() <= 1 {
            seen
        } else {
            seen.bytes().fold(seen, |likely, byte| likely.union(self.together[usize::from(byte)]))
        }
    }

    /// The bytes that may stand where `byte` does: digits of its base for a digit, otherwise its class.
    fn alike(&self, byte: u8) -> ByteSet {
        let kin = self.together[usize::from(byte)];
        if kin.is_within(&ByteSet::HEX) { kin.union(ByteSet::DIGITS) } else { ByteSet::class(byte) }
    }

    /// A key that cuts `rest` in two, both of which are likely to hold objects: as far left as keys differ. With `guess` it may be like no key
    /// that has been seen. `None` where there is no such key.
    pub(super) fn cut(&self, rest: &Rest<'_>, guess: bool, worthwhile: impl Fn(&[u8]) -> bool) -> Option<Cut> {
        let slots: Vec<Slot> = slots(rest.last).collect();
        let mut settled = rest.branch();
        while let Some(differs) = self.next_difference(rest, settled, &slots) {
            if guess
                && let Some(middle) = middle_unexplored(rest, settled, differs)
                && let Some(cut) = (middle..differs).find_map(|position| {
                    self.successor(rest, position, &slots).filter(|cut| position + 1 < differs || worthwhile(&cut.at))
                })
            {
                return Some(cut);
            }
            if let Some(cut) = self.halve(rest, differs, &slots, guess) {
                return Some(cut).filter(|cut| worthwhile(&cut.at));
            }
            settled = differs + 1;
        }
        let cut = (settled..rest.last.len()).find_map(|position| self.halve(rest, position, &slots, guess));
        cut.filter(|cut| worthwhile(&cut.at))
    }

    /// The next position from `from` on at which keys differ: here, or if it holds a digit, anywhere.
    fn next_difference(&self, rest: &Rest<'_>, from: usize, slots: &[Slot]) -> Option<usize> {
        let here = rest.proved.into_iter().find(|&proved| proved >= from)?;
        let digits = |position: &usize| {
            rest.last.get(*position).is_some_and(u8::is_ascii_digit)
                && self.seen.get(slots[*position]).intersection(&ByteSet::DIGITS).len() > 1
        };
        (from..here.min(slots.len())).find(digits).or(Some(here))
    }

    /// True if a cut would ask about positions that have never been seen to differ.
    pub(super) fn is_unexplored(&self, rest: &Rest<'_>) -> bool {
        self.cut(rest, true, |_| true).is_some_and(|cut| cut.guess.is_some())
    }

    fn halve(&self, rest: &Rest<'_>, position: usize, slots: &[Slot], guess: bool) -> Option<Cut> {
        let room = rest.room(position);
        let slot = slots.get(position).copied()?;
        let alike = self.alike(rest.last[position]);
        let seen = self.seen.get(slot).intersection(&alike).intersection(&room);
        if let Some(at) = seen.median().and_then(|byte| rest.key(position, byte)) {
            return Some(Cut { at, guess: None });
        }
        if !guess {
            return None;
        }
        let unseen = alike.intersection(&room).without(&self.barren.get(slot));
        let found = unseen.median().and_then(|byte| self.guess(rest, position, slot, byte));
        // Beyond all bytes of the kind, and nothing bounds the range.
        let unbounded = rest.until.is_none() && position == rest.branch();
        found.or_else(|| if unbounded { self.successor(rest, position, slots) } else { None })
    }

    fn successor(&self, rest: &Rest<'_>, position: usize, slots: &[Slot]) -> Option<Cut> {
        let room = rest.room(position);
        let next = room.bytes().next()?;
        self.guess(rest, position, slots.get(position).copied()?, next)
    }

    fn guess(&self, rest: &Rest<'_>, position: usize, slot: Slot, byte: u8) -> Option<Cut> {
        if self.barren.get(slot).contains(byte) {
            return None;
        }
        let at = rest.key(position, byte)?;
        let bytes = rest.room(position).intersection(&ByteSet::range(byte, u8::MAX));
        Some(Cut { at, guess: Some(Guess { slot, bytes }) })
    }

    /// How much lies between two keys, in units that mean nothing by themselves but can be compared where `base`, the first position that
    /// counts, is the same.
    pub(super) fn distance(&self, from: &[u8], to: Option<&[u8]>, base: usize) -> f64 {
        let place = |key: &[u8]| {
            let (mut place, mut unit) = (0.0, 1.0);
            for (slot, &byte) in slots(key).zip(key).skip(base) {
                let likely = self.likely(slot);
                unit /= f64::from(likely.len().max(1));
                place += f64::from(likely.rank(byte)) * unit;
                if unit < FINEST {
                    break;
                }
            }
            place
        };
        to.map_or(1.0, place) - place(from)
    }
}

/// The middle of the positions from `settled` on that lie before `proved` and of which nothing is known.
fn middle_unexplored(rest: &Rest<'_>, settled: usize, proved: usize) -> Option<usize> {
    let first = if settled == rest.branch() && rest.room(settled) == ByteSet::default() { settled + 1 } else { settled };
    (first < proved).then(|| first + (proved - 1 - first) / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::bytes::{LONGEST_PART, MOST_PARTS};
    use super::*;

    proptest! {
        /// Any bytes, since keys come from servers.
        #[test]
        fn a_cut_is_a_key_within_its_range(
            keys in proptest::collection::btree_set(proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'/'), Just(0xe5), any::<u8>()], 0..12), 2..40),
            text in proptest::collection::btree_set("[a-c0-3é/\u{10ffff}-]{0,8}", 2..40),
            bytes in any::<bool>(), until in any::<proptest::sample::Index>(), guess in any::<bool>(), proved in proptest::array::uniform3(0_usize..14),
        ) {
            let keys: Vec<Vec<u8>> = if bytes { keys.into_iter().collect() } else { text.into_iter().map(String::into_bytes).collect() };
            let mut shape = Shape::default();
            keys.iter().for_each(|key| shape.observe(key));
            let (last, until) = (&keys[0], until.get(&keys[1..]));
            let mut proved = proved;
            proved.sort_unstable();
            for until in [None, Some(until.as_slice())] {
                let rest = Rest { last, until, proved, prefix: 0 };
                if let Some(Cut { at, .. }) = shape.cut(&rest, guess, |_| true) {
                    prop_assert!(*at > **last && until.is_none_or(|until| *at < *until), "{:?} cuts {:?}", at, rest);
                    prop_assert!(std::str::from_utf8(&at).is_ok(), "{:?} cuts {:?}", at, rest);
                }
                prop_assert!(shape.distance(last, until, 0).is_finite());
            }
        }
    }

    fn cut(keys: &[&str], until: Option<&str>) -> Option<String> {
        let mut shape = Shape::default();
        keys.iter().for_each(|key| shape.observe(key.as_bytes()));
        let (first, last) = (keys.first()?.as_bytes(), keys.last()?.as_bytes());
        let rest = Rest { last, until: until.map(str::as_bytes), proved: [common_prefix(first, last); 3], prefix: 0 };
        shape.cut(&rest, true, |_| true).map(|cut| String::from_utf8(cut.at.into_vec()).unwrap())
    }

    #[test]
    fn what_has_been_seen_to_differ_is_halved() {
        assert_eq!(cut(&["a-0", "a-9", "b-1"], Some("b-5")).as_deref(), Some("b-3"));
        assert_eq!(cut(&["a-0f", "a-00"], Some("a-0z")).as_deref(), Some("a-0f"));
    }

    #[test]
    fn what_has_never_differed_is_asked_about() {
        // Is there anything that does not begin with `cluste`?
        assert_eq!(cut(&["cluster-1", "cluster-2"], None).as_deref(), Some("clut"));
    }

    #[test]
    fn keys_of_nothing_but_punctuation_are_bounded() {
        let mut shape = Shape::default();
        shape.observe("/".repeat(1_024).as_bytes());
        shape.observe("a".repeat(1_024).as_bytes());
        assert!(shape.seen.0.len() <= MOST_PARTS && shape.seen.0.iter().all(|part| part.len() <= LONGEST_PART));
    }
}
