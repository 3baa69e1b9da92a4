//! The collector: runs on every node, asks the kubelet what the pods use, and sends reports to whoever writes the table.
//!
//! Two tasks with a queue in between: one asks at its interval whatever becomes of the reports, one sends them, oldest first, until each is accepted.
//! A kubelet that does not answer ends the process in the end, so that Kubernetes starts it anew; a receiver that does not answer never does, since
//! the end would lose the queue.

mod board;
mod config;
mod imds;
mod kubelet;
mod metrics;
mod post;
mod queue;
mod report;
mod scrape;
mod send;
mod summary;
mod token;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use prometheus::Registry;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use self::board::{Board, CollectPanel};
pub use self::config::{CollectConfig, CollectConfigError, CollectSection};
use self::imds::{Imds, InstanceId};
use self::kubelet::Kubelet;
use self::metrics::CollectMetrics;
use self::post::{Receiver, seal};
use self::queue::Queue;
use self::scrape::Scraper;
use self::send::Sender;
use crate::parts::{Parts, Tasks};
use crate::time::Clock;

/// Between two lines of the log that say how it goes.
const PROGRESS: Duration = Duration::from_secs(300);

/// Sets it up: the tasks, and what it shows of itself.
///
/// # Errors
/// For CA bundles that cannot be used.
pub fn build(config: CollectConfig, registry: &Registry, clock: &Clock, stop: &CancellationToken) -> anyhow::Result<Parts> {
    let push = config.push.as_ref().ok_or(CollectConfigError::NoPushEndpoint)?;
    let receiver = Receiver::new(push).context("the push endpoint")?;
    let (kubelet, endpoint, interval) = (config.kubelet.endpoint.clone(), push.endpoint.clone(), config.interval);
    let metrics = CollectMetrics::register(registry)?;
    let queue = Arc::new(Queue::new(config.queue, metrics.queue.clone(), metrics.queue_bytes.clone()));
    let board = Arc::new(Board::default());
    let mut tasks: Tasks = Vec::new();
    let scraper = scraper(config, &metrics, &board, clock, &mut tasks, stop)?;
    tracing::info!(%kubelet, %endpoint, ?interval, "collecting the usage of this node");
    let sender =
        Sender { receiver, queue: Arc::clone(&queue), metrics: metrics.clone(), board: Arc::clone(&board), clock: clock.clone() };
    tasks.push(("collecting".to_owned(), scraper.run(Arc::clone(&queue), stop.clone()).boxed()));
    tasks.push(("sending".to_owned(), sender.run(stop.clone()).boxed()));
    tasks.push(("the progress".to_owned(), tell_progress(metrics, stop.clone()).boxed()));
    Ok(Parts::new(Arc::new(CollectPanel { board, queue, clock: clock.clone() }), tasks))
}

/// One scrape, as it would be sent; and sent, if there is somewhere to send it to. Gives the JSON.
///
/// # Errors
/// When the kubelet gives no report, or the receiver does not accept it.
pub async fn once(config: CollectConfig, clock: &Clock) -> anyhow::Result<String> {
    let receiver = config.push.as_ref().map(Receiver::new).transpose().context("the push endpoint")?;
    let metrics = CollectMetrics::register(&Registry::new())?;
    let (mut tasks, stop) = (Vec::new(), CancellationToken::new());
    let mut scraper = scraper(config, &metrics, &Arc::default(), clock, &mut tasks, &stop)?;
    let asking: Vec<_> = tasks.into_iter().map(|(_, task)| tokio::spawn(task)).collect();
    let scraped = scraper.scrape().await;
    stop.cancel();
    for task in asking {
        task.await??;
    }
    let report = scraped?;
    if let Some(receiver) = receiver {
        let sent = receiver.send(&seal(&report)?).await;
        let (rejected, words) = sent.map_err(|failed| anyhow::anyhow!("the report was not accepted: {}", failed.error.why))?;
        tracing::info!(rejected, "the report was accepted{words}");
    }
    Ok(serde_json::to_string_pretty(&report)?)
}

/// What asks the kubelet; a task that asks for the instance is added to `tasks`.
fn scraper(
    config: CollectConfig,
    metrics: &CollectMetrics,
    board: &Arc<Board>,
    clock: &Clock,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> anyhow::Result<Scraper> {
    let instance = match config.imds {
        None => InstanceId::unknown(),
        Some(imds) => {
            let (id, task) = Imds::new(imds)?.learn(stop.clone());
            tasks.push(("asking for the EC2 instance".to_owned(), task.boxed()));
            id
        }
    };
    Ok(Scraper {
        kubelet: Kubelet::new(&config.kubelet).context("the kubelet")?,
        instance,
        node_name: config.node_name,
        hostname: config.hostname.or_else(kernel_hostname),
        interval: config.interval,
        jitter: config.jitter,
        max_consecutive_failures: config.max_consecutive_failures,
        metrics: metrics.clone(),
        board: Arc::clone(board),
        clock: clock.clone(),
        before: None,
    })
}

/// The name that the kernel has for this machine; of a container without the host's network, its own.
fn kernel_hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// A line now and then.
async fn tell_progress(metrics: CollectMetrics, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval_at(Instant::now() + PROGRESS, PROGRESS);
    let tell = async {
        loop {
            ticks.tick().await;
            tracing::info!(
                sent = metrics.sent.get(),
                queued = metrics.queue.get(),
                dropped = metrics.dropped_so_far(),
                pods = metrics.pods.get(),
                "reports so far"
            );
        }
    };
    stop.run_until_cancelled(tell).await;
    Ok(())
}
