//! What waits to be sealed, counted by the second in which it was taken, and the decision when it is enough.

use std::collections::VecDeque;
use std::time::Duration;

use super::tables::Amount;

/// Rows that become one file at most, which bounds the memory that a seal needs to about 250 MB. A thousand nodes have fewer in five minutes.
const MOST_ROWS: u64 = 5 << 18;
/// Bytes of reports, unpacked, that become one file at most: what they say bounds the texts of a seal. The rows above have half of it.
const MOST_LENGTH: u64 = 640 << 20;
/// An entry is not sealed earlier than this, so that watches can tell of pods that are as new as the report.
const SETTLE: Duration = Duration::from_secs(5);
/// An entry that is so far in the future was taken before the clock was set back: it has waited for an unknown time.
const AHEAD: i64 = 60_000;

/// When entries become files.
#[derive(Debug, Clone, Copy)]
pub struct Roll {
    /// Bytes of journal.
    pub bytes: u64,
    /// Age of the oldest entry.
    pub age: Duration,
}

/// Entries that are to be sealed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Number of the first.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// How much they are, about.
    pub amount: Amount,
    /// When the first was taken, in milliseconds since the Unix epoch.
    pub oldest: i64,
}

/// Entries that are not sealed, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    seconds: VecDeque<Second>,
    total: Amount,
    /// Number of the last entry of any plan: seconds up to it are closed, even if the clock has not got on.
    planned: u64,
}

/// Entries of one second, all of which are sealed together. What comes to the same second once that is planned begins another one: a transaction may
/// take longer than entries have to wait.
#[derive(Debug)]
struct Second {
    /// When the first was taken, in milliseconds since the Unix epoch.
    taken_at: i64,
    first: u64,
    last: u64,
    amount: Amount,
}

impl Backlog {
    /// An entry has come.
    pub(super) fn add(&mut self, number: u64, taken_at: i64, bytes: &[u8]) {
        self.total.add(bytes);
        match self.seconds.back_mut() {
            Some(second) if second.last > self.planned && second.taken_at.div_euclid(1_000) == taken_at.div_euclid(1_000) => {
                second.last = number;
                second.amount.add(bytes);
            }
            _ => {
                let mut amount = Amount::default();
                amount.add(bytes);
                self.seconds.push_back(Second { taken_at, first: number, last: number, amount });
            }
        }
    }

    /// Entries up to `last` are sealed.
    pub(super) fn remove_through(&mut self, last: u64) {
        while let Some(second) = self.seconds.pop_front_if(|second| second.last <= last) {
            self.total = self.total.minus(second.amount);
        }
        // Of a second that was read from the disk while it was being sealed, the rest is left. Its amount is then too large, until that is sealed too.
        if let Some(second) = self.seconds.front_mut() {
            second.first = second.first.max(last + 1);
        }
    }

    pub(super) fn total(&self) -> Amount {
        self.total
    }

