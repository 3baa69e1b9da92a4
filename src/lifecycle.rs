//! From start to exit: background tasks that are missed when they die, signals, and an end within a grace period.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end by themselves after the stop. Kubernetes kills after 30 s.
const GRACE: Duration = Duration::from_secs(25);

/// The background tasks of the process, and the token that asks them to stop.
#[derive(Debug, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, String>,
}

impl Lifecycle {
    /// Cancelled when the process is to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task that is to run until the stop. One that ends earlier, well or not, ends the process.
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.names.insert(task.id(), name.into());
    }

    /// Waits for SIGTERM, SIGINT, the stop token or a dead task; then asks all tasks to stop and waits for them. A second signal ends the wait.
    ///
    /// # Errors
    /// When a task ended before it was asked to, or did not end within the grace period.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let stop = self.stop.clone();
        let dead = tokio::select! {
            _ = terminate.recv() => { tracing::info!("stopping on SIGTERM"); None }
            _ = interrupt.recv() => { tracing::info!("stopping on SIGINT"); None }
            () = stop.cancelled() => None,
            Some((name, result)) = self.next() => Some(match result {
                Ok(()) => anyhow!("{name} ended although nobody asked it to"),
                Err(error) => error.context(format!("{name} died")),
            }),
        };
        stop.cancel();
        let drained = tokio::select! {
            drained = timeout(GRACE, self.drain()) => drained.unwrap_or_else(|_| Err(anyhow!("tasks did not stop within {} s", GRACE.as_secs()))),
            _ = terminate.recv() => Err(anyhow!("a second signal came before all tasks had stopped")),
            _ = interrupt.recv() => Err(anyhow!("a second signal came before all tasks had stopped")),
        };
        dead.map_or(drained, Err)
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        while let Some((name, result)) = self.next().await {
            first = first.and(result.with_context(|| format!("{name} failed while stopping")));
        }
        first
    }

    /// The next task that ends, and how.
    async fn next(&mut self) -> Option<(String, anyhow::Result<()>)> {
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(anyhow!("the task {error}"))),
        };
        Some((self.names.remove(&id).unwrap_or_default(), result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_stop_token_ends_all_tasks() {
        let mut lifecycle = Lifecycle::default();
        let stop = lifecycle.stop_token();
        let seen = stop.clone();
        lifecycle.spawn("loop", async move {
            seen.cancelled().await;
            Ok(())
        });
        stop.cancel();
        lifecycle.run().await.unwrap();
    }

    #[tokio::test]
    async fn a_dead_task_stops_the_others_and_is_an_error() {
        type Task = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;
        let dying: [(&str, Task); 3] = [
            ("ended", Box::pin(async { Ok(()) })),
            ("broken", Box::pin(async { Err(anyhow!("broken")) })),
            ("panicked", Box::pin(async { panic!("panicked") })),
        ];
        for (what, task) in dying {
            let mut lifecycle = Lifecycle::default();
            let stop = lifecycle.stop_token();
            lifecycle.spawn("healthy", async move {
                stop.cancelled().await;
                Ok(())
            });
            lifecycle.spawn("the task", task);
            let error = format!("{:#}", lifecycle.run().await.unwrap_err());
            assert!(error.contains("the task") && error.contains(what), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_an_error() {
        let mut lifecycle = Lifecycle::default();
        lifecycle.spawn("deaf", std::future::pending());
        lifecycle.stop_token().cancel();
        assert!(lifecycle.run().await.unwrap_err().to_string().contains("did not stop"));
    }
}
