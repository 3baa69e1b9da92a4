//! The API server: lists in pages, watches, and the outages that a test can ask for.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::time::Duration;

use fakes::kube_api::{CLUSTERS, KubeApi};
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// A watch from the beginning.
const WATCH: &str = "/apis/kubermatic.k8c.io/v1/clusters?watch=true";

/// Waits for nothing longer than this: no test hangs.
const PATIENCE: Duration = Duration::from_secs(5);

fn client() -> Client {
    Client::builder().tls_built_in_root_certs(false).build().unwrap()
}

async fn get(api: &KubeApi, path: &str) -> Response {
    client().get(format!("{}{path}", api.endpoint())).send().await.unwrap()
}

async fn json_of(api: &KubeApi, path: &str) -> Value {
    parsed(get(api, path).await).await
}

async fn parsed(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

/// The lines of a running watch.
struct Lines {
    response: Response,
    buffer: String,
}

impl Lines {
    async fn of(api: &KubeApi, path: &str) -> Self {
        Self { response: get(api, path).await, buffer: String::new() }
    }

    /// The next line; `None` at an orderly end, the half line and the error at a broken one.
    async fn line(&mut self) -> Result<Option<String>, String> {
        loop {
            if let Some((line, rest)) = self.buffer.split_once('\n') {
                let line = line.to_owned();
                self.buffer = rest.to_owned();
                return Ok(Some(line));
            }
            match tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("a line in time") {
                Ok(None) => return Ok(None),
                Ok(Some(chunk)) => self.buffer += std::str::from_utf8(&chunk).unwrap(),
                Err(_) => return Err(self.buffer.clone()),
            }
        }
    }

    /// Type and name of the next event.
    async fn event(&mut self) -> (String, String) {
        let event = self.json().await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await.unwrap().unwrap()).unwrap()
    }
}

fn event(change: &str, name: &str) -> (String, String) {
    (change.to_owned(), name.to_owned())
}

#[tokio::test]
async fn lists_in_pages_from_one_moment() {
    let api = KubeApi::start().await;
    for name in ["c", "a", "b"] {
        api.apply_cluster(name);
    }
    let whole = json_of(&api, CLUSTERS).await;
    assert_eq!((whole["kind"].as_str(), whole["apiVersion"].as_str()), (Some("ClusterList"), Some("kubermatic.k8c.io/v1")));
    assert_eq!(names(&whole), ["a", "b", "c"]);
    assert!(whole["items"][0].to_string().len() > 2_000);

    let first = json_of(&api, &format!("{CLUSTERS}?limit=2")).await;
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(1)));
    api.apply_cluster("d");
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = json_of(&api, &format!("{CLUSTERS}?limit=2&continue={token}")).await;
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);

    api.set_page_size(1);
    let small = json_of(&api, &format!("{CLUSTERS}?limit=500")).await;
    assert_eq!(names(&small), ["a"]);
    api.expire_continue_tokens();
    let token = small["metadata"]["continue"].as_str().unwrap();
    let expired = json_of(&api, &format!("{CLUSTERS}?limit=500&continue={token}")).await;
    assert_eq!((&expired["code"], &expired["reason"]), (&json!(410), &json!("Expired")));
}

#[tokio::test]
async fn namespaces_selectors_and_metadata_only() {
    let api = KubeApi::start().await;
    for (namespace, name, node) in [("one", "a", "n1"), ("two", "a", "n2"), ("two", "b", "n1")] {
        let metadata = json!({ "namespace": namespace, "name": name, "labels": { "app": name } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "nodeName": node } });
        api.apply("/api/v1/pods", pod);
    }
    assert_eq!(names(&json_of(&api, "/api/v1/pods").await), ["a", "a", "b"]);
    assert_eq!(names(&json_of(&api, "/api/v1/namespaces/two/pods").await), ["a", "b"]);
    assert_eq!(names(&json_of(&api, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&labelSelector=app%3Db").await), ["b"]);
    assert_eq!(json_of(&api, "/api/v1/namespaces/two/pods/b").await["spec"]["nodeName"], "n1");
    assert_eq!(get(&api, "/api/v1/namespaces/one/pods/b").await.status(), 404);
    assert!(api.delete("/api/v1/pods", "b", Some("two")));

    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let url = format!("{}/api/v1/pods", api.endpoint());
    let list = parsed(client().get(&url).header("accept", accept).send().await.unwrap()).await;
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&json!("PartialObjectMetadataList"), &json!("PartialObjectMetadata"))
    );
    assert!(list["items"][0]["spec"].is_null() && list["items"][0]["metadata"]["labels"]["app"] == "a");
    assert_eq!(api.requests().last().unwrap().accept, accept);
}

