//! Pods in the API: watches with selectors, uids, deletions that nobody hears of, and many of them.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::time::Duration;

use fakes::kube_api::{KubeApi, PodSpec};
use reqwest::{Client, Response};
use serde_json::Value;

/// Waits for nothing longer than this: no test hangs.
const PATIENCE: Duration = Duration::from_secs(5);

async fn get(api: &KubeApi, query: &str) -> Response {
    let client = Client::builder().tls_built_in_root_certs(false).build().unwrap();
    client.get(format!("{}/api/v1/pods?{query}", api.endpoint())).send().await.unwrap()
}

async fn list(api: &KubeApi, query: &str) -> Value {
    serde_json::from_slice(&get(api, query).await.bytes().await.unwrap()).unwrap()
}

/// Type, name and resource version of the events of a watch.
struct Watch {
    response: Response,
    buffer: String,
}

impl Watch {
    async fn begin(api: &KubeApi, query: &str) -> Self {
        Self { response: get(api, &format!("watch=true&{query}")).await, buffer: String::new() }
    }

    async fn next(&mut self) -> Value {
        while !self.buffer.contains('\n') {
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("a line in time");
            self.buffer += std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap();
        }
        let (line, rest) = self.buffer.split_once('\n').unwrap();
        let event = serde_json::from_str(line).unwrap();
        self.buffer = rest.to_owned();
        event
    }

    async fn change(&mut self) -> String {
        let event = self.next().await;
        format!("{} {}", event["type"].as_str().unwrap(), event["object"]["metadata"]["name"].as_str().unwrap())
    }
}

#[tokio::test]
async fn selectors_of_watches() {
    let api = KubeApi::start().await;
    let pod = PodSpec::new("default", "web-0");
    let web = pod.clone().label("app", "web");
    api.apply_pod(&pod);
    let mut labelled = Watch::begin(&api, "labelSelector=app").await;
    let mut running = Watch::begin(&api, "fieldSelector=status.phase%3DRunning").await;
    assert_eq!(running.change().await, "ADDED web-0");

    api.apply_pod(&web);
    assert_eq!(labelled.change().await, "ADDED web-0");
    assert_eq!(running.change().await, "MODIFIED web-0");
    api.apply_pod(&web.clone().phase("Succeeded"));
    assert_eq!(labelled.change().await, "MODIFIED web-0");
    assert_eq!(running.change().await, "DELETED web-0");

    // The last version that matched, with the revision of the change.
    api.apply_pod(&pod);
    let gone = labelled.next().await;
    assert_eq!((&gone["type"], &gone["object"]["metadata"]["labels"]["app"]), (&"DELETED".into(), &"web".into()));
    let newest = list(&api, "").await["metadata"]["resourceVersion"].clone();
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], newest);
    assert_eq!(running.change().await, "ADDED web-0");

    // What neither matched before nor after is no news for the watch.
    api.apply_pod(&pod.clone().label("tier", "front"));
    assert!(api.delete_pod("default", "web-0"));
    api.apply_pod(&PodSpec::new("default", "web-1").label("app", "web"));
    assert_eq!(labelled.change().await, "ADDED web-1");
}

#[tokio::test]
async fn uids() {
    let api = KubeApi::start().await;
    let uid = async || list(&api, "").await["items"][0]["metadata"]["uid"].as_str().unwrap().to_owned();
    let pod = PodSpec::new("default", "web-0");
    api.apply_pod(&pod);
    let first = uid().await;
    api.apply_pod(&pod.clone().label("app", "web"));
    assert_eq!(uid().await, first);
    api.delete_pod("default", "web-0");
    api.apply_pod(&pod);
    assert_ne!(uid().await, first);

    let mut watch = Watch::begin(&api, "").await;
    assert_eq!(watch.change().await, "ADDED web-0");
    api.apply_pod(&pod.uid("chosen"));
    assert_eq!(uid().await, "chosen");
    assert_eq!([watch.change().await, watch.change().await], ["DELETED web-0", "ADDED web-0"]);
}

#[tokio::test]
async fn silent_deletions() {
    let api = KubeApi::start().await;
    let pod = |name: &str| PodSpec::new("default", name);
    api.apply_pod(&pod("web-0"));
    let mut watch = Watch::begin(&api, "").await;
    assert_eq!(watch.change().await, "ADDED web-0");
    assert!(api.delete_pod_silently("default", "web-0") && !api.delete_pod_silently("default", "web-0"));
    api.apply_pod(&pod("web-1"));
    assert_eq!(watch.change().await, "ADDED web-1");
    assert_eq!(list(&api, "").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn many_pods_in_pages() {
    const PODS: usize = 10_000;
    let api = KubeApi::start().await;
    for number in 0..PODS {
        api.apply_pod(&PodSpec::new("default", &format!("web-{number:06}")).label("app", "web").ballast(0));
    }
    let mut query = "labelSelector=app&limit=1000".to_owned();
    let mut found = 0;
    loop {
        let page = list(&api, &query).await;
        found += page["items"].as_array().unwrap().len();
        let Some(token) = page["metadata"]["continue"].as_str() else {
            break;
        };
        assert_eq!(page["metadata"]["remainingItemCount"], PODS - found);
        query = format!("limit=1000&continue={token}");
    }
    assert_eq!(found, PODS);
}
