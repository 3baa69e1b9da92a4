//! The pods of one job, and how many there are in which state.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::target::{MalformedReason, Pod};
use super::slot::Name;

/// How many pods there are, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// They are scraped when somebody asks.
    pub scrapable: usize,
    /// They do not run, have no address of the family, or are being deleted.
    pub waiting: usize,
    malformed: [usize; MalformedReason::ALL.len()],
}

impl Counts {
    /// Running pods of which this label or annotation cannot be used.
    pub fn malformed(&self, reason: MalformedReason) -> usize {
        self.malformed[reason as usize]
    }

    /// Running pods with any label or annotation that cannot be used.
    pub fn all_malformed(&self) -> usize {
        self.malformed.iter().sum()
    }

    /// All pods.
    pub fn total(&self) -> usize {
        self.scrapable + self.waiting + self.all_malformed()
    }

    pub(super) fn add(&mut self, pod: Option<&Pod>) {
        *self.of(pod) += 1;
    }

    pub(super) fn subtract(&mut self, pod: Option<&Pod>) {
        *self.of(pod) -= 1;
    }

    /// The count of pods such as this one; of those that wait, nothing is kept.
    fn of(&mut self, pod: Option<&Pod>) -> &mut usize {
        match pod.map(|pod| &pod.settings) {
            None => &mut self.waiting,
            Some(Ok(_)) => &mut self.scrapable,
            Some(Err(malformed)) => &mut self.malformed[malformed.reason as usize],
        }
    }
}

/// The pods of a job at one time.
#[derive(Debug, Clone)]
pub struct JobPods {
    /// Those that run and have an address, malformed ones too, by namespace and name.
    pub pods: Vec<Arc<Pod>>,
    /// How many there are, with those that wait.
    pub counts: Counts,
}

/// The pods of a job.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// Sorted; a pointer for each, since lists come sorted and changes are few.
    pods: Vec<Arc<Pod>>,
    pub(super) counts: Counts,
}

impl Job {
    pub(super) fn snapshot(&self) -> JobPods {
        JobPods { pods: self.pods.clone(), counts: self.counts }
    }

    /// Makes `pod` the one that is scraped under this name, if any is.
    pub(super) fn set(&mut self, name: &Name, pod: Option<Arc<Pod>>) {
        let place = self.pods.binary_search_by(|known| order(known, name));
        match (place, pod) {
            (Ok(place), Some(pod)) => self.pods[place] = pod,
            (Ok(place), None) => drop(self.pods.remove(place)),
            (Err(place), Some(pod)) => self.pods.insert(place, pod),
            (Err(_), None) => {}
        }
    }
}

fn order(pod: &Pod, name: &Name) -> Ordering {
    (&pod.namespace, &pod.name).cmp(&(&name.namespace, &name.name))
}
