//! A Kubernetes API server that knows list, watch and get, and whose tokens are good, over plain HTTP/1.1.
//!
//! Every resource path exists, with the objects that were applied to it. Resources are named by their
//! path without namespace: `/apis/kubermatic.k8c.io/v1/clusters` ([`CLUSTERS`]), `/api/v1/pods` ([`PODS`]).
//! The protocol is that of <https://kubernetes.io/docs/reference/using-api/api-concepts/>.

mod answer;
mod ballast;
mod cluster;
mod node;
mod object;
mod owner;
mod path;
mod pod;
mod population;
mod review;
mod selector;
mod serve;
mod state;
mod storage;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};

pub use cluster::CLUSTERS;
pub use node::{NODES, NodeSpec};
pub use owner::{JOBS, OwnerSpec, REPLICA_SETS};
pub use pod::{Container, PODS, PodSpec};
pub use population::Population;
pub use review::{KnownToken, TOKEN_REVIEWS};
pub use storage::{CLAIMS, ClaimSpec, VOLUMES, VolumeSpec};

use crate::http_server::{ANY_PORT, Handler, HttpServer};
use crate::lock;
use path::normal;
use serve::Shared;
use state::{Failure, State, id};

/// Where namespaces live. They are cluster-scoped.
pub const NAMESPACES: &str = "/api/v1/namespaces";

/// A running API server; it stops when this is dropped.
pub struct KubeApi {
    server: HttpServer,
    shared: Arc<Shared>,
}

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeRequest {
    /// `GET`.
    pub method: String,
    /// Path and query, as sent.
    pub path_and_query: String,
    /// The `Accept` header, empty without one.
    pub accept: String,
    /// The `Authorization` header, empty without one.
    pub authorization: String,
}

