//! Scrapes at once: so many overall, and so many per node.
//!
//! A scrape that would keep its slot until the others' time is over gives it up and goes on without: so pods that hang hold up nobody, and as long
//! as pods answer, the limits are kept. How many go on without is limited too, since each has a connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

/// The least that a scrape may keep its slot, however many wait; and how often it is looked at who does.
const SHORTEST_TURN: Duration = Duration::from_millis(50);

/// Scrapes that are open at most, for each that may have a slot: those that gave theirs up keep a connection until they end.
const OPEN_PER_SLOT: usize = 16;

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
        let size = size.min(Semaphore::MAX_PERMITS);
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
    /// Scrapes with a slot, and those that gave theirs up.
    open: Semaphore,
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

/// The right to have a connection, until it is dropped.
pub(super) struct Open<'a>(#[expect(dead_code, reason = "it is held, and dropped at the end")] Option<SemaphorePermit<'a>>);

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
        let open = Semaphore::new(all.saturating_mul(OPEN_PER_SLOT).min(Semaphore::MAX_PERMITS));
        Self { all: Lane::new(all), open, per_node, nodes: Mutex::default() }
    }

    /// Waits for a slot on `node` and overall, for a scrape that has time until `deadline`. The slot may be given up before the scrape ends, what it is
    /// opened with may not.
    pub(super) async fn take(&self, node: Option<&Arc<str>>, deadline: Instant) -> (Turn<'_>, Open<'_>) {
        let node = node.map(|node| self.lane(node));
        let of_node = match &node {
            Some(lane) => lane.take().await,
            None => None,
        };
        let of_all = self.all.take().await;
        // Last: who waits for it has a slot, which nobody else could use either.
        let open = Open(self.open.acquire().await.ok());
        (Turn { begun: Instant::now(), deadline, all: &self.all, node, _permits: [of_node, of_all] }, open)
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
    use tokio::time::{sleep_until, timeout_at};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn limits_are_kept_overall_and_per_node() {
        let slots = Slots::new(4, 2);
        let (running, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let nodes: Vec<Arc<str>> = vec!["a".into(), "b".into(), "c".into()];
        let deadline = Instant::now() + Duration::from_secs(60);
        let scrape = async |node: usize| {
            let (turn, _open) = slots.take(Some(&nodes[node]), deadline).await;
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
        let slots = Slots::new(20, 100);
        let deadline = Instant::now() + Duration::from_secs(10);
        let scrape = async |at: usize| {
            let (turn, _open) = slots.take(None, deadline).await;
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

    #[tokio::test(start_paused = true)]
    async fn those_that_gave_up_their_slots_are_limited_too() {
        let slots = Slots::new(2, 100);
        let deadline = Instant::now() + Duration::from_secs(10);
        let (open, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let scrape = async |_| {
            let Ok((turn, _open)) = timeout_at(deadline, slots.take(None, deadline)).await else { return false };
            peak.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let _ = timeout_at(deadline, turn.over()).await;
            drop(turn);
            sleep_until(deadline).await;
            open.fetch_sub(1, Ordering::Relaxed);
            true
        };
        let opened = join_all((0..100).map(scrape)).await;
        assert_eq!((peak.load(Ordering::Relaxed), Instant::now()), (2 * OPEN_PER_SLOT, deadline));
        assert!(opened.iter().filter(|opened| **opened).count() >= 2 * OPEN_PER_SLOT);
        let (_turn, _open) = slots.take(None, deadline).await;
    }
}
