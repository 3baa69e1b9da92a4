//! The composition root: from a [`Config`] to a running [`App`]. It alone knows every subsystem.

use std::path::Path;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::export;
use crate::inventory;
use crate::k8s::{self, NameIndex, WatchMetrics};
use crate::lifecycle::Lifecycle;
use crate::server;
use crate::telemetry;
use crate::time::Clock;

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
        let watch = if config.needs_cluster_names() { Some(config.kubeconfig.clone()) } else { None };
        let (mut panels, mut tasks) = (Vec::new(), Vec::new());
        if let Some(section) = config.inventory {
            let parts = inventory::build(section, &names, &registry, &clock, &stop).map_err(Failure::Usage)?;
            panels.push(parts.panel);
            tasks.extend(parts.tasks);
        }
        if let Some(section) = config.export {
            let parts = export::build(section, &registry, &clock, &stop).map_err(Failure::Usage)?;
            panels.push(parts.panel);
            tasks.extend(parts.tasks);
        }
        if let Some(kubeconfig) = watch {
            let metrics = WatchMetrics::register(&registry).map_err(|error| Failure::Runtime(error.into()))?;
            let watch =
                watch_clusters(kubeconfig.as_deref(), metrics, clock, index, stop.clone()).await.map_err(Failure::Usage)?;
            tasks.push(("the watch of the clusters".to_owned(), Box::pin(watch)));
        }
        let routes = server::routes(&registry, panels, stop).map_err(|error| Failure::Runtime(error.into()))?;
        let listener = server::bind(&config.address).await.map_err(Failure::Runtime)?;
        // Nothing runs before everything is built.
        for (name, task) in tasks {
            lifecycle.spawn(name, task);
        }
        Ok(Self { lifecycle, listener, routes })
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
        self.lifecycle.spawn("the server", server::serve(self.listener, self.routes, stop));
        self.lifecycle.run().await
    }
}

/// Prepares the watch of Kubermatic's clusters.
async fn watch_clusters(
    kubeconfig: Option<&Path>,
    metrics: WatchMetrics,
    clock: Clock,
    index: NameIndex,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
    let hint = "the names of the clusters come from Kubernetes unless --cluster or --cluster-pattern gives them";
    let kube = k8s::config(kubeconfig).await.context(hint)?;
    k8s::watch_names(kube, &k8s::kubermatic_clusters(), metrics, clock, index, stop).context(hint)
}
