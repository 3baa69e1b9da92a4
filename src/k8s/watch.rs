//! List and watch, by `kube`'s watcher: pages, bookmarks, expired versions (410) and hang-ups are its work; ours is to feed an index, to back off,
//! and to tell how the watch is doing. What is watched, and what is kept of it, is said beside the index: [`names`](super::names),
//! [`pods`](super::pods).

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::Response;
use kube::api::ListParams;
use kube::client::ClientBuilder;
use kube::core::Status;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::util::MapResponseLayer;

use super::contact::Contact;
use super::metrics::WatchMeter;
use super::object::{Object, Slim};
use super::whole::LogRequests;
use super::{ConnectError, WatchMetrics};
use crate::http::jitter;
use crate::time::Clock;

/// The server ends a watch after this and a new one starts, so that contact is proven at least this often.
const WATCH_SECONDS: u32 = 45;

/// How many objects a list asks for at a time; as many as `kubectl` does.
const PAGE_SIZE: u32 = 500;

/// Between failed lists and watches; doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// An index of objects, as a watch feeds it. A list may begin again before it has ended, when it fails halfway.
pub trait Feed<K>: Send {
    /// A list begins. What is known stays valid until it ends.
    fn begin_list(&mut self);

    /// An object of the list.
    fn listed(&mut self, object: K);

    /// The list is complete: whatever was not listed is gone.
    fn end_list(&mut self);

    /// An object is there, new or changed.
    fn apply(&mut self, object: K);

    /// An object is gone; this is its last state.
    fn delete(&mut self, object: K);

    /// How many objects are known.
    fn known(&self) -> usize;
}

/// Which objects of a kind are listed and watched; the server chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
}

impl Selection {
    /// Those that a label selector chooses.
    pub(super) fn labels(selector: String) -> Self {
        Self { labels: Some(selector), fields: None }
    }

    /// A list of one of them.
    pub(super) fn one(&self) -> ListParams {
        ListParams { label_selector: self.labels.clone(), field_selector: self.fields.clone(), ..ListParams::default() }.limit(1)
    }
}

/// A watch that does not run yet. Its metrics are there already.
#[derive(Debug)]
pub(super) struct Watch {
    meter: WatchMeter,
    contact: Arc<Contact>,
    stop: CancellationToken,
}

impl Watch {
    /// The watch that is called `resource` in metrics and log lines.
    pub(super) fn new(resource: &str, metrics: &WatchMetrics, clock: Clock, stop: CancellationToken) -> Self {
        let meter = metrics.meter(resource);
        let contact = Contact::new(resource, meter.last_contact.clone(), clock);
        Self { meter, contact: Arc::new(contact), stop }
    }

    /// A client whose successful answers count as contact, as far as what is in them can be read. If `logged`, it logs all requests.
    pub(super) fn client(&self, config: Config, logged: bool) -> Result<Client, ConnectError> {
        let contact = Arc::clone(&self.contact);
        client(config, logged, move || contact.answered())
    }

    /// Feeds `index` with the chosen objects of `api`, until the stop; survives whatever the API does.
    pub(super) async fn run<K, F>(self, api: Api<K>, chosen: Selection, mut index: F) -> anyhow::Result<()>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        F: Feed<K>,
    {
        let Self { meter, contact, stop } = self;
        let mut selection = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE_SIZE);
        (selection.label_selector, selection.field_selector) = (chosen.labels, chosen.fields);
        let mut events = watcher(api.clone(), selection.clone()).boxed();
        let mut wait = FIRST_WAIT;
        let feed = async {
            while let Some(event) = events.next().await {
                // Each list begins with `Init`, also one that fails; anything else that is well ends the back-off.
                if matches!(event, Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) {
                    wait = FIRST_WAIT;
                }
                if matches!(event, Ok(Event::InitApply(_) | Event::InitDone | Event::Apply(_) | Event::Delete(_))) {
                    contact.understood();
                }
                match event {
                    Ok(Event::Init) => index.begin_list(),
                    Ok(Event::InitApply(object)) => index.listed(object),
                    Ok(Event::InitDone) => {
                        index.end_list();
                        meter.synced.set(1);
                        tracing::info!(resource = %meter.resource, objects = index.known(), "listed");
                    }
                    Ok(Event::Apply(object)) => index.apply(object),
                    Ok(Event::Delete(object)) => index.delete(object),
                    Err(error) => {
                        let reason = reason(&error);
                        meter.failed(reason);
                        report(&meter.resource, reason, &error);
                        let unreadable = is_unreadable(&error);
                        if unreadable {
                            contact.not_understood();
                        } else if reason != "expired" {
                            contact.failed();
                        }
                        // `kube` lists again if a watch says so, but not if it cannot begin: it would ask from the same version for ever. And of a
                        // watch that tells what cannot be read it would leave that out; lists are dear, so not at once.
                        if unreadable || reason == "expired" {
                            if unreadable && matches!(error, watcher::Error::WatchFailed(_)) {
                                wait = LONGEST_WAIT;
                            }
                            events = watcher(api.clone(), selection.clone()).boxed();
                        }
                        sleep(jitter(wait)).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
                }
                meter.objects.set(i64::try_from(index.known()).unwrap_or(i64::MAX));
            }
        };
        match stop.run_until_cancelled(feed).await {
            None => Ok(()),
            Some(()) => Err(anyhow::anyhow!("the watch of {} ended", meter.resource)),
        }
    }
}

/// A client that tells `on_answer` of every answer that is a success. If `logged`, it logs all requests.
pub(super) fn client(
    config: Config,
    logged: bool,
    on_answer: impl Fn() + Clone + Send + Sync + 'static,
) -> Result<Client, ConnectError> {
    let builder = ClientBuilder::try_from(config).map_err(|error| ConnectError::Client(crate::http::chain(&error)))?;
    let told = MapResponseLayer::new(move |response: Response<_>| {
        if response.status().is_success() {
            on_answer();
        }
        response
    });
    let builder = builder.with_layer(&told);
    Ok(if logged { builder.with_layer(&LogRequests).build() } else { builder.build() })
}

/// Lists one of the chosen objects of `api`, to see whether it works, and whether there is one.
///
/// # Errors
/// What the API or the way to it said.
pub(super) async fn check<B: Slim>(api: Api<Object<B>>, chosen: &Selection) -> anyhow::Result<bool> {
    let listed = tokio::time::timeout(Duration::from_secs(30), api.list(&chosen.one())).await;
    Ok(!listed.map_err(|_| anyhow::anyhow!("no answer within 30 s"))??.items.is_empty())
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

/// True of an answer that came and is not what it should be.
fn is_unreadable(error: &watcher::Error) -> bool {
    use kube::Error::{FromUtf8, LinesCodecMaxLineLengthExceeded, SerdeError};
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchFailed(error) => {
            matches!(error, SerdeError(_) | FromUtf8(_) | LinesCodecMaxLineLengthExceeded)
        }
        watcher::Error::NoResourceVersion => true,
        _ => false,
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
