//! All pods that have a job, as plain data: fed by watches, read by requests, tested without either.
//!
//! A pod is its UID, and its place is its name, for the API server has one pod of a name at a time. So an event about a pod that is gone never
//! touches the one that has its name now. Each watch is a source of its own; a list updates its pods in place and drops, when it is complete, those
//! that it did not have, so that the last known pods are there all the time and a second copy of them never is.
//!
//! What many pods have in common is kept once. 100,000 pods take about 35 MB.

mod job;
mod slot;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use self::job::Job;
use self::slot::{Name, Slot};
use super::target::{Pod, Reading, Rules, Settings};
use crate::k8s::{PodObject, Shared, Slim, Uid};

pub use self::job::{Counts, JobPods};

/// A watch that feeds an [`Index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(usize);

/// The pods of all sources.
#[derive(Debug)]
pub struct Index {
    rules: Rules,
    sources: Vec<SourceState>,
    slots: HashMap<Name, Slot>,
    jobs: BTreeMap<Arc<str>, Job>,
    counts: Counts,
    /// Namespaces and nodes.
    names: Shared<str>,
    settings: Shared<Settings>,
}

#[derive(Debug, Default)]
struct SourceState {
    /// Number of the list that has begun last.
    list: u32,
    synced: bool,
    pods: usize,
}

impl Index {
    /// An index without sources, for pods that are read by `rules`.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            sources: Vec::new(),
            slots: HashMap::new(),
            jobs: BTreeMap::new(),
            counts: Counts::default(),
            names: Shared::default(),
            settings: Shared::default(),
        }
    }

    /// Another watch, whose first list is awaited from now on. No two sources may have pods in common.
    pub fn add_source(&mut self) -> Source {
        self.sources.push(SourceState::default());
        Source(self.sources.len() - 1)
    }

    /// A list begins, perhaps again.
    pub fn begin_list(&mut self, source: Source) {
        let state = &mut self.sources[source.0];
        state.list = state.list.wrapping_add(1);
    }

    /// A pod of the list.
    pub fn listed(&mut self, source: Source, object: &PodObject) {
        self.apply(source, object);
    }

    /// The list is complete: pods of the source that it did not have are gone.
    pub fn end_list(&mut self, source: Source) {
        let state = &mut self.sources[source.0];
        state.synced = true;
        let list = state.list;
        let missing = |slot: &Slot| slot.source == source && slot.list != list;
        let gone: Vec<Name> = self.slots.iter().filter(|(_, slot)| missing(slot)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.remove(&name);
        }
        self.names.sweep();
        self.settings.sweep();
    }

    /// A pod is there, new or changed. It replaces what has had its name.
    pub fn apply(&mut self, source: Source, object: &PodObject) {
        let Some(Reading { job, address, settings }) = self.rules.read(object) else { return self.delete(source, object) };
        let name = self.name(object);
        let pod = address.map(|address| Pod {
            namespace: Arc::clone(&name.namespace),
            name: Arc::clone(&name.name),
            node: object.node.as_deref().map(|node| self.names.intern(node)),
            address,
            host_network: object.host_network,
            settings: settings.map(|settings| self.settings.intern(settings)),
        });
        self.put(source, name, Uid::new(object.uid()), job, pod);
    }

    /// A pod is gone; `object` is its last state.
    pub fn delete(&mut self, source: Source, object: &PodObject) {
        let name = self.name(object);
        let is_it = |slot: &Slot| slot.source == source && slot.uid == Uid::new(object.uid());
        if self.slots.get(&name).is_some_and(is_it) {
            self.remove(&name);
        }
    }

    /// The pods of a job that are to be scraped, by namespace and name; `None` for a job that no pod belongs to.
    pub fn job(&self, name: &str) -> Option<JobPods> {
        if name.is_empty() { None } else { self.jobs.get(name).map(Job::snapshot) }
    }

    /// All jobs, by name, and how many pods they have. Pods without a `job-name` that can be used belong to none.
    pub fn jobs(&self) -> Vec<(Arc<str>, Counts)> {
        let named = self.jobs.iter().filter(|(name, _)| !name.is_empty());
        named.map(|(name, job)| (Arc::clone(name), job.counts)).collect()
    }

    /// How many pods there are, by state.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many pods of a source there are.
    pub fn known(&self, source: Source) -> usize {
        self.sources[source.0].pods
    }

    /// True once every source has completed a list, so that a job that is not there is not there in the cluster.
    pub fn synced(&self) -> bool {
        self.sources.iter().all(|state| state.synced)
    }

    fn put(&mut self, source: Source, name: Name, uid: Uid, job: &str, pod: Option<Pod>) {
        let known = self.slots.get(&name).and_then(|slot| slot.pod.as_ref());
        let pod = pod.map(|pod| match known {
            Some(known) if **known == pod => Arc::clone(known),
            _ => Arc::new(pod),
        });
        self.counts.add(pod.as_deref());
        let job = self.join(job, &name, pod.clone());
        let state = &mut self.sources[source.0];
        state.pods += 1;
        let slot = Slot { uid, job: Arc::clone(&job), source, list: state.list, pod };
        if let Some(old) = self.slots.insert(name.clone(), slot) {
            self.left(&name, &old, old.job != job);
        }
    }

    fn remove(&mut self, name: &Name) {
        if let Some(old) = self.slots.remove(name) {
            self.left(name, &old, true);
        }
    }

    /// Puts a pod that waits, or one that is to be scraped, into its job; gives the job's name as it is kept.
    fn join(&mut self, job: &str, name: &Name, pod: Option<Arc<Pod>>) -> Arc<str> {
        let known = self.jobs.get_key_value(job).map(|(known, _)| Arc::clone(known));
        let job = known.unwrap_or_else(|| job.into());
        let members = self.jobs.entry(Arc::clone(&job)).or_default();
        members.counts.add(pod.as_deref());
        members.set(name, pod);
        job
    }

    /// Forgets what a slot has held; `left_job` unless what holds it now is in the same job.
    fn left(&mut self, name: &Name, old: &Slot, left_job: bool) {
        self.counts.subtract(old.pod.as_deref());
        self.sources[old.source.0].pods -= 1;
        let Some(job) = self.jobs.get_mut(&old.job) else { return };
        job.counts.subtract(old.pod.as_deref());
        if left_job {
            job.set(name, None);
        }
        if job.counts.total() == 0 {
            self.jobs.remove(&old.job);
        }
    }

    /// The name of a pod; the texts are those of the slot that it has.
    fn name(&mut self, object: &PodObject) -> Name {
        let name = Name { namespace: self.names.intern(object.namespace()), name: object.name().into() };
        self.slots.get_key_value(&name).map(|(known, _)| known.clone()).unwrap_or(name)
    }
}
