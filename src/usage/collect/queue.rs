//! Reports that have not been taken yet: bounded in number and in bytes, oldest first. When it is full the oldest goes, since the newest tells more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::sync::Notify;

/// A report as it is sent, however often.
#[derive(Debug)]
pub(super) struct Sealed {
    /// When it was measured.
    pub(super) timestamp: String,
    /// How many pods it tells of.
    pub(super) pods: usize,
    /// JSON, packed or not.
    pub(super) body: Bytes,
    /// `Content-Encoding`, where it is packed.
    pub(super) encoding: Option<&'static str>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// At least one.
    pub(super) reports: usize,
    /// The newest report is kept however large it is.
    pub(super) bytes: usize,
}

/// The queue, between the task that fills it and the one that empties it.
pub(super) struct Queue {
    limits: Limits,
    waiting: Mutex<Waiting>,
    filled: Notify,
    reports: IntGauge,
    bytes: IntGauge,
}

#[derive(Default)]
struct Waiting {
    reports: VecDeque<Arc<Sealed>>,
    bytes: usize,
}

impl Queue {
    /// An empty one; the gauges show how much is in it.
    pub(super) fn new(limits: Limits, reports: IntGauge, bytes: IntGauge) -> Self {
        Self { limits, waiting: Mutex::default(), filled: Notify::new(), reports, bytes }
    }

    /// Adds the newest; gives those that had to go for it.
    pub(super) fn push(&self, report: Sealed) -> Vec<Arc<Sealed>> {
        let mut waiting = self.lock();
        waiting.bytes += report.body.len();
        waiting.reports.push_back(Arc::new(report));
        let mut gone = Vec::new();
        while waiting.reports.len() > self.limits.reports.max(1)
            || (waiting.bytes > self.limits.bytes && waiting.reports.len() > 1)
        {
            gone.extend(waiting.take_first());
        }
        self.show(&waiting);
        self.filled.notify_one();
        gone
    }

    /// The oldest, which stays.
    pub(super) fn first(&self) -> Option<Arc<Sealed>> {
        self.lock().reports.front().cloned()
    }

    /// Takes out a report that is done with. It may have gone by itself meanwhile: then nothing else goes in its place.
    pub(super) fn remove(&self, report: &Arc<Sealed>) {
        let mut waiting = self.lock();
        if waiting.reports.front().is_some_and(|first| Arc::ptr_eq(first, report)) {
            waiting.take_first();
        }
        self.show(&waiting);
    }

    /// How many reports, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.reports.len(), waiting.bytes)
    }

    /// Waits until something has been added since the last wait.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    fn show(&self, waiting: &Waiting) {
        self.reports.set(i64::try_from(waiting.reports.len()).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(waiting.bytes).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take_first(&mut self) -> Option<Arc<Sealed>> {
        let first = self.reports.pop_front()?;
        self.bytes -= first.body.len();
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(reports: usize, bytes: usize) -> Queue {
        let gauge = |name: &str| IntGauge::new(name, name).unwrap();
        Queue::new(Limits { reports, bytes }, gauge("reports"), gauge("bytes"))
    }

    fn report(name: &str, bytes: usize) -> Sealed {
        Sealed { timestamp: name.to_owned(), pods: 0, body: vec![0; bytes].into(), encoding: None }
    }

    fn names(gone: &[Arc<Sealed>]) -> Vec<&str> {
        gone.iter().map(|report| report.timestamp.as_str()).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let queue = queue(2, 1_000);
        assert!(queue.push(report("a", 10)).is_empty() && queue.push(report("b", 20)).is_empty());
        assert_eq!(names(&queue.push(report("c", 30))), ["a"]);
        assert_eq!((queue.size(), queue.reports.get(), queue.bytes.get()), ((2, 50), 2, 50));
        assert_eq!(queue.first().unwrap().timestamp, "b");
    }

    #[test]
    fn the_oldest_go_when_they_are_too_large() {
        let queue = queue(100, 100);
        for name in ["a", "b", "c"] {
            assert!(queue.push(report(name, 30)).is_empty());
        }
        assert_eq!(names(&queue.push(report("d", 60))), ["a", "b"]);
        // The newest stays though it alone is too much.
        assert_eq!(names(&queue.push(report("huge", 1_000))), ["c", "d"]);
        assert_eq!(queue.size(), (1, 1_000));
    }

    #[test]
    fn a_report_that_went_by_itself_takes_no_other_along() {
        let queue = queue(1, 100);
        queue.push(report("a", 1));
        let being_sent = queue.first().unwrap();
        queue.push(report("b", 1));
        queue.remove(&being_sent);
        assert_eq!(queue.first().unwrap().timestamp, "b");
        queue.remove(&queue.first().unwrap());
        assert_eq!((queue.size(), queue.reports.get()), ((0, 0), 0));
    }
}