    /// When the oldest was taken.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.seconds.front().map(|second| second.taken_at)
    }

    /// What is to be sealed now, if it is enough or old enough.
    pub(super) fn plan(&mut self, roll: Roll, now: i64) -> Option<Plan> {
        let age = i64::try_from(roll.age.as_millis()).unwrap_or(i64::MAX);
        let settle = age.min(i64::try_from(SETTLE.as_millis()).unwrap_or(i64::MAX));
        let waited = |second: &Second, time: i64| second.taken_at <= now.saturating_sub(time) || second.taken_at > now + AHEAD;
        let oldest = self.seconds.front().filter(|second| waited(second, settle))?;
        let mut plan = Plan { first: oldest.first, last: oldest.last, amount: Amount::default(), oldest: oldest.taken_at };
        let mut enough = waited(oldest, age);
        for second in self.seconds.iter().take_while(|second| waited(second, settle)) {
            plan.last = second.last;
            plan.amount = plan.amount.plus(second.amount);
            if plan.amount.bytes >= roll.bytes || plan.amount.rows >= MOST_ROWS || plan.amount.length >= MOST_LENGTH {
                enough = true;
                break;
            }
        }
        if !enough {
            return None;
        }
        self.planned = self.planned.max(plan.last);
        Some(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::packing::Packing;

    const ROLL: Roll = Roll { bytes: 1_000, age: Duration::from_secs(300) };

    fn backlog(times: &[i64]) -> Backlog {
        let mut backlog = Backlog::default();
        for (number, at) in (1..).zip(times) {
            let bytes = super::super::entry::Entry::bytes(*at, 2, Packing::Identity, 79, &[0; 79]);
            assert_eq!(bytes.len(), 100);
            backlog.add(number, *at, &bytes);
        }
        backlog
    }

    fn range(plan: Option<Plan>) -> Option<(u64, u64)> {
        plan.map(|plan| (plan.first, plan.last))
    }

    #[test]
    fn age_makes_a_file_of_everything_that_has_settled() {
        let mut backlog = backlog(&[10_000, 10_500, 200_000, 306_000]);
        assert_eq!(backlog.plan(ROLL, 309_999), None);
        let plan = backlog.plan(ROLL, 310_000).unwrap();
        assert_eq!((plan.first, plan.last, plan.oldest), (1, 3, 10_000));
        assert_eq!(plan.amount, Amount { entries: 3, bytes: 300, rows: 6, length: 237 });
        backlog.remove_through(plan.last);
        assert_eq!((backlog.total().entries, backlog.oldest()), (1, Some(306_000)));
        assert_eq!(backlog.plan(ROLL, 600_000), None);
        assert_eq!(range(backlog.plan(ROLL, 606_000)), Some((4, 4)));
    }

    #[test]
    fn size_makes_a_file_as_soon_as_that_much_has_settled() {
        let times: Vec<i64> = (0..25).map(|entry| entry * 500).collect();
        let mut backlog = backlog(&times);
        assert_eq!(backlog.plan(ROLL, 8_999), None, "entries 1 to 8 have settled");
        assert_eq!(range(backlog.plan(ROLL, 9_000)), Some((1, 10)));
        assert_eq!(range(backlog.plan(ROLL, 100_000)), Some((1, 10)), "no file is larger for having waited");
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing() {
        let mut backlog = backlog(&[1_000_000, 2_000]);
        assert_eq!(range(backlog.plan(ROLL, 3_000)), Some((1, 1)));
        assert_eq!(range(backlog.plan(ROLL, 960_000)), None, "less than a minute ahead");
    }

    #[test]
    fn what_comes_while_its_second_is_sealed_is_sealed_once() {
        let short = Roll { age: Duration::from_millis(300), ..ROLL };
        let mut backlog = backlog(&[10_000, 10_100]);
        let plan = backlog.plan(short, 10_400).unwrap();
        let bytes = super::super::entry::Entry::bytes(0, 2, Packing::Identity, 79, &[0; 79]);
        backlog.add(3, 10_450, &bytes);
        backlog.add(4, 10_500, &bytes);
        backlog.remove_through(plan.last);
        assert_eq!((plan.last, backlog.total().entries), (2, 2));
        assert_eq!(range(backlog.plan(short, 10_750)), Some((3, 4)));
        // And where the second was read from the disk meanwhile, so that nobody remembers the plan.
        let mut read = self::backlog(&[10_000, 10_100, 10_450, 10_500]);
        read.remove_through(plan.last);
        assert_eq!(range(read.plan(short, 10_750)), Some((3, 4)));
    }

    #[test]
    fn nothing_becomes_nothing() {
        assert_eq!(Backlog::default().plan(ROLL, i64::MAX), None);
        assert_eq!(range(backlog(&[0]).plan(Roll { age: Duration::from_millis(100), ..ROLL }, 100)), Some((1, 1)));
    }
}
