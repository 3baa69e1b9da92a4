//! How many bytes of answers are held at once, over all requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

/// The limit, and what is taken of it.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    held: AtomicUsize,
    gauge: IntGauge,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent;

impl Budget {
    pub(super) fn new(limit: usize, gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0), gauge })
    }

    /// A share of nothing, to begin with.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    fn change(&self, change: impl Fn(usize) -> Option<usize>) -> Result<(), Spent> {
        let changed = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        self.gauge.set(i64::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        changed.map(|_| ()).map_err(|_| Spent)
    }
}

impl Share {
    /// Makes the share `bytes` large.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Spent> {
        let before = self.bytes;
        self.budget.change(|held| Some(held - before + bytes).filter(|held| bytes <= before || *held <= self.budget.limit))?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        let gauge = IntGauge::new("a", "b").unwrap();
        let budget = Budget::new(100, gauge.clone());
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.resize(60).is_ok() && other.resize(40).is_ok());
        assert_eq!(other.resize(41), Err(Spent));
        assert_eq!(gauge.get(), 100);
        assert!(one.resize(10).is_ok() && other.resize(90).is_ok());
        drop(other);
        assert_eq!(gauge.get(), 10);
        drop(one);
        assert_eq!(gauge.get(), 0);
    }
}
