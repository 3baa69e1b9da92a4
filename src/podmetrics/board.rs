//! The last answer of each job: for the status page, and for how long the next one will take to send.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::page::Page;

/// Jobs that are remembered.
const MOST_JOBS: usize = 1_000;
/// Failures that are told of each.
pub(super) const MOST_FAILURES: usize = 20;

/// What became of the last request for a job.
#[derive(Debug, Clone)]
pub(super) struct LastAnswer {
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    pub(super) targets: usize,
    pub(super) up: usize,
    pub(super) samples: u64,
    /// Held for it, which is about what was sent.
    pub(super) bytes: usize,
    /// The first targets that are down: labels, reason, what happened.
    pub(super) failures: Vec<(String, &'static str, String)>,
}

/// What is remembered: answers, and refusals that no answer has followed.
#[derive(Debug, Default)]
pub(super) struct Board {
    answers: Mutex<BTreeMap<String, LastAnswer>>,
    refusals: Mutex<BTreeMap<String, (Timestamp, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub(super) fn answered(&self, job: &str, page: &Page, took: Duration, at: Timestamp) {
        let targets = page.targets().count();
        let down = page.failures().count();
        let failures = page.failures().take(MOST_FAILURES).map(|(target, failure)| {
            let labels: Vec<&str> = page.labels_of(target).iter().map(|(_, value)| value.as_str()).collect();
            (labels.join(" "), failure.reason.as_str(), failure.detail.clone())
        });
        let answer = LastAnswer {
            at,
            took,
            targets,
            up: targets - down,
            samples: page.samples(),
            bytes: page.held_bytes(),
            failures: failures.collect(),
        };
        lock(&self.refusals).remove(job);
        let mut jobs = lock(&self.answers);
        if jobs.len() >= MOST_JOBS && !jobs.contains_key(job) {
            // The one that nobody has asked for the longest.
            let oldest = jobs.iter().min_by_key(|(_, answer)| answer.at).map(|(name, _)| name.clone());
            oldest.map(|name| jobs.remove(&name));
        }
        jobs.insert(job.to_owned(), answer);
    }

    pub(super) fn refused(&self, job: &str, text: String, at: Timestamp) {
        let mut refusals = lock(&self.refusals);
        if refusals.len() < MOST_JOBS || refusals.contains_key(job) {
            refusals.insert(job.to_owned(), (at, text));
        }
    }

    /// When and why the last request was refused, if it was.
    pub(super) fn refusal(&self, job: &str) -> Option<(Timestamp, String)> {
        lock(&self.refusals).get(job).cloned()
    }

    pub(super) fn last(&self, job: &str) -> Option<LastAnswer> {
        lock(&self.answers).get(job).cloned()
    }

    /// Of the last answer; 0 if there was none.
    pub(super) fn bytes(&self, job: &str) -> usize {
        lock(&self.answers).get(job).map_or(0, |answer| answer.bytes)
    }
}
