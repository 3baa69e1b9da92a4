//! Pods, as slim as they are needed to scrape them: a pod is 5 to 20 KiB of JSON, and of all but a few fields nothing is even allocated.

use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::{Api, Client, Config};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::object::{Object, Slim, Unwrapped, Values, WireMeta};
use super::watch::{Feed, Selection, Watch, check, client};
use super::{ConnectError, WatchMetrics};
use crate::time::Clock;

/// What is kept of a pod while it is on its way into an index.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Wire")]
pub struct PodObject {
    /// Name, namespace, UID and resource version; nothing else.
    pub meta: ObjectMeta,
    /// All labels.
    pub labels: Vec<(String, String)>,
    /// All annotations, their values cut to about [`LONGEST_VALUE`](super::LONGEST_VALUE).
    pub annotations: Vec<(String, String)>,
    /// Somebody has asked to delete it.
    pub deleting: bool,
    /// Where it runs, once that is decided.
    pub node: Option<String>,
    /// It has the node's network, and so the node's addresses.
    pub host_network: bool,
    /// Its phase is `Running`.
    pub running: bool,
    /// `status.podIPs` as they are written, the first one first; at most one of each family.
    pub addresses: Vec<String>,
}

impl Slim for PodObject {
    type Scope = NamespaceResourceScope;
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// Which pods are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodScope {
    /// Of this namespace; of all namespaces where absent.
    pub namespace: Option<String>,
    /// Those that this label selector chooses, on the server.
    pub selector: String,
}

impl PodScope {
    /// The `resource` label of its watch: `pods`, or `pods/NAMESPACE`.
    pub fn resource(&self) -> String {
        self.namespace.as_ref().map_or_else(|| "pods".to_owned(), |namespace| format!("pods/{namespace}"))
    }

    fn api(&self, client: Client) -> Api<Object<PodObject>> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

/// Prepares to feed `index` with the pods of `scope`, for which `list` and `watch` of `pods` must be allowed there. Run what is returned until
/// `stop`; it survives whatever the API does.
///
/// # Errors
/// When `config` holds TLS or authentication settings that do not work.
pub fn watch_pods<F: Feed<PodObject> + 'static>(
    config: Config,
    scope: PodScope,
    metrics: &WatchMetrics,
    clock: Clock,
    index: F,
    stop: CancellationToken,
) -> Result<impl Future<Output = anyhow::Result<()>> + Send + use<F>, ConnectError> {
    let watch = Watch::new(&scope.resource(), metrics, clock, stop);
    let api = scope.api(watch.client(config, false)?);
    Ok(async move { watch.run(api, Selection::labels(scope.selector), Unwrapped(index)).await })
}

/// Lists one pod of `scope`, to see whether it works, and whether there is one.
///
/// # Errors
/// What the API or the way to it said.
pub async fn check_pods(config: Config, scope: &PodScope) -> anyhow::Result<bool> {
    check(scope.api(client(config, false, || {})?), &Selection::labels(scope.selector.clone())).await
}

/// A pod as the API writes it. What has no field here is skipped without being read into memory.
#[derive(Deserialize)]
struct Wire {
    metadata: WireMeta<Values>,
    spec: Option<WireSpec>,
    status: Option<WireStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct WireSpec {
    node_name: Option<String>,
    host_network: Option<bool>,
}

#[derive(Deserialize, Default)]
struct WireStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<WireAddress>>,
}

#[derive(Deserialize)]
struct WireAddress {
    ip: Option<String>,
}

impl From<Wire> for PodObject {
    fn from(wire: Wire) -> Self {
        let Wire { mut metadata, spec, status } = wire;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let mut addresses: Vec<String> = status.pod_ips.into_iter().flatten().filter_map(|address| address.ip).collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip);
        }
        Self {
            meta: metadata.identity(),
            labels: metadata.labels.unwrap_or_default().0,
            annotations: metadata.annotations.unwrap_or_default().0,
            deleting: metadata.deletion_timestamp.is_some(),
            node: spec.node_name.filter(|node| !node.is_empty()),
            host_network: spec.host_network.unwrap_or(false),
            running: status.phase.as_deref() == Some("Running"),
            addresses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LONGEST_VALUE;
    use super::*;
    use serde_json::json;

    fn pod(value: &serde_json::Value) -> PodObject {
        // As the API writes it, and as a watch event whose parts come in another order is read.
        let from_text: PodObject = serde_json::from_str(&value.to_string()).unwrap();
        let from_value: PodObject = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(format!("{from_text:?}"), format!("{from_value:?}"));
        from_text
    }

    #[test]
    fn a_pod_is_read_without_what_nobody_needs() {
        let pod = pod(&json!({
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"l": "1"},
                "annotations": {"long": "é".repeat(LONGEST_VALUE), "short": "\u{1F980}\n"},
                "managedFields": [{"manager": "kubelet"}], "creationTimestamp": null, "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"nodeName": "node", "hostNetwork": true, "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "conditions": []},
        }));
        assert_eq!((pod.name(), pod.namespace(), pod.uid()), ("a", "n", "u"));
        assert_eq!(pod.meta().resource_version.as_deref(), Some("7"));
        assert!(pod.deleting && pod.host_network && pod.running);
        assert_eq!(
            (pod.node.as_deref(), pod.addresses.as_slice()),
            (Some("node"), &["10.0.0.1".to_owned(), "fd00::1".into()][..])
        );
        assert_eq!(pod.labels, [("l".to_owned(), "1".to_owned())]);
        let long = pod.annotations.iter().find(|(key, _)| key == "long").map(|(_, value)| value.len());
        assert_eq!(long, Some(LONGEST_VALUE + 2));
        assert!(pod.annotations.contains(&("short".to_owned(), "\u{1F980}\n".to_owned())));
    }

    #[test]
    fn a_pod_that_has_hardly_begun_is_read_too() {
        let bare = pod(&json!({"metadata": {"name": "a", "labels": null, "deletionTimestamp": null}, "spec": {"nodeName": ""}}));
        assert!(!bare.running && !bare.deleting && bare.node.is_none() && bare.addresses.is_empty());
        let old = pod(&json!({"metadata": {}, "status": {"phase": "Pending", "podIP": "10.0.0.1", "podIPs": null}}));
        assert_eq!((old.running, old.addresses), (false, vec!["10.0.0.1".to_owned()]));
    }
}
