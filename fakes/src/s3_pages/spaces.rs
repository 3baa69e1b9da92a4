//! The key spaces that buckets have in practice, and a few that hurt.

mod clusters;

pub use clusters::{ClusterTimestamp, NonAscii, OneHuge};

use super::key_space::{FIRST_BACKUP, KeySpace};
use crate::mix::mix;
use crate::text::{civil, push_decimal, push_hex};

/// Random-looking UUIDs in version 4: `0a1b2c3d-4e5f-4a6b-8c7d-0123456789ab`.
#[derive(Debug, Clone)]
pub struct Uuids {
    /// Number of objects.
    pub count: u64,
}

impl KeySpace for Uuids {
    fn len(&self) -> u64 {
        self.count
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        // The first 48 bits carry the order: object i sits somewhere in the i-th of `count` slices.
        let slice = (1 << 48) / self.count.max(1);
        let ordered = i * slice + mix(i) % slice.max(1);
        let rest = mix(!i);
        push_hex(out, ordered, 4, 12);
        out.push(b'-');
        push_hex(out, ordered, 12, 16);
        out.extend_from_slice(b"-4");
        push_hex(out, rest, 0, 3);
        out.extend_from_slice(b"-8");
        push_hex(out, rest, 4, 7);
        out.push(b'-');
        push_hex(out, rest.rotate_left(17), 0, 12);
    }
}

/// Folders by date and hour: `2026/11/21/05/00007.json.gz`.
#[derive(Debug, Clone)]
pub struct DateTree {
    /// Number of hours, from [`FIRST_BACKUP`] on.
    pub hours: u64,
    /// Objects in each hour, at most 100,000.
    pub per_hour: u64,
}

impl KeySpace for DateTree {
    fn len(&self) -> u64 {
        self.hours * self.per_hour
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        let at = civil(FIRST_BACKUP + i / self.per_hour * 3_600);
        for (value, width) in [(at.year, 4), (at.month, 2), (at.day, 2), (at.hour, 2)] {
            push_decimal(out, value, width);
            out.push(b'/');
        }
        push_decimal(out, i % self.per_hour, 5);
        out.extend_from_slice(b".json.gz");
    }

    fn modified(&self, i: u64) -> u64 {
        FIRST_BACKUP + i / self.per_hour * 3_600 + i % self.per_hour % 3_600
    }
}

/// Counters without leading zeros, 1 to `count`, in byte order: `1`, `10`, `100`, `11`, `2`.
#[derive(Debug, Clone)]
pub struct Counters {
    /// The highest number.
    pub count: u64,
}

impl Counters {
    /// How many numbers up to `count` begin with the digits of `prefix`.
    fn beginning_with(&self, prefix: u64) -> u64 {
        let (mut first, mut last, mut numbers) = (prefix, prefix, 0);
        while first <= self.count {
            numbers += last.min(self.count) - first + 1;
            first *= 10;
            last = last * 10 + 9;
        }
        numbers
    }
}

impl KeySpace for Counters {
    fn len(&self) -> u64 {
        self.count
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        let (mut number, mut skip) = (1, i);
        while skip > 0 {
            let below = self.beginning_with(number);
            if skip >= below {
                skip -= below;
                number += 1;
            } else {
                skip -= 1;
                number *= 10;
            }
        }
        push_decimal(out, number, 1);
    }
}

/// Keys that share a prefix of 900 bytes and differ only behind it.
#[derive(Debug, Clone)]
pub struct LongPrefix {
    /// Number of objects.
    pub count: u64,
}

impl LongPrefix {
    /// The common prefix: 90 folders with names of nine letters.
    pub fn prefix() -> String {
        "backups-x/".repeat(90)
    }
}

impl KeySpace for LongPrefix {
    fn len(&self) -> u64 {
        self.count
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        for _ in 0..90 {
            out.extend_from_slice(b"backups-x/");
        }
        push_decimal(out, i, 10);
    }
}
