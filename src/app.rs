//! The composition root: from a [`Config`] to a running [`App`]. It alone knows every subsystem.

use anyhow::Context as _;
use futures::FutureExt as _;
use prometheus::Registry;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::export;
use crate::inventory;
use crate::k8s::{self, NameIndex, WatchMetrics};
use crate::lifecycle::Lifecycle;
use crate::podmetrics;
use crate::server::{self, Handlers, Listen, Routes};
use crate::telemetry;
use crate::time::Clock;
use crate::usage::{self, JournalError};

/// How the program ends badly.
#[derive(Debug)]
pub enum Failure {
    /// The user has to change something: exit code 2.
    Usage(anyhow::Error),
    /// The world has: exit code 1.
    Runtime(anyhow::Error),
}

impl Failure {
    /// Wraps what the user has to change.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }
}

/// The main job, built and listening, not yet running.
pub struct App {
    lifecycle: Lifecycle,
    listener: TcpListener,
    routes: axum::Router,
}

impl App {
    /// Builds what `config` switches on, and binds the address.
    ///
    /// # Errors
    /// [`Failure::Usage`] for settings that cannot be used, [`Failure::Runtime`] for an address that is taken.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, Failure> {
        let registry = Registry::new();
        let mut lifecycle = Lifecycle::default();
        let stop = lifecycle.stop_token();
        telemetry::register(&registry).map_err(|error| Failure::Runtime(error.into()))?;
        let (index, names) = NameIndex::new();
        let kube = match config.needs_kubernetes() {
            true => Some(Kubernetes::reach(&config, &registry).await?),
            false => None,
        };
        let mut parts = Vec::new();
        let mut tasks = Vec::new();
        if let Some(kube) = kube.as_ref().filter(|_| config.needs_cluster_names()) {
            let (config, metrics, clock) = (kube.config.clone(), kube.metrics.clone(), clock.clone());
            let watch = k8s::watch_names(config, &k8s::kubermatic_clusters(), metrics, clock, index, stop.clone());
            tasks.push(("the watch of the clusters".to_owned(), watch.context(CLUSTERS_HINT).map_err(Failure::Usage)?.boxed()));
        }
        if let Some(section) = config.inventory {
            parts.push(inventory::build(section, &names, &registry, &clock, &stop).map_err(Failure::Usage)?);
        }
        if let Some(section) = config.export {
            parts.push(export::build(section, &registry, &clock, &stop).map_err(Failure::Usage)?);
        }
        if let (Some(section), Some(kube)) = (config.podmetrics, &kube) {
            let built = podmetrics::build(section, &kube.config, &kube.metrics, &registry, &clock, &stop);
            parts.push(built.map_err(Failure::Usage)?);
        }
        if let (Some(section), Some(kube)) = (config.usage, &kube) {
            let built = usage::build(section, &kube.config, &kube.metrics, &registry, &clock, &stop);
            parts.push(
                built
                    .map_err(|error| if error.is::<JournalError>() { Failure::Runtime(error) } else { Failure::Usage(error) })?,
            );
        }
        let (mut panels, mut handlers, mut listens) = (Vec::new(), Handlers::default(), Vec::new());
        for part in parts {
            panels.push(part.panel);
            tasks.extend(part.tasks);
            handlers = handlers.join(part.handlers);
            listens.extend(part.listen);
        }
        let routes = Routes::new(&registry, panels, handlers, stop.clone()).map_err(|error| Failure::Runtime(error.into()))?;
        let listener = server::bind(&config.address).await.map_err(Failure::Runtime)?;
        for listen in listens {
            let (address, what, connections) = match &listen {
                Listen::Jobs(address) => (address, "jobs", server::CONNECTIONS),
                Listen::Ingest(address) => (address, "reports", server::MOST_CONNECTIONS),
            };
            let listener = server::bind(address).await.map_err(Failure::Runtime)?;
            tracing::info!(address = %listener.local_addr().map_err(|error| Failure::Runtime(error.into()))?, "listening for {what}");
            let serving = server::serve(listener, routes.beside(&listen), connections, stop.clone());
            tasks.push((format!("the server for {what}"), serving.boxed()));
        }
        // Nothing runs before everything is built.
        for (name, task) in tasks {
            lifecycle.spawn(name, task);
        }
        Ok(Self { lifecycle, listener, routes: routes.main() })
    }

    /// Adds a task that runs until the stop and is dropped then.
    pub fn spawn(&mut self, name: &str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let stop = self.lifecycle.stop_token();
        self.lifecycle.spawn(name, async move { stop.run_until_cancelled(task).await.unwrap_or(Ok(())) });
    }

    /// Runs until a signal or a dead task; gives an error for the latter.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let address = self.listener.local_addr()?;
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
        let stop = self.lifecycle.stop_token();
        self.lifecycle.spawn("the server", server::serve(self.listener, self.routes, server::CONNECTIONS, stop));
        self.lifecycle.run().await
    }
}

const CLUSTERS_HINT: &str = "the names of the clusters come from Kubernetes unless --cluster or --cluster-pattern gives them";
const PODS_HINT: &str = "the pods whose metrics are asked for are found by Kubernetes";
const USAGE_HINT: &str = "usage is joined with what Kubernetes knows";

/// The way to the API, and what its watches tell.
struct Kubernetes {
    config: kube::Config,
    metrics: WatchMetrics,
}

impl Kubernetes {
    async fn reach(config: &Config, registry: &Registry) -> Result<Self, Failure> {
        let hint = match config {
            config if config.needs_cluster_names() => CLUSTERS_HINT,
            config if config.podmetrics.is_some() => PODS_HINT,
            _ => USAGE_HINT,
        };
        let reached = k8s::config(config.kubeconfig.as_deref()).await.context(hint).map_err(Failure::Usage)?;
        let metrics = WatchMetrics::register(registry).map_err(|error| Failure::Runtime(error.into()))?;
        Ok(Self { config: reached, metrics })
    }
}
