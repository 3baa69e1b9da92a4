//! `podmetrics`: on request, the metrics of all pods of a job as one valid exposition.
//!
//! A watch keeps an [`index`] of the pods that carry the labels ([`discover`](mod@discover), [`target`]). A request scrapes the pods of a job side by side ([`gather`],
//! [`scrape`]), as far as their addresses may be asked ([`guard`]) and within limits ([`slots`], [`budget`]). Each answer is checked as a whole
//! ([`check`]), what is good is merged ([`merge`]), and the result is written piece by piece ([`render`]).

mod board;
mod body;
mod budget;
mod check;
mod config;
pub mod discover;
mod flights;
mod gather;
pub mod guard;
pub mod index;
mod line;
mod merge;
mod metrics;
mod own;
mod page;
mod reason;
mod refusal;
mod render;
mod request;
mod scrape;
mod send;
mod series;
mod slots;
mod status;
pub mod target;
mod token;
mod unchecked;

use std::sync::Arc;
use std::thread::available_parallelism;

use futures::FutureExt as _;
use maud::Markup;
use prometheus::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::board::Board;
use self::budget::Budget;
use self::discover::{Discovery, discover};
use self::flights::Flights;
use self::metrics::{PodsCollector, ScrapeMetrics};
use self::scrape::TlsClients;
use self::slots::Slots;
use self::target::Pod;
use self::token::Token;
use crate::exposition::Answer;
use crate::k8s::{PodScope, WatchMetrics, check_pods};
use crate::parts::Parts;
use crate::server::{Fragment, Handlers, Health, JobHandler, JobRequest, Listen, Panel};
use crate::time::Clock;

pub use self::check::Limits;
pub use self::config::{LabelStyle, LimitsSection, PodmetricsConfig, PodmetricsConfigError, PodmetricsSection, TokenSection};
pub use self::page::{Page, Target};
pub use self::reason::{Failure, Reason};

/// Everything that requests share.
struct Service {
    config: PodmetricsConfig,
    discovery: Discovery,
    clients: TlsClients,
    slots: Slots,
    budget: Arc<Budget>,
    requests: Semaphore,
    /// Threads that check large answers: as many as can run.
    checks: Arc<Semaphore>,
    flights: Arc<Flights>,
    metrics: ScrapeMetrics,
    board: Board,
    clock: Clock,
}

/// Sets it up: the watch of the pods as tasks, and what answers for jobs.
///
/// # Errors
/// For a CA bundle or a way to Kubernetes that cannot be used.
pub fn build(
    config: PodmetricsConfig,
    kube: &kube::Config,
    watch: &WatchMetrics,
    registry: &Registry,
    clock: &Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Parts> {
    let metrics = ScrapeMetrics::register(registry)?;
    let (discovery, tasks) = discover(kube, config.rules.clone(), &config.namespaces, watch, clock, stop)?;
    PodsCollector::register(registry, discovery.clone())?;
    let address = config.address.clone();
    let service = Arc::new(Service {
        discovery,
        clients: TlsClients::new(config.ca_bundle.as_deref())?,
        slots: Slots::new(config.concurrency, config.concurrency_per_node),
        budget: Budget::new(config.held_limit, metrics.held.clone()),
        requests: Semaphore::new(config.requests.min(Semaphore::MAX_PERMITS)),
        checks: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))),
        flights: Arc::default(),
        metrics,
        board: Board::default(),
        clock: clock.clone(),
        config,
    });
    let answering = Arc::clone(&service);
    let jobs: JobHandler = Arc::new(move |request: JobRequest| request::respond(Arc::clone(&answering), request).boxed());
    let handlers = Handlers { jobs: Some(jobs), ..Handlers::default() };
    Ok(Parts { handlers, listen: address.map(Listen::Jobs), ..Parts::new(Arc::new(PodmetricsPanel(service)), tasks) })
}

/// Tries the CA bundle and the Kubernetes API once: a line for each that works or does not.
///
/// # Errors
/// When settings cannot be used.
pub async fn probe(config: &PodmetricsConfig, kube: &kube::Config) -> anyhow::Result<Vec<Result<String, String>>> {
    TlsClients::new(config.ca_bundle.as_deref())?;
    let selector = config.rules.selector();
    let namespaces: Vec<Option<String>> =
        if config.namespaces.is_empty() { vec![None] } else { config.namespaces.iter().cloned().map(Some).collect() };
    let mut lines = Vec::new();
    for namespace in namespaces {
        let place = namespace.as_deref().map_or("all namespaces".to_owned(), |name| format!("namespace {name}"));
        let scope = PodScope { namespace, selector: selector.clone() };
        lines.push(match check_pods(kube.clone(), &scope).await {
            Ok(true) => Ok(format!("Kubernetes: pods with the label {selector} in {place} can be listed")),
            Ok(false) => Ok(format!("Kubernetes: pods in {place} can be listed, but none has the label {selector}")),
            Err(error) => Err(format!("Kubernetes: cannot list pods in {place}: {error:#}")),
        });
    }
    if let Some(token) = &config.token {
        lines.push(Token::read(token).await.state().map(|()| "the token for pods".to_owned()).map_err(ToOwned::to_owned));
    }
    Ok(lines)
}

impl Service {
    /// The labels that all samples of a target gain.
    fn added_labels(&self, job: &str, pod: &Pod, port: Option<u16>, answer: Answer) -> Vec<(String, String)> {
        let (namespace, ip) = match self.config.label_style {
            LabelStyle::Underscore => ("pod_namespace", "pod_ip"),
            LabelStyle::Hyphen => ("pod-namespace", "pod-ip"),
        };
        let instance = port.map_or_else(|| pod.name.to_string(), |port| pod.instance(port).into_owned());
        let labels = [
            ("instance", instance),
            ("job", job.to_owned()),
            (namespace, pod.namespace.to_string()),
            (ip, pod.address.to_string()),
        ];
        labels.map(|(name, value)| (answer.escaping.apply_to_label(name).into_owned(), value)).to_vec()
    }
}

struct PodmetricsPanel(Arc<Service>);

impl Panel for PodmetricsPanel {
    fn name(&self) -> &'static str {
        "podmetrics"
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
