//! Scrapes at once: so many overall, and so many per node.
//!
//! A scrape that would keep its slot until the others' time is over gives it up and goes on without: so pods that hang hold up nobody, and as long
//! as pods answer, the limits are kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// The least that a scrape may keep its slot, however many wait; and how often it is looked at who does.
const SHORTEST_TURN: Duration = Duration::from_millis(50);

/// A limit, and who waits for it.
#[derive(Debug)]
struct Lane {
    permits: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
}

/// Who waits is counted until it waits no more, also if it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    fn new(size: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(size)), size, waiting: AtomicUsize::new(0) }
    }

    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// How long each of those that wait could keep a slot if all are to have one within `left`.
    fn fair_turn(&self, left: Duration) -> Duration {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let (size, all) = (u32::try_from(self.size).unwrap_or(u32::MAX), u32::try_from(waiting + 1).unwrap_or(u32::MAX));
        (left.saturating_mul(size) / all).min(left)
    }
}

/// All limits.
#[derive(Debug)]
pub(super) struct Slots {
    all: Lane,
    per_node: usize,
    nodes: Mutex<HashMap<Arc<str>, Arc<Lane>>>,
}

/// A slot, until it is dropped.
pub(super) struct Turn<'a> {
    begun: Instant,
    deadline: Instant,
    all: &'a Lane,
    node: Option<Arc<Lane>>,
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Turn<'_> {
    /// Ends when the slot has been kept for longer than is fair to those who wait by then.
    pub(super) async fn over(&self) {
        loop {
            sleep(SHORTEST_TURN).await;
            let left = self.deadline.saturating_duration_since(Instant::now());
            let fair = self.all.fair_turn(left).min(self.node.as_ref().map_or(left, |lane| lane.fair_turn(left)));
            if self.begun.elapsed() >= fair {
                return;
            }
        }
    }
}

impl Slots {
    pub(super) fn new(all: usize, per_node: usize) -> Self {
        Self { all: Lane::new(all), per_node, nodes: Mutex::default() }
    }

    /// Waits for a slot on `node` and overall, for a scrape that has time until `deadline`.
    pub(super) async fn take(&self, node: Option<&Arc<str>>, deadline: Instant) -> Turn<'_> {
        let node = node.map(|node| self.lane(node));
        let of_node = match &node {
            Some(lane) => lane.take().await,
            None => None,
        };
        let of_all = self.all.take().await;
        Turn { begun: Instant::now(), deadline, all: &self.all, node, _permits: [of_node, of_all] }
    }

    fn lane(&self, node: &Arc<str>) -> Arc<Lane> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = nodes.get(node) {
            return Arc::clone(lane);
        }
        // Nodes come and go; those that nobody uses are forgotten.
        nodes.retain(|_, lane| Arc::strong_count(lane) > 1 || lane.permits.available_permits() < lane.size);
        let lane = Arc::new(Lane::new(self.per_node));
        nodes.insert(Arc::clone(node), Arc::clone(&lane));
        lane
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::time::sleep_until;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn limits_are_kept_overall_and_per_node() {
        let slots = Slots::new(4, 2);
        let (running, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let nodes: Vec<Arc<str>> = vec!["a".into(), "b".into(), "c".into()];
        let deadline = Instant::now() + Duration::from_secs(60);
        let scrape = async |node: usize| {
            let turn = slots.take(Some(&nodes[node]), deadline).await;
            peak.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
            running.fetch_sub(1, Ordering::Relaxed);
            drop(turn);
        };
        let start = Instant::now();
        join_all((0..20).map(|at| scrape(at % 3))).await;
        assert_eq!((peak.load(Ordering::Relaxed), start.elapsed()), (4, Duration::from_millis(500)));
        let start = Instant::now();
        join_all((0..20).map(|_| scrape(0))).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_hang_hold_up_nobody() {
        let slots = Slots::new(10, 100);
        let deadline = Instant::now() + Duration::from_secs(10);
        let scrape = async |at: usize| {
            let turn = slots.take(None, deadline).await;
            let hangs = at < 300;
            if hangs {
                turn.over().await;
                drop(turn);
                sleep_until(deadline).await;
            } else {
                sleep(Duration::from_millis(20)).await;
            }
            !hangs && Instant::now() < deadline
        };
        let done = join_all((0..1000).map(scrape)).await;
        assert_eq!(done.iter().filter(|healthy| **healthy).count(), 700);
    }
}
