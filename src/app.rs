//! The composition root: from a [`Config`] to a running [`App`]. It alone knows every subsystem.

use prometheus::Registry;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::inventory;
use crate::k8s::{self, NameIndex, Names, WatchMetrics};
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
        let names = if config.needs_cluster_names() {
            Some(watch_clusters(&config, &registry, &clock, &mut lifecycle).await?)
        } else {
            None
        };
        let mut panels = Vec::new();
        if let Some(section) = config.inventory {
            let parts = inventory::build(section, names.as_ref(), &registry, &clock, &stop).map_err(Failure::Usage)?;
            panels.push(parts.panel);
            for (name, task) in parts.tasks {
                lifecycle.spawn(name, task);
            }
        }
        let routes = server::routes(&registry, panels, stop).map_err(|error| Failure::Runtime(error.into()))?;
        let listener = server::bind(&config.address).await.map_err(Failure::Runtime)?;
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

/// Starts the watch of Kubermatic's clusters.
async fn watch_clusters(
    config: &Config,
    registry: &Registry,
    clock: &Clock,
    lifecycle: &mut Lifecycle,
) -> Result<Names, Failure> {
    let unreachable = |error: k8s::ConnectError| {
        let hint = "the names of the clusters come from Kubernetes unless --cluster or --cluster-pattern gives them";
        Failure::Usage(anyhow::Error::new(error).context(hint))
    };
    let kube = k8s::config(config.kubeconfig.as_deref()).await.map_err(unreachable)?;
    let metrics = WatchMetrics::register(registry).map_err(|error| Failure::Runtime(error.into()))?;
    let (index, names) = NameIndex::new();
    let resource = k8s::kubermatic_clusters();
    let watch = k8s::watch_names(kube, &resource, metrics, clock.clone(), index, lifecycle.stop_token()).map_err(unreachable)?;
    lifecycle.spawn("the watch of the clusters", watch);
    Ok(names)
}
