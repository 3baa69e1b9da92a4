//! The watches that feed the index, and the handle by which others read it.
//!
//! While the API server is away, what was known last stays; [`Indexes::watches`] says how old it may be.

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::Config;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entry::Indexed;
use super::{Index, Keep, Synced};
use crate::k8s::slim::{Claim, Job, Namespace, Node, Pod, ReplicaSet, Volume};
use crate::k8s::{AllOf, ConnectError, Feed, LONGEST_VALUE, Slim, WatchMetrics, check_all, watch_all};
use crate::parts::Tasks;
use crate::time::Clock;

/// The `resource` labels of the watches. Other subsystems watch pods too, so these have a name in front.
const NODES: &str = "usage/nodes";
const PODS: &str = "usage/pods";
const CLAIMS: &str = "usage/persistentvolumeclaims";
const VOLUMES: &str = "usage/persistentvolumes";
const REPLICA_SETS: &str = "usage/replicasets";
const JOBS: &str = "usage/jobs";
const NAMESPACES: &str = "usage/namespaces";

/// The only namespace that is asked for, so that a rule of access for it alone will do.
const KUBE_SYSTEM: &str = "metadata.name=kube-system";

/// A watch is answered every minute; after so many of them what is known may be wrong.
const STALE: Duration = Duration::from_secs(300);

/// How often what is gone is looked through when nothing else happens.
const SWEEP: Duration = Duration::from_secs(30);

/// Values of this length are kept as they are.
const WHOLE: usize = usize::MAX;

/// What is known, at any time.
#[derive(Debug, Clone)]
pub struct Indexes {
    index: Arc<RwLock<Index>>,
    synced: tokio::sync::watch::Receiver<Synced>,
    metrics: WatchMetrics,
    clock: Clock,
}

/// How one of the watches is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchState {
    /// Its `resource` label, such as `usage/nodes`.
    pub resource: &'static str,
    /// All objects have been listed.
    pub synced: bool,
    /// When the API last answered it.
    pub last_contact: Option<Timestamp>,
    /// So long ago that what is known may be wrong.
    pub stale: bool,
}

impl Indexes {
    /// Looks something up. Watches wait for it, so it is to be short: the join of one report, not of a file.
    pub fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which kinds have been listed.
    pub fn synced(&self) -> Synced {
        *self.synced.borrow()
    }

    /// True once all kinds have been listed.
    pub fn all_synced(&self) -> bool {
        self.synced().all()
    }

    /// How the watches are doing.
    pub fn watches(&self) -> [WatchState; 7] {
        let synced = self.synced();
        let watch = |resource, synced| {
            let last_contact = contact(self.metrics.last_contact(resource));
            let age = last_contact.map(|at| Duration::try_from(self.clock.now().duration_since(at)).unwrap_or_default());
            WatchState { resource, synced, last_contact, stale: age.is_none_or(|age| age > STALE) }
        };
        [
            watch(NODES, synced.nodes),
            watch(PODS, synced.pods),
            watch(CLAIMS, synced.pvcs),
            watch(VOLUMES, synced.pvs),
            watch(REPLICA_SETS, synced.replica_sets),
            watch(JOBS, synced.jobs),
            watch(NAMESPACES, synced.namespaces),
        ]
    }

    /// What is wrong with the watches, for people; nothing if all have synced and are answered.
    pub fn problem(&self) -> Option<String> {
        let watches = self.watches();
        let named = |which: fn(&WatchState) -> bool| -> Vec<&str> {
            watches.iter().filter(|watch| which(watch)).map(|watch| watch.resource.trim_start_matches("usage/")).collect()
        };
        let (waiting, stale) = (named(|watch| !watch.synced), named(|watch| watch.synced && watch.stale));
        match (waiting.is_empty(), stale.is_empty()) {
            (false, _) => Some(format!("not listed yet: {}", waiting.join(", "))),
            (true, false) => Some(format!("the Kubernetes API does not answer for: {}", stale.join(", "))),
            (true, true) => None,
        }
    }
}

fn contact(seconds: f64) -> Option<Timestamp> {
    let since = SignedDuration::try_from_secs_f64(seconds).ok().filter(|since| since.is_positive())?;
    Timestamp::from_duration(since).ok()
}

/// Prepares to watch all that is joined, and to keep what is gone for `retention`. If `logged`, requests, events and objects go to the log. The tasks
/// run until `stop`.
///
/// # Errors
/// When `kube` holds TLS or authentication settings that do not work.
pub fn watch(
    kube: &Config,
    retention: Duration,
    keep: Keep,
    metrics: &WatchMetrics,
    clock: &Clock,
    logged: bool,
    stop: &CancellationToken,
) -> Result<(Indexes, Tasks), ConnectError> {
    let index = Arc::new(RwLock::new(Index::new(retention, keep)));
    let (sender, synced) = tokio::sync::watch::channel(Synced::default());
    let writer = Writer {
        index: Arc::clone(&index),
        synced: Arc::new(sender),
        began: (clock.now(), Instant::now()),
        clock: clock.clone(),
    };
    let mut watches = Watches { kube, metrics, logged, stop, writer: writer.clone(), tasks: Tasks::new() };
    watches.add(all_nodes())?;
    if keep.long_values {
        watches.add(all_pods::<WHOLE>())?;
    } else {
        watches.add(all_pods::<LONGEST_VALUE>())?;
    }
    watches.add(all_claims())?;
    watches.add(all_volumes())?;
    watches.add(all_replica_sets())?;
    watches.add(all_jobs())?;
    watches.add(kube_system())?;
    let mut tasks = watches.tasks;
    tasks.push(("the sweep of what is gone".to_owned(), sweep(writer, stop.clone()).boxed()));
    Ok((Indexes { index, synced, metrics: metrics.clone(), clock: clock.clone() }, tasks))
}