impl KubeApi {
    /// An empty cluster on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_on(ANY_PORT).await.expect("a free port on the loopback interface")
    }

    /// An empty cluster on `address`. Fails if the address is taken.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            changes: tokio::sync::watch::Sender::new(()),
            watches: tokio::sync::watch::Sender::new(0),
            requests: Mutex::default(),
        });
        let handler: Handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| serve::answer(Arc::clone(&shared), request).boxed())
        };
        let server = HttpServer::start(address, None, handler).await?;
        Ok(Self { server, shared })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Writes a kubeconfig for this server into `dir`.
    pub fn kubeconfig(&self, dir: impl AsRef<Path>) -> PathBuf {
        let file = dir.as_ref().join("kubeconfig");
        let user = match &lock(&self.shared.state).switches.token {
            Some(token) => json!({ "token": token }),
            None => json!({}),
        };
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "fake", "cluster": { "server": self.endpoint() } }],
            "users": [{ "name": "fake", "user": user }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
            "current-context": "fake",
        });
        std::fs::write(&file, format!("{config:#}\n")).expect("the directory can be written to");
        file
    }

    /// Creates or replaces the object with the `metadata.name` and `metadata.namespace` of `object`.
    pub fn apply(&self, resource: &str, object: Value) {
        self.change(|state| state.apply(normal(resource), object, None));
    }

    /// Deletes an object; `namespace` is `None` for cluster-scoped ones. Whether it was there.
    pub fn delete(&self, resource: &str, name: &str, namespace: Option<&str>) -> bool {
        self.change(|state| state.delete(id(resource, namespace, name), true))
    }

    /// Deletes an object so that watches miss it: there is no `DELETED` event, neither now nor later.
    pub fn delete_silently(&self, resource: &str, name: &str, namespace: Option<&str>) -> bool {
        self.change(|state| state.delete(id(resource, namespace, name), false))
    }

    /// Creates or touches a Kubermatic `Cluster` with an invented spec.
    pub fn apply_cluster(&self, name: &str) {
        self.apply(CLUSTERS, cluster::cluster(name));
    }

    /// Deletes a Kubermatic `Cluster`; whether it was there.
    pub fn delete_cluster(&self, name: &str) -> bool {
        self.delete(CLUSTERS, name, None)
    }

    /// Creates or replaces a pod. With another uid it is another pod, and the one before is deleted.
    pub fn apply_pod(&self, pod: &PodSpec) {
        let (object, ballast) = pod.stored();
        self.change(|state| state.apply(normal(PODS), object, ballast));
    }

    /// Creates or replaces a node.
    pub fn apply_node(&self, node: &NodeSpec) {
        self.apply(NODES, node.to_json());
    }

    /// Creates or replaces a claim.
    pub fn apply_claim(&self, claim: &ClaimSpec) {
        self.apply(CLAIMS, claim.to_json());
    }

    /// Creates or replaces a volume.
    pub fn apply_volume(&self, volume: &VolumeSpec) {
        self.apply(VOLUMES, volume.to_json());
    }

    /// Creates or replaces what owns pods.
    pub fn apply_owner(&self, owner: &OwnerSpec) {
        self.apply(owner.resource(), owner.to_json());
    }

    /// Creates or replaces a namespace; `None` leaves its uid to the API server.
    pub fn apply_namespace(&self, name: &str, uid: Option<&str>) {
        let mut namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        if let Some(uid) = uid {
            namespace["metadata"]["uid"] = json!(uid);
        }
        self.apply(NAMESPACES, namespace);
    }

    /// Creates all that a [`Population`] has.
    pub fn populate(&self, population: &Population) {
        population.apply(self);
    }

    /// Makes a token known to token reviews; by default every token is unknown.
    pub fn know_token(&self, token: &str, known: KnownToken) {
        self.change(|state| state.switches.tokens.insert(token.to_owned(), known));
    }

    /// From now on the token is unknown, as after its pod was deleted.
    pub fn forget_token(&self, token: &str) {
        self.change(|state| state.switches.tokens.remove(token));
    }

    /// How many token reviews were asked for.
    pub fn token_reviews(&self) -> usize {
        let is_review = |request: &&KubeRequest| request.method == "POST" && request.path_and_query.starts_with(TOKEN_REVIEWS);
        lock(&self.shared.requests).iter().filter(is_review).count()
    }

    /// Deletes a pod; whether it was there.
    pub fn delete_pod(&self, namespace: &str, name: &str) -> bool {
        self.delete(PODS, name, Some(namespace))
    }

    /// [`delete_silently`](Self::delete_silently) for a pod.
    pub fn delete_pod_silently(&self, namespace: &str, name: &str) -> bool {
        self.delete_silently(PODS, name, Some(namespace))
    }

    /// Lists that ask for pages (`limit`) get pages of at most `size` objects.
    pub fn set_page_size(&self, size: usize) {
        self.change(|state| state.switches.page_size = Some(size));
    }

    /// Ends all running watches with an `ERROR` event with code 410, and answers 410 to watches from
    /// any resource version handed out so far.
    pub fn expire_watches(&self) {
        self.change(|state| {
            state.expire();
            state.switches.expired += 1;
        });
    }

    /// Answers 410 to all continue tokens handed out so far.
    pub fn expire_continue_tokens(&self) {
        self.change(State::expire_continue_tokens);
    }

    /// Cuts the connections of all running watches in the middle of a line.
    pub fn break_watches(&self) {
        self.change(|state| state.switches.broken += 1);
    }

    /// While on, requests are read and never answered, and running watches are silent. What happened
    /// meanwhile comes when it is off again; requests from that time stay unanswered.
    pub fn hang(&self, on: bool) {
        self.change(|state| state.switches.hang = on);
    }

    /// While on, the resource is 404 as if its CRD was missing, and watches of it end.
    pub fn absent(&self, resource: &str, on: bool) {
        self.change(|state| {
            let absent = &mut state.switches.absent;
            if on {
                absent.insert(normal(resource));
            } else {
                absent.remove(&normal(resource));
            }
        });
    }

    /// While on, requests for the resource are 403, as if no role allowed them, and watches of it end.
    pub fn forbid(&self, resource: &str, on: bool) {
        self.change(|state| {
            let forbidden = &mut state.switches.forbidden;
            if on {
                forbidden.insert(normal(resource));
            } else {
                forbidden.remove(&normal(resource));
            }
        });
    }

    /// Answers the next `times` requests (`None`: all) with a `Status` of this code; 429 comes with
    /// `Retry-After: 1`. Running watches go on.
    pub fn fail_with(&self, code: u16, times: Option<u64>) {
        self.change(|state| state.switches.failure = Some(Failure { code, times }));
    }

    /// Ends [`fail_with`](Self::fail_with).
    pub fn clear_failures(&self) {
        self.change(|state| state.switches.failure = None);
    }

    /// While on, lists and objects are HTML with status 200, and watches send half a JSON line and end.
    pub fn garbage(&self, on: bool) {
        self.change(|state| state.switches.garbage = on);
    }

    /// Answers 401 to requests without this bearer token. Call it before [`kubeconfig`](Self::kubeconfig).
    pub fn require_token(&self, token: &str) {
        self.change(|state| state.switches.token = Some(token.to_owned()));
    }

    /// Time between two bookmarks of a watch that asked for them; one minute, as in Kubernetes. It
    /// counts from the next bookmark on.
    pub fn set_bookmark_interval(&self, interval: Duration) {
        self.change(|state| state.switches.bookmark_interval = Some(interval));
    }

    /// Sends a bookmark now to all running watches that asked for them.
    pub fn send_bookmarks(&self) {
        self.change(|state| state.switches.bookmarks += 1);
    }

    /// Closes all connections; from now on connections are refused.
    pub async fn stop_listening(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port.
    pub async fn resume(&self) {
        self.server.resume().await.expect("the port was ours a moment ago");
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<KubeRequest> {
        lock(&self.shared.requests).clone()
    }

    /// How many watches run now.
    pub fn watches(&self) -> usize {
        *self.shared.watches.borrow()
    }

    /// Waits until exactly `count` watches run.
    pub async fn wait_for_watches(&self, count: usize) {
        let mut watches = self.shared.watches.subscribe();
        let _reached = watches.wait_for(|&now| now == count).await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut lock(&self.shared.state));
        self.shared.changes.send_replace(());
        result
    }
}
