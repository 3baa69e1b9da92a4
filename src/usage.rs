//! `usage`: takes usage reports from the nodes, joins them with what Kubernetes knows, and writes Parquet to S3. Nothing that was acknowledged is
//! lost, and nothing is written twice.
//!
//! ```text
//! collect (on every node) -> POST /metrics -> ingest -> journal (fsync) -> 200
//!                                                          |
//!              watches -> index -> join <- seal (one file per cluster and day, fsync) -> upload (create-only) -> journal shrinks
//! ```
//!
//! [`collect`] is the other end: it runs on the nodes. [`payload`] reads what it sends, [`ingest`] puts that into the [`journal`], unjudged and
//! unjoined. When there is enough, [`seal`](mod@seal) reads it again, [`join`] adds what the [`index`] of Kubernetes knows, and [`table`] writes it;
//! [`upload`] sends the bytes that were sealed until they are in the bucket, and nothing else. [`pipeline`] is what drives both.

mod auth;
mod board;
pub mod collect;
mod complaints;
mod config;
pub mod facts;
pub mod index;
pub mod ingest;
pub mod join;
pub mod journal;
pub mod key;
mod metrics;
mod packing;
pub mod payload;
mod pipeline;
mod probe;
pub mod report;
pub mod resources;
pub mod seal;
mod status;
pub mod table;
mod upload;

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use maud::Markup;
use prometheus::Registry;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::auth::Auth;
use self::config::AuthConfig;
use self::ingest::Ingest;
use self::journal::Journal;
use self::metrics::{IngestMetrics, JournalMetrics, SealMetrics};
use self::pipeline::{Pipeline, Progress};
use self::seal::Sealer;
use self::upload::Uploader;
use crate::k8s::WatchMetrics;
use crate::parts::Parts;
use crate::server::{Document, Fragment, Handlers, Health, IngestHandler, Listen, Panel};
use crate::time::Clock;

pub use self::config::{AnnotationsSection, AuthSection, UsageConfig, UsageConfigError, UsageSection};
pub use self::journal::JournalError;
pub use self::probe::probe;

/// The schema of what collectors send.
const SCHEMA: Document = Document { path: "/schema/usage.json", content_type: "application/schema+json", text: payload::SCHEMA };

/// What is shown, and what answers.
struct Service {
    ingest: Arc<Ingest>,
    pipeline: Arc<Pipeline>,
    journal_budget: u64,
    debug_k8s_api: bool,
    clock: Clock,
}

/// Opens the journal and sets everything up that is fed from it.
///
/// # Errors
/// For a journal, a token or a way to Kubernetes that cannot be used.
pub fn build(
    config: UsageConfig,
    kube: &kube::Config,
    watch: &WatchMetrics,
    registry: &Registry,
    clock: &Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Parts> {
    if config.auth == AuthConfig::Open {
        tracing::warn!("anybody who reaches the port can send usage reports; see --usage-token-review and --usage-token-file");
    }
    if matches!(&config.auth, AuthConfig::Review { users, .. } if users.is_empty()) {
        tracing::warn!(
            "any pod can ask for a token of this audience and send usage reports of its node; see --usage-service-account"
        );
    }
    let metrics = SealMetrics::register(registry)?;
    let journal_metrics = JournalMetrics::register(registry)?;
    let auth = Auth::new(&config.auth, kube)?;
    let (index, mut tasks) = index::watch(kube, config.retention(), config.keep, watch, clock, config.debug_k8s_api, stop)?;
    let (journal, ended) = Journal::open(&config.journal_dir, config.journal_budget, clock.clone(), journal_metrics.clone())?;
    let (waiting, _) = journal.unsealed();
    let (folder, id, seals) = (journal.folder().display(), journal.id(), journal.seals().len());
    tracing::info!(%folder, id, reports = waiting.entries, seals, bucket = config.store.location(), "the journal is open");
    let ingest = Ingest::new(journal.clone(), auth, config.body_limit, IngestMetrics::register(registry)?, clock.clone());
    let ingest = Arc::new(ingest);
    let sealer = Sealer {
        journal: journal.clone(),
        index,
        prefix: config.prefix,
        cluster_name: config.cluster_name,
        metrics: metrics.clone(),
        journal_metrics,
        one_at_a_time: Mutex::default(),
    };
    let uploader = Uploader { journal, store: config.store, metrics, clock: clock.clone() };
    let (roll, progress, sealed) = (config.roll, Progress::default(), Notify::new());
    let pipeline = Arc::new(Pipeline { sealer, uploader, roll, progress, sealed, clock: clock.clone() });
    let (users, stop) = (TaskTracker::new(), || stop.clone());
    let sealing = users.track_future(Arc::clone(&pipeline).seal(stop()));
    let uploading = users.track_future(Arc::clone(&pipeline).upload(stop()));
    let housekeeping = users.track_future(Arc::clone(&pipeline).keep_house(Arc::clone(&ingest), stop()));
    tasks.push(("the sealing of reports".to_owned(), sealing.boxed()));
    tasks.push(("the upload of usage".to_owned(), uploading.boxed()));
    tasks.push(("the housekeeping of usage".to_owned(), housekeeping.boxed()));
    tasks.push(("the journal".to_owned(), pipeline::journal(Arc::clone(&ingest), users, ended, stop()).boxed()));
    let taking = Arc::clone(&ingest);
    let handler: IngestHandler = Arc::new(move |request| {
        let taking = Arc::clone(&taking);
        async move { taking.respond(request).await }.boxed()
    });
    let handlers = Handlers { ingest: Some(handler), documents: vec![SCHEMA], ..Handlers::default() };
    let service = Service {
        ingest,
        pipeline,
        journal_budget: config.journal_budget,
        debug_k8s_api: config.debug_k8s_api,
        clock: clock.clone(),
    };
    Ok(Parts { handlers, listen: config.address.map(Listen::Ingest), ..Parts::new(Arc::new(UsagePanel(service)), tasks) })
}

impl Service {
    fn journal(&self) -> &Journal {
        &self.ingest.journal
    }
}

struct UsagePanel(Service);

impl Panel for UsagePanel {
    fn name(&self) -> &'static str {
        "usage"
    }

    fn readiness(&self) -> Result<(), String> {
        status::readiness(&self.0)
    }

    fn health(&self) -> Health {
        status::health(&self.0)
    }

    fn fragments(&self) -> Vec<Fragment> {
        Vec::new()
    }

    fn section(&self) -> Markup {
        status::section(&self.0, self.0.clock.now())
    }
}
