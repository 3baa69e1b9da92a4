//! List and watch, by `kube`'s watcher: pages, bookmarks, expired versions (410) and hang-ups are its work; ours is to ask for metadata only,
//! to feed the index, to back off, and to tell how the watch is doing.

use std::time::Duration;

use futures::StreamExt as _;
use http::Response;
use kube::api::{ListParams, PartialObjectMeta};
use kube::client::ClientBuilder;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Status};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, ResourceExt as _};
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::util::MapResponseLayer;

use super::{ConnectError, NameIndex};
use crate::http::jitter;
use crate::time::Clock;

/// The server ends a watch after this and a new one starts, so that contact is proven at least this often.
const WATCH_SECONDS: u32 = 45;

/// Between failed lists and watches; doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Kubermatic's user clusters; cluster-scoped.
pub fn kubermatic_clusters() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kubermatic.k8c.io", "v1", "Cluster"), "clusters")
}

/// How watches are doing, by resource.
#[derive(Debug, Clone)]
pub struct WatchMetrics {
    synced: IntGaugeVec,
    objects: IntGaugeVec,
    last_contact: GaugeVec,
    errors: IntCounterVec,
}

/// What a watch can fail of; a closed set.
const REASONS: [&str; 6] = ["access_denied", "not_found", "expired", "throttled", "server_error", "connection"];

impl WatchMetrics {
    /// Registers `s3exporter_watch_*`.
    ///
    /// # Errors
    /// When a name is taken already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = |name: &str, help: &str| Opts::new(format!("s3exporter_watch_{name}"), help);
        let metrics = Self {
            synced: IntGaugeVec::new(
                options("synced", "1 once the Kubernetes resource has been listed completely."),
                &["resource"],
            )?,
            objects: IntGaugeVec::new(
                options("objects", "Objects of the Kubernetes resource that are known now."),
                &["resource"],
            )?,
            last_contact: GaugeVec::new(
                options(
                    "last_contact_timestamp_seconds",
                    "When the Kubernetes API last answered a list or watch, in seconds since the Unix epoch; 0 before the first.",
                ),
                &["resource"],
            )?,
            errors: IntCounterVec::new(options("errors_total", "Failed lists and watches by reason."), &["resource", "reason"])?,
        };
        registry.register(Box::new(metrics.synced.clone()))?;
        registry.register(Box::new(metrics.objects.clone()))?;
        registry.register(Box::new(metrics.last_contact.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        Ok(metrics)
    }
}

/// A client that tells `on_answer` of every answer that is a success.
fn client(config: Config, on_answer: impl Fn() + Clone + Send + Sync + 'static) -> Result<Client, ConnectError> {
    let builder = ClientBuilder::try_from(config).map_err(|error| ConnectError::Client(crate::http::chain(&error)))?;
    let told = MapResponseLayer::new(move |response: Response<_>| {
        if response.status().is_success() {
            on_answer();
        }
        response
    });
    Ok(builder.with_layer(&told).build())
}

/// Prepares to feed `index` with the names of all objects of `resource`. Run what is returned until `stop`; it survives whatever the API does.
///
/// # Errors
/// When `config` holds TLS or authentication settings that do not work.
pub fn watch_names(
    config: Config,
    resource: &ApiResource,
    metrics: WatchMetrics,
    clock: Clock,
    mut index: NameIndex,
    stop: CancellationToken,
) -> Result<impl Future<Output = anyhow::Result<()>> + Send + use<>, ConnectError> {
    let name = resource.plural.clone();
    metrics.synced.with_label_values(&[&name]).set(0);
    metrics.objects.with_label_values(&[&name]).set(0);
    let last_contact = metrics.last_contact.with_label_values(&[&name]);
    for reason in REASONS {
        metrics.errors.with_label_values(&[name.as_str(), reason]);
    }
    let client = client(config, move || last_contact.set(clock.unix_seconds()))?;
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, resource);
    Ok(async move {
        let mut events = watcher(api, watcher::Config::default().timeout(WATCH_SECONDS)).boxed();
        let mut wait = FIRST_WAIT;
        let feed = async {
            while let Some(event) = events.next().await {
                // Each list begins with `Init`, also one that fails; anything else that is well ends the back-off.
                if matches!(event, Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) {
                    wait = FIRST_WAIT;
                }
                match event {
                    Ok(Event::Init) => index.begin_list(),
                    Ok(Event::InitApply(object)) => index.listed(object.name_any()),
                    Ok(Event::InitDone) => {
                        index.end_list();
                        metrics.synced.with_label_values(&[&name]).set(1);
                        tracing::info!(resource = %name, objects = index.len(), "listed");
                    }
                    Ok(Event::Apply(object)) => index.apply(object.name_any()),
                    Ok(Event::Delete(object)) => index.delete(&object.name_any()),
                    Err(error) => {
                        let reason = reason(&error);
                        metrics.errors.with_label_values(&[name.as_str(), reason]).inc();
                        report(&name, reason, &error);
                        sleep(jitter(wait)).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
                }
                metrics.objects.with_label_values(&[&name]).set(i64::try_from(index.len()).unwrap_or(i64::MAX));
            }
        };
        match stop.run_until_cancelled(feed).await {
            None => Ok(()),
            Some(()) => Err(anyhow::anyhow!("the watch of {name} ended")),
        }
    })
}

/// An expired version is the API's everyday way to ask for a new list; anything else deserves attention.
fn report(resource: &str, reason: &str, error: &watcher::Error) {
    let text = text(error);
    if reason == "expired" {
        tracing::debug!(resource, reason, error = %text, "the watch starts again");
    } else {
        tracing::warn!(resource, reason, error = %text, "the watch failed; trying again");
    }
}

/// The API's own words, where it had any; `kube` would add the whole status object.
fn text(error: &watcher::Error) -> String {
    match api_status(error) {
        Some(status) => format!("{} {}: {}", status.code, status.reason, status.message),
        None => crate::http::chain(error),
    }
}

fn reason(error: &watcher::Error) -> &'static str {
    let Some(status) = api_status(error) else {
        return if matches!(error, watcher::Error::NoResourceVersion) { "server_error" } else { "connection" };
    };
    match status.code {
        401 | 403 => "access_denied",
        404 => "not_found",
        410 => "expired",
        429 => "throttled",
        _ => "server_error",
    }
}

fn api_status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

/// Lists all names once, to see whether it works.
///
/// # Errors
/// What the API or the way to it said.
pub async fn list_names(config: Config, resource: &ApiResource) -> anyhow::Result<Vec<String>> {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client(config, || {})?, resource);
    let listed = tokio::time::timeout(Duration::from_secs(30), api.list(&ListParams::default())).await;
    let objects = listed.map_err(|_| anyhow::anyhow!("no answer within 30 s"))??;
    Ok(objects.items.iter().map(|object| object.name_any()).collect())
}
