//! `inventory`: what is in the buckets, per cluster, for somebody to be woken by.
//!
//! A loop per bucket scans it again and again ([`mod@scan`]); a complete scan replaces the bucket's result and its rendered metrics ([`results`]), a
//! failed one leaves them as they are and is counted. Scrapes, the status page and health only read.

mod config;
mod metrics;
mod owners;
mod results;
mod scan;
mod state;
mod stats;
mod status;

use std::sync::Arc;
use std::time::Duration;

use maud::Markup;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::metrics::ScanMetrics;
use self::scan::{ScanError, scan};
use self::state::Bucket;
use crate::job::{Interval, repeat};
use crate::k8s::Names;
use crate::listing::{Listing, Meter, Reason};
use crate::parts::Parts;
use crate::server::{Fragment, Health, Panel};
use crate::time::Clock;

pub use self::config::{
    BucketSection, ClusterSource, FlagBucket, InventoryConfig, InventoryConfigError, InventorySection, TargetConfig,
};
pub use self::owners::{NameOwners, Owner, Owners, PatternOwners, PrefixMatch};
pub use self::stats::{ClassCount, ClusterStats, Count, Dated, Inventory};

/// Builds the subsystem. `names` are those of a watch; targets with another source of names do not read them.
///
/// # Errors
/// When a target's endpoint, credentials or CA bundle cannot be used.
pub fn build(
    config: InventoryConfig,
    names: &Names,
    registry: &Registry,
    clock: &Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Parts> {
    let metrics = ScanMetrics::register(registry)?;
    let InventoryConfig { scan_interval, scan_deadline, targets } = config;
    let mut buckets = Vec::new();
    let mut tasks = Vec::new();
    for target in targets {
        let listing = Arc::new(
            Listing::open(&target.s3, &target.bucket, &target.prefix, target.list_concurrency)
                .map_err(|error| InventoryConfigError::S3(target.name.clone(), error))?,
        );
        let (runs, meter) = metrics.target(&target);
        let bucket = Arc::new(Bucket::new(target, Arc::clone(&listing), meter.clone(), clock.clone()));
        buckets.push(Arc::clone(&bucket));
        let task = format!("scanning bucket `{}`", bucket.target().name);
        let job =
            Arc::new(ScanJob { bucket, listing, names: names.clone(), deadline: scan_deadline, meter, metrics: metrics.clone() });
        let (clock, stop) = (clock.clone(), stop.clone());
        let run = async move {
            repeat(&Interval(scan_interval), &runs, &clock, &stop, || Arc::clone(&job).run()).await;
            Ok(())
        };
        tasks.push((task, Box::pin(run) as _));
    }
    Ok(Parts::new(Arc::new(InventoryPanel { buckets, clock: clock.clone() }), tasks))
}

/// The scan of one bucket, again and again.
struct ScanJob {
    bucket: Arc<Bucket>,
    listing: Arc<Listing>,
    names: Names,
    deadline: Duration,
    meter: Meter,
    metrics: ScanMetrics,
}

impl ScanJob {
    /// True if the scan was complete.
    async fn run(self: Arc<Self>) -> bool {
        let target = self.bucket.target();
        self.bucket.scan_started();
        let start = Instant::now();
        let scanned = scan(&self.listing, &target.prefix, &target.clusters, &self.names, &self.meter, self.deadline).await;
        let published = match scanned {
            Ok(count) => publish(Arc::clone(&self.bucket), count, start).await,
            Err(error) => Err(error),
        };
        let Err(error) = published else { return true };
        let reason = error.reason;
        self.bucket.scan_failed(error);
        self.metrics.failed(&target.name, reason);
        false
    }
}

/// Renders and publishes a complete scan, on a thread that may be busy for as long as a hundred thousand clusters take.
async fn publish(bucket: Arc<Bucket>, count: Count, start: Instant) -> Result<(), ScanError> {
    let publishing = tokio::task::spawn_blocking(move || bucket.scan_completed(count.finish(), start.elapsed()));
    publishing.await.map_err(|error| ScanError {
        reason: Reason::Internal.as_str(),
        message: format!("the result could not be published: {error}"),
    })
}

struct InventoryPanel {
    buckets: Vec<Arc<Bucket>>,
    clock: Clock,
}

impl Panel for InventoryPanel {
    fn name(&self) -> &'static str {
        "inventory"
    }

    /// One broken bucket must not take the others off the air, so it counts as settled after three failures.
    fn readiness(&self) -> Result<(), String> {
        let waiting: Vec<&str> =
            self.buckets.iter().filter(|bucket| !bucket.is_settled()).map(|bucket| bucket.target().name.as_str()).collect();
        if waiting.is_empty() { Ok(()) } else { Err(format!("waiting for the first scan of {}", waiting.join(", "))) }
    }

    fn health(&self) -> Health {
        status::health(&self.buckets)
    }

    fn fragments(&self) -> Vec<Fragment> {
        state::fragments(&self.buckets)
    }

    fn section(&self) -> Markup {
        status::section(&self.buckets, self.clock.now())
    }
}
