//! For those who must see what the API says: every request, every event of a watch, what becomes of the index, and every object as a whole, in the
//! log under the target `k8s_api`. What may be secret is blanked: data of Secrets, values of environment variables, and copies of either in
//! `kubectl.kubernetes.io/last-applied-configuration`.
//!
//! A watch is either made with this or without it; one without pays nothing.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::core::ObjectMeta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tower::{Layer, Service};

use super::object::Slim;
use super::watch::Feed;

/// A copy of the whole object as somebody wrote it.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What stands in the place of a value.
const BLANKED: &str = "(blanked)";

/// A slim object, with the whole of it for the log.
#[derive(Debug, Clone)]
pub(super) struct Whole<B> {
    slim: B,
    whole: Value,
}

impl<'de, B: Slim> Deserialize<'de> for Whole<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut whole = Value::deserialize(deserializer)?;
        let slim = B::deserialize(&whole).map_err(D::Error::custom)?;
        blank(B::KIND, &mut whole);
        Ok(Self { slim, whole })
    }
}

impl<B: Slim> Slim for Whole<B> {
    type Scope = B::Scope;
    const GROUP: &'static str = B::GROUP;
    const VERSION: &'static str = B::VERSION;
    const KIND: &'static str = B::KIND;
    const PLURAL: &'static str = B::PLURAL;
    const METADATA_ONLY: bool = B::METADATA_ONLY;

    fn meta(&self) -> &ObjectMeta {
        self.slim.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.slim.meta_mut()
    }
}

/// Blanks what may be secret in an object of a kind.
fn blank(kind: &str, object: &mut Value) {
    if let (Value::Object(members), "Secret") = (&mut *object, kind) {
        let secret = members.iter_mut().filter(|(name, _)| matches!(name.as_str(), "data" | "stringData"));
        secret.for_each(|(_, value)| blank_members(value));
    }
    blank_below(object);
}

fn blank_members(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| *value = BLANKED.into()),
        other => *other = BLANKED.into(),
    }
}

/// Environments are in containers of all sorts, and in templates of pods.
fn blank_below(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank_below),
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match (name.as_str(), &mut *value) {
                    (LAST_APPLIED, value) => *value = BLANKED.into(),
                    // Headers of probes log in, and drivers of volumes have keys.
                    ("volumeAttributes", value) => blank_members(value),
                    ("env" | "httpHeaders", Value::Array(variables)) => {
                        variables.iter_mut().filter_map(Value::as_object_mut).for_each(blank_variable);
                    }
                    (_, value) => blank_below(value),
                }
            }
        }
        _ => {}
    }
}

fn blank_variable(variable: &mut Map<String, Value>) {
    if let Some(value) = variable.get_mut("value") {
        *value = BLANKED.into();
    }
}

/// Logs what it hands on to an index.
pub(super) struct Logged<F> {
    feed: F,
    resource: String,
}

impl<F> Logged<F> {
    pub(super) fn new(feed: F, resource: &str) -> Self {
        Self { feed, resource: resource.to_owned() }
    }

    /// Logs an event with its object, and how the index has changed by it.
    fn pass<B: Slim>(&mut self, event: &str, object: Whole<B>, on: impl FnOnce(&mut F, B))
    where
        F: Feed<B>,
    {
        let (resource, Whole { slim, whole }) = (&self.resource, object);
        tracing::info!(target: "k8s_api", resource, event, object = %whole, "watch event");
        let (namespace, name, before) = (slim.namespace().to_owned(), slim.name().to_owned(), self.feed.known());
        on(&mut self.feed, slim);
        let known = self.feed.known();
        tracing::info!(target: "k8s_api", resource = self.resource, event, namespace, name, before, known, "index change");
    }
}

impl<B: Slim, F: Feed<B>> Feed<Whole<B>> for Logged<F> {
    fn begin_list(&mut self) {
        tracing::info!(target: "k8s_api", resource = self.resource, event = "INIT", "watch event");
        self.feed.begin_list();
    }

    fn listed(&mut self, object: Whole<B>) {
        self.pass("LISTED", object, F::listed);
    }

    fn end_list(&mut self) {
        let before = self.feed.known();
        self.feed.end_list();
        let (resource, known) = (&self.resource, self.feed.known());
        tracing::info!(target: "k8s_api", resource, event = "INIT_DONE", before, known, "index change");
    }

    fn apply(&mut self, object: Whole<B>) {
        self.pass("APPLIED", object, F::apply);
    }

    fn delete(&mut self, object: Whole<B>) {
        self.pass("DELETED", object, F::delete);
    }

    fn known(&self) -> usize {
        self.feed.known()
    }
}

/// Logs requests and how they were answered.
#[derive(Debug, Clone)]
pub(super) struct LogRequests;

impl<S> Layer<S> for LogRequests {
    type Service = LoggedRequests<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LoggedRequests(inner)
    }
}

/// See [`LogRequests`].
#[derive(Debug, Clone)]
pub(super) struct LoggedRequests<S>(S);

impl<S, A, B> Service<Request<A>> for LoggedRequests<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: std::fmt::Display,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            // The path says what is asked for; the query, from which version.
            let path = uri.path_and_query().map_or("", |path| path.as_str());
            match &answer {
                Ok(response) => tracing::info!(target: "k8s_api", %method, path, status = response.status().as_u16(), "request"),
                Err(error) => tracing::info!(target: "k8s_api", %method, path, %error, "request"),
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::slim::Pod;
    use serde_json::json;

    #[test]
    fn nothing_secret_is_shown() {
        let env = || json!([{"name": "A", "value": "hunter2"}, {"name": "B", "valueFrom": {"secretKeyRef": {"key": "k"}}}, {"name": "C"}]);
        let containers = || json!([{"name": "c", "env": env(), "args": ["--shown"]}]);
        let probe = json!({"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "hunter2"}]}});
        let object = json!({
            "metadata": {"name": "p", "annotations": {LAST_APPLIED: "hunter2", "kept": "shown"}},
            "spec": {
                "probe": probe, "volumes": [{"csi": {"volumeAttributes": {"key": "hunter2"}}}],
                "containers": containers(), "initContainers": containers(), "ephemeralContainers": containers(),
                "template": {"metadata": {"annotations": {LAST_APPLIED: "hunter2"}}, "spec": {"containers": containers()}},
            },
        });
        let pod: Whole<Pod> = serde_json::from_value(object).unwrap();
        let shown = pod.whole.to_string();
        assert!(
            !shown.contains("hunter2") && shown.matches("--shown").count() == 4 && shown.matches("secretKeyRef").count() == 4
        );
        assert_eq!(shown.matches(BLANKED).count(), 8);
        // The index is not told less than without a log.
        assert_eq!((pod.name(), pod.slim.annotations.len()), ("p", 2));
        let mut secret = json!({"data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "hunter2"}, "type": "Opaque"});
        blank("Secret", &mut secret);
        assert_eq!(secret, json!({"data": {"a": BLANKED}, "stringData": {"b": BLANKED}, "type": "Opaque"}));
    }
}
