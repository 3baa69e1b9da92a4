//! Sets of bytes, and which bytes have been seen where in keys.

/// A set of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) const DIGITS: Self = Self::range(b'0', b'9');
    pub(super) const UPPER: Self = Self::range(b'A', b'Z');
    pub(super) const LOWER: Self = Self::range(b'a', b'z');
    pub(super) const HEX: Self = Self::DIGITS.union(Self::range(b'a', b'f'));
    /// The bytes in a character behind its first one.
    pub(super) const CONTINUATION: Self = Self::range(0x80, 0xbf);
    /// The first bytes of characters that are not ASCII.
    pub(super) const LEAD: Self = Self::range(0xc2, 0xf4);

    pub(super) const fn range(first: u8, last: u8) -> Self {
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
    pub(super) fn class(byte: u8) -> Self {
        let classes = [Self::DIGITS, Self::UPPER, Self::LOWER, Self::CONTINUATION, Self::LEAD];
        classes.into_iter().find(|class| class.contains(byte)).unwrap_or_default()
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & (1 << (byte % 64)) != 0
    }

    /// True if `byte` was not in it.
    pub(super) fn insert(&mut self, byte: u8) -> bool {
        let new = !self.contains(byte);
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
        new
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(super) fn bytes(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |&byte| self.contains(byte))
    }

    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.intersection(other) == *self
    }

    pub(super) const fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Number of its bytes below `byte`.
    pub(super) fn rank(&self, byte: u8) -> u32 {
        let word = usize::from(byte / 64);
        let below: u32 = self.0[..word].iter().map(|word| word.count_ones()).sum();
        below + (self.0[word] & ((1 << (byte % 64)) - 1)).count_ones()
    }

    /// The middle one.
    pub(super) fn median(&self) -> Option<u8> {
        self.bytes().nth(self.len() as usize / 2)
    }
}

/// Where a byte stands in a key: in which of the parts that punctuation makes, and how far into it. So the years of `a-2026` and `abc-2027`
/// are compared, although their positions differ.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    part: usize,
    offset: usize,
}

/// The slots of a key's bytes.
pub(super) fn slots(key: &[u8]) -> impl Iterator<Item = Slot> {
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

/// Bounds what is learned of keys that make no sense.
pub(super) const MOST_PARTS: usize = 256;
pub(super) const LONGEST_PART: usize = 128;

/// A set for each slot.
#[derive(Debug, Default)]
pub(super) struct Sets(pub(super) Vec<Vec<ByteSet>>);

impl Sets {
    pub(super) fn get(&self, slot: Slot) -> ByteSet {
        self.0.get(slot.part).and_then(|part| part.get(slot.offset)).copied().unwrap_or_default()
    }

    /// The slot's new set, if `byte` was not in it. Keys of very many parts, or very long ones, are not followed to their end.
    pub(super) fn insert(&mut self, slot: Slot, byte: u8) -> Option<ByteSet> {
        if slot.part >= MOST_PARTS || slot.offset >= LONGEST_PART {
            return None;
        }
        if self.0.len() <= slot.part {
            self.0.resize_with(slot.part + 1, Vec::new);
        }
        let part = &mut self.0[slot.part];
        if part.len() <= slot.offset {
            part.resize(slot.offset + 1, ByteSet::default());
        }
        part[slot.offset].insert(byte).then(|| part[slot.offset])
    }
}
