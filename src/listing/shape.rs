//! What the keys of a bucket look like, learned from those seen: where a range of keys can be cut, and how much of it may be left. Pure.
//!
//! A cut is a guess about keys that nobody has seen. It is made from what the keys seen have in common:
//!
//! - *Proved positions*: where keys differ, such as the last digit of a cluster's number. There a range is halved, among the bytes seen at that
//!   position, or at others that share bytes with it, or of the same class (digits, letters).
//! - *Unexplored positions*: what has been the same in all keys between a range's bound and its first proved position. One question, what
//!   follows after the successor of a prefix, settles all positions to the left: either nothing does, or the answer shows where keys differ.
//!   So these are searched by bisection.

/// A set of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ByteSet([u64; 4]);

impl ByteSet {
    const DIGITS: Self = Self::range(b'0', b'9');
    const UPPER: Self = Self::range(b'A', b'Z');
    const LOWER: Self = Self::range(b'a', b'z');
    const HEX: Self = Self::DIGITS.union(Self::range(b'a', b'f'));
    /// The bytes in a character behind its first one.
    const CONTINUATION: Self = Self::range(0x80, 0xbf);
    /// The first bytes of characters that are not ASCII.
    const LEAD: Self = Self::range(0xc2, 0xf4);

    const fn range(first: u8, last: u8) -> Self {
        let mut set = [0; 4];
        let mut byte = first;
        loop {
            set[byte as usize / 64] |= 1 << (byte % 64);
            if byte == last {
                return Self(set);
            }
            byte += 1;
        }
    }

    /// The bytes that are like `byte`.
    fn class(byte: u8) -> Self {
        let classes = [Self::DIGITS, Self::UPPER, Self::LOWER, Self::CONTINUATION, Self::LEAD];
        classes.into_iter().find(|class| class.contains(byte)).unwrap_or_default()
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & (1 << (byte % 64)) != 0
    }

    /// True if `byte` was not in it.
    fn insert(&mut self, byte: u8) -> bool {
        let new = !self.contains(byte);
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
        new
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(left, right)| left & right != 0)
    }

    fn is_within(&self, other: &Self) -> bool {
        self.intersection(other) == *self
    }

    const fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Number of its bytes below `byte`.
    fn rank(&self, byte: u8) -> u32 {
        let word = usize::from(byte / 64);
        let below: u32 = self.0[..word].iter().map(|word| word.count_ones()).sum();
        below + (self.0[word] & ((1 << (byte % 64)) - 1)).count_ones()
    }

    /// The middle one.
    fn median(&self) -> Option<u8> {
        let mut left = self.len() / 2;
        (0..=u8::MAX).filter(|&byte| self.contains(byte)).find(|_| {
            let found = left == 0;
            left = left.saturating_sub(1);
            found
        })
    }
}

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
    pub(super) fn branch(&self) -> usize {
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
        let mut room = ByteSet::default();
        (low..high).filter_map(|byte| u8::try_from(byte).ok()).filter(|&byte| possible.contains(byte)).for_each(|byte| {
            room.insert(byte);
        });
        room
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

/// How deep an estimate looks behind the first position that differs.
const DIGITS_OF_AN_ESTIMATE: usize = 64;

/// Where a byte stands in a key: in which of the parts that punctuation makes, and how far into it. So the years of `a-2026` and `abc-2027`
/// are compared, although their positions differ.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    part: usize,
    offset: usize,
}

/// The slots of a key's bytes.
fn slots(key: &[u8]) -> impl Iterator<Item = Slot> {
    key.iter().scan(Slot::default(), |next, byte| {
        let slot = *next;
        *next = if byte.is_ascii_alphanumeric() || !byte.is_ascii() {
            Slot { offset: slot.offset + 1, ..slot }
        } else {
            Slot { part: slot.part + 1, offset: 0 }
        };
        Some(slot)
    })
}

/// A set for each slot.
#[derive(Debug, Default)]
struct Sets(Vec<Vec<ByteSet>>);

impl Sets {
    fn get(&self, slot: Slot) -> ByteSet {
        self.0.get(slot.part).and_then(|part| part.get(slot.offset)).copied().unwrap_or_default()
    }

    fn insert(&mut self, slot: Slot, byte: u8) -> bool {
        if self.0.len() <= slot.part {
            self.0.resize_with(slot.part + 1, Vec::new);
        }
        let part = &mut self.0[slot.part];
        if part.len() <= slot.offset {
            part.resize(slot.offset + 1, ByteSet::default());
        }
        part[slot.offset].insert(byte)
    }
}

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
#[derive(Debug, Default)]
pub(super) struct Shape {
    seen: Sets,
    /// What a slot may hold, by what has been seen there and in slots like it.
    likely: Sets,
    /// What was looked for in a slot in vain.
    barren: Sets,
}

impl Shape {
    /// Learns from a key.
    pub(super) fn observe(&mut self, key: &[u8]) {
        let mut new = false;
        for (slot, &byte) in slots(key).zip(key) {
            new |= self.seen.insert(slot, byte);
        }
        if new {
            self.likely.0.clear();
        }
    }

    /// Learns that nothing was found where `guess` had been.
    pub(super) fn disappointed(&mut self, guess: &Guess) {
        (0..=u8::MAX).filter(|&byte| guess.bytes.contains(byte)).for_each(|byte| {
            self.barren.insert(guess.slot, byte);
        });
    }

    /// Brings the likely bytes up to date.
    pub(super) fn digest(&mut self) {
        if self.likely.0.is_empty() {
            let kin = |set: &ByteSet| if set.len() > 1 { self.kin(set) } else { *set };
            self.likely = Sets(self.seen.0.iter().map(|part| part.iter().map(kin).collect()).collect());
        }
    }

    /// What stands in slots that share a byte with `set`.
    fn kin(&self, set: &ByteSet) -> ByteSet {
        self.seen.0.iter().flatten().filter(|other| other.meets(set)).fold(*set, |kin, other| kin.union(*other))
    }

    /// The bytes that may stand where `byte` does: digits of its base for a digit, otherwise its class.
    fn alike(&self, byte: u8) -> ByteSet {
        let kin = self.kin(&ByteSet::range(byte, byte));
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
        let next = (0..=u8::MAX).find(|&byte| room.contains(byte))?;
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
            for (slot, &byte) in slots(key).zip(key).skip(base).take(DIGITS_OF_AN_ESTIMATE) {
                let likely = self.likely.get(slot);
                unit /= f64::from(likely.len().max(1));
                place += f64::from(likely.rank(byte)) * unit;
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