#[tokio::test]
async fn watches_see_changes() {
    let api = KubeApi::start().await;
    api.apply_cluster("a");
    let list = json_of(&api, CLUSTERS).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut from_start = Lines::of(&api, WATCH).await;
    let mut from_list = Lines::of(&api, &format!("{WATCH}&resourceVersion={version}&allowWatchBookmarks=true")).await;
    assert_eq!(from_start.event().await, event("ADDED", "a"));
    api.apply_cluster("b");
    api.apply_cluster("a");
    api.delete_cluster("b");
    for lines in [&mut from_start, &mut from_list] {
        assert_eq!(lines.event().await, event("ADDED", "b"));
        assert_eq!(lines.event().await, event("MODIFIED", "a"));
        assert_eq!(lines.event().await, event("DELETED", "b"));
    }
    api.send_bookmarks();
    let bookmark = from_list.json().await;
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!("Cluster")));
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], (version.parse::<u64>().unwrap() + 3).to_string());
    api.wait_for_watches(2).await;
    drop(from_list);
    api.wait_for_watches(1).await;
}

#[tokio::test]
async fn streaming_lists_timeouts_and_bookmark_intervals() {
    let api = KubeApi::start().await;
    api.apply_cluster("a");
    api.set_bookmark_interval(Duration::from_millis(10));
    let streaming = format!("{WATCH}&sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=1");
    assert_eq!(get(&api, &streaming).await.status(), 422);
    let mut lines = Lines::of(&api, &format!("{streaming}&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(lines.event().await, event("ADDED", "a"));
    assert_eq!(lines.json().await["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(lines.json().await["type"], "BOOKMARK");
    while let Some(line) = lines.line().await.unwrap() {
        assert!(line.contains("BOOKMARK"));
    }
}

#[tokio::test]
async fn watches_expire_break_and_hang() {
    let api = KubeApi::start().await;
    api.apply_cluster("a");
    let list = json_of(&api, CLUSTERS).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();

    let mut expiring = Lines::of(&api, &format!("{WATCH}&resourceVersion={version}")).await;
    api.expire_watches();
    let error = expiring.json().await;
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(expiring.line().await, Ok(None));
    assert_eq!(get(&api, &format!("{WATCH}&resourceVersion={version}")).await.status(), 410);

    let mut breaking = Lines::of(&api, WATCH).await;
    assert_eq!(breaking.event().await, event("ADDED", "a"));
    api.break_watches();
    assert!(breaking.line().await.unwrap_err().starts_with("{\"type\""));

    let mut hanging = Lines::of(&api, WATCH).await;
    assert_eq!(hanging.event().await, event("ADDED", "a"));
    api.hang(true);
    api.apply_cluster("b");
    let short = Duration::from_millis(100);
    assert!(tokio::time::timeout(short, get(&api, CLUSTERS)).await.is_err());
    assert!(tokio::time::timeout(short, hanging.line()).await.is_err());
    api.hang(false);
    assert_eq!(hanging.event().await, event("ADDED", "b"));
}

#[tokio::test]
async fn refusals_and_garbage() {
    let api = KubeApi::start().await;
    api.apply_cluster("a");
    api.fail_with(429, Some(1));
    let busy = get(&api, CLUSTERS).await;
    assert_eq!((busy.status().as_u16(), &busy.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(get(&api, CLUSTERS).await.status(), 200);
    api.fail_with(500, None);
    assert_eq!(get(&api, CLUSTERS).await.status(), 500);
    assert_eq!(get(&api, CLUSTERS).await.status(), 500);
    api.clear_failures();

    let mut ending = Lines::of(&api, WATCH).await;
    assert_eq!(ending.event().await, event("ADDED", "a"));
    api.absent(CLUSTERS, true);
    assert_eq!(ending.line().await, Ok(None));
    assert_eq!(json_of(&api, CLUSTERS).await["reason"], "NotFound");
    api.absent(CLUSTERS, false);

    api.garbage(true);
    assert!(get(&api, CLUSTERS).await.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    let mut half = Lines::of(&api, &format!("{WATCH}&resourceVersion=1001")).await;
    assert!(serde_json::from_str::<Value>(&half.line().await.unwrap().unwrap()).is_err());
    api.garbage(false);

    api.require_token("secret");
    assert_eq!(get(&api, CLUSTERS).await.status(), 401);
    let dir = tempfile::tempdir().unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(api.kubeconfig(dir.path())).unwrap()).unwrap();
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    let url = format!("{}{CLUSTERS}", config["clusters"][0]["cluster"]["server"].as_str().unwrap());
    assert_eq!(client().get(url).bearer_auth(token).send().await.unwrap().status(), 200);

    api.stop_listening().await;
    assert!(client().get(api.endpoint()).send().await.unwrap_err().is_connect());
    api.resume().await;
    assert_eq!(get(&api, CLUSTERS).await.status(), 401);
}