/// Lists one object of each kind that is watched, to see whether it works: a line for each that does or does not.
pub async fn check(kube: &Config) -> Vec<Result<String, String>> {
    async fn one<B: Slim>(kube: &Config, objects: AllOf<B>) -> Result<String, String> {
        match check_all(kube.clone(), objects).await {
            Ok(_) => Ok(format!("Kubernetes: {} can be listed", B::PLURAL)),
            Err(error) => Err(format!("Kubernetes: cannot list {}: {error:#}", B::PLURAL)),
        }
    }
    let kube_system = async {
        match check_all(kube.clone(), kube_system()).await {
            Ok(true) => Ok("Kubernetes: the namespace kube-system can be listed".to_owned()),
            Ok(false) => Err("Kubernetes: there is no namespace kube-system; cluster_uid will be empty".to_owned()),
            Err(error) => Err(format!("Kubernetes: cannot list the namespace kube-system: {error:#}")),
        }
    };
    let lines = futures::join!(
        one(kube, all_nodes()),
        one(kube, all_pods::<LONGEST_VALUE>()),
        one(kube, all_claims()),
        one(kube, all_volumes()),
        one(kube, all_replica_sets()),
        one(kube, all_jobs()),
        kube_system,
    );
    <[_; 7]>::from(lines).into()
}

fn all_nodes() -> AllOf<Node> {
    AllOf::new(NODES)
}

fn all_pods<const LONGEST: usize>() -> AllOf<Pod<LONGEST>> {
    AllOf::new(PODS)
}

fn all_claims() -> AllOf<Claim> {
    AllOf::new(CLAIMS)
}

fn all_volumes() -> AllOf<Volume> {
    AllOf::new(VOLUMES)
}

fn all_replica_sets() -> AllOf<ReplicaSet> {
    AllOf::new(REPLICA_SETS)
}

fn all_jobs() -> AllOf<Job> {
    AllOf::new(JOBS)
}

fn kube_system() -> AllOf<Namespace> {
    AllOf::chosen(NAMESPACES, KUBE_SYSTEM)
}

/// The watches while they are made.
struct Watches<'a> {
    kube: &'a Config,
    metrics: &'a WatchMetrics,
    logged: bool,
    stop: &'a CancellationToken,
    writer: Writer,
    tasks: Tasks,
}

impl Watches<'_> {
    fn add<B: Indexed>(&mut self, objects: AllOf<B>) -> Result<(), ConnectError> {
        let feed: IndexFeed<B> = IndexFeed { writer: self.writer.clone(), kind: PhantomData };
        let name = format!("the watch of {}", objects.resource);
        let (kube, clock, stop) = (self.kube.clone(), self.writer.clock.clone(), self.stop.clone());
        let watch = watch_all(kube, objects, self.metrics, clock, self.logged, feed, stop)?;
        self.tasks.push((name, watch));
        Ok(())
    }
}

async fn sweep(writer: Writer, stop: CancellationToken) -> anyhow::Result<()> {
    let forever = async {
        loop {
            tokio::time::sleep(SWEEP).await;
            writer.write(Index::sweep);
        }
    };
    stop.run_until_cancelled(forever).await;
    Ok(())
}

/// The index as watches write it.
#[derive(Clone)]
struct Writer {
    index: Arc<RwLock<Index>>,
    synced: Arc<tokio::sync::watch::Sender<Synced>>,
    /// What is gone is kept for a time that no setting of the clock makes shorter or longer.
    began: (Timestamp, Instant),
    clock: Clock,
}

impl Writer {
    fn write(&self, change: impl FnOnce(&mut Index, Timestamp)) {
        let (began, since) = self.began;
        let now = began.saturating_add(since.elapsed()).unwrap_or(Timestamp::MAX);
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner), now);
    }

    fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One watch's way into the index.
struct IndexFeed<B> {
    writer: Writer,
    kind: PhantomData<fn(B)>,
}

impl<B: Indexed> Feed<B> for IndexFeed<B> {
    fn begin_list(&mut self) {
        self.writer.write(|index, _| index.begin_list::<B>());
    }

    fn listed(&mut self, object: B) {
        self.writer.write(|index, _| index.listed(object));
    }

    fn end_list(&mut self) {
        self.writer.write(Index::end_list::<B>);
        // Looked up in there, so that of two lists that end at once none undoes what the other said.
        self.writer.synced.send_modify(|synced| *synced = self.writer.read(Index::synced));
    }

    fn apply(&mut self, object: B) {
        self.writer.write(|index, now| index.apply(object, now));
    }

    fn delete(&mut self, object: B) {
        self.writer.write(|index, now| index.delete(object, now));
    }

    fn known(&self) -> usize {
        self.writer.read(Index::known::<B>)
    }
}
