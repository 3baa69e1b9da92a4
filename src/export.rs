//! `export`: what Prometheus knows, hour by hour, as objects in S3.
//!
//! **The bucket is the state.** A run lists it, plans what is due ([`plan`]), fetches metric by metric ([`fetch`]) and seals each hour with a manifest
//! ([`window`], [`manifest`]). Nothing is kept on disk, so a process that dies loses the metric it was at, and two that run at once write the same.
//! **Partial is not success.** An object becomes visible only after its whole answer was checked; what is doubtful is fetched again in later runs, and
//! what is worse never replaces what is better.

mod board;
mod config;
mod endpoints;
mod fetch;
mod keys;
mod manifest;
mod metrics;
mod once;
mod plan;
mod run;
mod status;
mod survey;
mod window;
mod work;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use maud::Markup;
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::board::Board;
use self::config::Rules;
use self::fetch::Hold;
use self::metrics::{AliasMetrics, ExportMetrics};
use self::plan::newest_settled;
use self::run::Memory;
use crate::job::{Pause, TargetMetrics, repeat};
use crate::parts::Parts;
use crate::promapi::Prometheus;
use crate::server::{Fragment, Health, Panel};
use crate::store::Store;
use crate::time::Clock;

pub use self::config::{EndpointConfig, ExportConfig, ExportConfigError, ExportSection, Mode};
pub use self::endpoints::{EndpointSection, Endpoints};
pub use self::once::{Progress, Summary, check, once, preview};

/// Runs of several endpoints do not begin at the same second.
const SPREAD: Duration = Duration::from_secs(10);
/// How often the wall clock is looked at while waiting for the next hour, since it may jump.
const LOOK: Duration = Duration::from_secs(5);

/// One Prometheus, and the bucket that its hours go to.
struct Endpoint {
    config: EndpointConfig,
    rules: Rules,
    store: Store,
    prometheus: Prometheus,
    metrics: AliasMetrics,
    clock: Clock,
    hold: Hold,
}

/// An endpoint with the metrics of its runs.
struct Opened {
    endpoint: Endpoint,
    runs: TargetMetrics,
}

/// Sets up all endpoints.
fn open(config: ExportConfig, registry: &Registry, clock: &Clock) -> anyhow::Result<Vec<Opened>> {
    let metrics = ExportMetrics::register(registry)?;
    let store = Store::open(&config.s3, &config.bucket).map_err(ExportConfigError::S3)?;
    let ExportConfig { endpoints, rules, .. } = config;
    let opened = endpoints.into_iter().map(|endpoint| {
        let (runs, metrics, meter) = metrics.alias(&endpoint.alias);
        let prometheus = Prometheus::new(&endpoint.options, rules.timeout, meter)
            .map_err(|error| ExportConfigError::Endpoint(endpoint.alias.clone(), error))?;
        let (rules, store, clock) = (rules.clone(), store.clone(), clock.clone());
        Ok(Opened {
            endpoint: Endpoint { config: endpoint, rules, store, prometheus, metrics, clock, hold: Hold::default() },
            runs,
        })
    });
    opened.collect()
}

/// Builds the background export: a loop per endpoint, so that none waits for another.
///
/// # Errors
/// When an endpoint or the bucket cannot be set up as configured.
pub fn build(config: ExportConfig, registry: &Registry, clock: &Clock, stop: &CancellationToken) -> anyhow::Result<Parts> {
    let mut exports = Vec::new();
    let mut tasks = Vec::new();
    for Opened { endpoint, runs } in open(config, registry, clock)? {
        let board = Board::new(endpoint.metrics.clone(), None);
        let task = format!("the export of `{}`", endpoint.config.alias);
        let export = Arc::new(Export { endpoint, board });
        exports.push(Arc::clone(&export));
        let (clock, stop) = (clock.clone(), stop.clone());
        let run = async move {
            let memory = Mutex::new(Memory::default());
            let slots = Slots { clock: clock.clone(), rules: export.endpoint.rules.clone() };
            repeat(&slots, &runs, &clock, &stop, || export.endpoint.run(&memory, &export.board, true)).await;
            Ok(())
        };
        tasks.push((task, Box::pin(run) as _));
    }
    Ok(Parts::new(Arc::new(ExportPanel { exports, clock: clock.clone() }), tasks))
}

/// An endpoint and where its windows stand.
struct Export {
    endpoint: Endpoint,
    board: Board,
}

/// The next run begins when another hour has settled.
struct Slots {
    clock: Clock,
    rules: Rules,
}

impl Pause for Slots {
    /// By the wall clock, however it jumps.
    async fn until_next(&self, _: Instant, at: Timestamp) {
        let done = newest_settled(at, &self.rules);
        while newest_settled(self.clock.now(), &self.rules) == done {
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(SPREAD.mul_f64(fastrand::f64())).await;
    }

    fn longest_retry(&self) -> Duration {
        Duration::from_secs(300)
    }
}

struct ExportPanel {
    exports: Vec<Arc<Export>>,
    clock: Clock,
}

impl Panel for ExportPanel {
    fn name(&self) -> &'static str {
        "export"
    }

    fn readiness(&self) -> Result<(), String> {
        status::readiness(&self.exports)
    }

    fn health(&self) -> Health {
        status::health(&self.exports)
    }

    fn fragments(&self) -> Vec<Fragment> {
        Vec::new()
    }

    fn section(&self) -> Markup {
        status::section(&self.exports, self.clock.now())
    }
}
