//! Discovery: the watches that feed the index of pods, and the handle by which requests read it.
//!
//! While the API server is away, the last known pods stay; [`Discovery::last_contact`] says how old they may be.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use kube::Config;
use tokio_util::sync::CancellationToken;

use super::index::{Counts, Index, JobPods, Source};
use super::target::Rules;
use crate::k8s::{ConnectError, Feed, PodObject, PodScope, WatchMetrics, watch_pods};
use crate::parts::Tasks;
use crate::time::Clock;

/// What is known of the pods, at any time.
#[derive(Debug, Clone)]
pub struct Discovery {
    index: Arc<RwLock<Index>>,
    metrics: WatchMetrics,
    /// The `resource` labels of the watches.
    resources: Arc<[String]>,
}

impl Discovery {
    /// The pods of a job; `None` for a job that no pod belongs to, which means little before [`Self::synced`].
    pub fn job(&self, name: &str) -> Option<JobPods> {
        self.read(|index| index.job(name))
    }

    /// All jobs, by name, and how many pods they have.
    pub fn jobs(&self) -> Vec<(Arc<str>, Counts)> {
        self.read(Index::jobs)
    }

    /// How many pods there are, by state.
    pub fn counts(&self) -> Counts {
        self.read(|index| *index.counts())
    }

    /// True once all pods have been listed.
    pub fn synced(&self) -> bool {
        self.read(Index::synced)
    }

    /// When the watch that has waited longest was last answered; `None` before each has been. So old may be what is known of the pods. With an API
    /// server that is well, this is never more than about a minute ago.
    pub fn last_contact(&self) -> Option<Timestamp> {
        let seconds = self.resources.iter().map(|resource| self.metrics.last_contact(resource));
        let oldest = seconds.reduce(f64::min).filter(|&seconds| seconds > 0.0)?;
        Timestamp::from_duration(SignedDuration::try_from_secs_f64(oldest).ok()?).ok()
    }

    fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Prepares to watch the pods that `rules` are about: those of `namespaces`, or of all if none is named. The tasks run until `stop`.
///
/// # Errors
/// When `kube` holds TLS or authentication settings that do not work.
pub fn discover(
    kube: &Config,
    rules: Rules,
    namespaces: &[String],
    metrics: &WatchMetrics,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<(Discovery, Tasks), ConnectError> {
    let selector = rules.selector();
    let index = Arc::new(RwLock::new(Index::new(rules)));
    let (mut resources, mut tasks): (Vec<String>, Tasks) = (Vec::new(), Vec::new());
    for scope in scopes(namespaces, &selector) {
        let source = index.write().unwrap_or_else(PoisonError::into_inner).add_source();
        let feed = PodFeed { index: Arc::clone(&index), source };
        let name = match &scope.namespace {
            Some(namespace) => format!("the watch of the pods in {namespace}"),
            None => "the watch of the pods".to_owned(),
        };
        resources.push(scope.resource());
        let watch = watch_pods(kube.clone(), scope, metrics, clock.clone(), feed, stop.clone())?;
        tasks.push((name, Box::pin(watch)));
    }
    Ok((Discovery { index, metrics: metrics.clone(), resources: resources.into() }, tasks))
}

/// One watch for all namespaces, or one for each that is named, however often.
fn scopes(namespaces: &[String], selector: &str) -> Vec<PodScope> {
    let scope = |namespace| PodScope { namespace, selector: selector.to_owned() };
    if namespaces.is_empty() {
        return vec![scope(None)];
    }
    let namespaces: BTreeSet<&String> = namespaces.iter().collect();
    namespaces.into_iter().map(|namespace| scope(Some(namespace.clone()))).collect()
}

/// One watch's way into the index.
struct PodFeed {
    index: Arc<RwLock<Index>>,
    source: Source,
}

impl PodFeed {
    fn write(&self, change: impl FnOnce(&mut Index, Source)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner), self.source);
    }
}

impl Feed<PodObject> for PodFeed {
    fn begin_list(&mut self) {
        self.write(Index::begin_list);
    }

    fn listed(&mut self, object: PodObject) {
        self.write(|index, source| index.listed(source, &object));
    }

    fn end_list(&mut self) {
        self.write(Index::end_list);
    }

    fn apply(&mut self, object: PodObject) {
        self.write(|index, source| index.apply(source, &object));
    }

    fn delete(&mut self, object: PodObject) {
        self.write(|index, source| index.delete(source, &object));
    }

    fn known(&self) -> usize {
        self.index.read().unwrap_or_else(PoisonError::into_inner).known(self.source)
    }
}
