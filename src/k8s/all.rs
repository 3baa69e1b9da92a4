//! All objects of a kind, in all namespaces, into an index.

use std::marker::PhantomData;

use futures::future::BoxFuture;
use kube::{Api, Config};
use tokio_util::sync::CancellationToken;

use super::object::{Object, Slim, Unwrapped};
use super::watch::{Feed, Selection, Watch, check, client};
use super::whole::{Logged, Whole};
use super::{ConnectError, WatchMetrics};
use crate::time::Clock;

/// All objects of the kind of `B`.
#[derive(Debug, Clone, Copy)]
pub struct AllOf<B> {
    /// What the watch is called in metrics and log lines; no two watches have the same name.
    pub resource: &'static str,
    /// Only those that this field selector chooses, on the server.
    pub fields: Option<&'static str>,
    kind: PhantomData<B>,
}

impl<B: Slim> AllOf<B> {
    /// All objects, called `resource`.
    pub fn new(resource: &'static str) -> Self {
        Self { resource, fields: None, kind: PhantomData }
    }

    /// Those that a field selector chooses.
    pub fn chosen(resource: &'static str, fields: &'static str) -> Self {
        Self { fields: Some(fields), ..Self::new(resource) }
    }

    fn selection(&self) -> Selection {
        Selection { labels: None, fields: self.fields.map(str::to_owned) }
    }
}

/// Prepares to feed `index` with `objects`, for which `list` and `watch` must be allowed. Run what is returned until `stop`; it survives whatever
/// the API does. If `logged`, requests, events and whole objects go to the log, without what may be secret in them.
///
/// # Errors
/// When `config` holds TLS or authentication settings that do not work.
pub fn watch_all<B: Slim, F: Feed<B> + 'static>(
    config: Config,
    objects: AllOf<B>,
    metrics: &WatchMetrics,
    clock: Clock,
    logged: bool,
    index: F,
    stop: CancellationToken,
) -> Result<BoxFuture<'static, anyhow::Result<()>>, ConnectError> {
    let watch = Watch::new(objects.resource, metrics, clock, stop);
    let (client, chosen) = (watch.client(config, logged)?, objects.selection());
    Ok(if logged {
        let api: Api<Object<Whole<B>>> = Api::all(client);
        Box::pin(watch.run(api, chosen, Unwrapped(Logged::new(index, objects.resource))))
    } else {
        let api: Api<Object<B>> = Api::all(client);
        Box::pin(watch.run(api, chosen, Unwrapped(index)))
    })
}

/// Lists one of `objects`, to see whether it works, and whether there is one.
///
/// # Errors
/// What the API or the way to it said.
pub async fn check_all<B: Slim>(config: Config, objects: AllOf<B>) -> anyhow::Result<bool> {
    let api: Api<Object<B>> = Api::all(client(config, false, || {})?);
    check(api, &objects.selection()).await
}
