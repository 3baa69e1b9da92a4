//! Nodes, claims, volumes, owners and namespaces in the API, token reviews, and roles that do not allow something.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::collections::BTreeSet;

use fakes::kube_api::{
    CLAIMS, ClaimSpec, JOBS, KnownToken, KubeApi, NAMESPACES, NODES, NodeSpec, OwnerSpec, PODS, PodSpec, Population,
    REPLICA_SETS, TOKEN_REVIEWS, VOLUMES, VolumeSpec,
};
use reqwest::Client;
use serde_json::{Value, json};

fn client() -> Client {
    Client::builder().tls_built_in_root_certs(false).build().unwrap()
}

async fn get(api: &KubeApi, path: &str) -> Value {
    let response = client().get(format!("{}{path}", api.endpoint())).send().await.unwrap();
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().unwrap()
}

#[tokio::test]
async fn all_kinds_are_listed_under_their_paths() {
    let api = KubeApi::start().await;
    // Also of what has no objects yet, lists say what they are lists of.
    for (path, kind) in [
        (CLAIMS, "PersistentVolumeClaimList"),
        (VOLUMES, "PersistentVolumeList"),
        (REPLICA_SETS, "ReplicaSetList"),
        (NODES, "NodeList"),
    ] {
        assert_eq!(get(&api, path).await["kind"], kind);
    }
    api.apply_node(&NodeSpec::new("n1").cluster("prod").capacity("cpu", "7910m").provider_id("aws:///eu-central-1a/i-0"));
    api.apply_claim(&ClaimSpec::new("shop", "data").volume("pv-1").class("gp3").requested("2Ti"));
    api.apply_volume(&VolumeSpec::csi("pv-1", "ebs.csi.aws.com", "vol-1").capacity("2Ti"));
    api.apply_owner(&OwnerSpec::replica_set("shop", "web-1").owner("Deployment", "web"));
    api.apply_owner(&OwnerSpec::job("shop", "report-1").owner("CronJob", "report"));
    api.apply_namespace("kube-system", Some("the-cluster"));
    api.apply_namespace("shop", None);

    let node = &get(&api, NODES).await["items"][0];
    assert_eq!(node["metadata"]["annotations"]["cluster.x-k8s.io/cluster-name"], "prod");
    assert_eq!([&node["status"]["capacity"]["cpu"], &node["spec"]["providerID"]], ["7910m", "aws:///eu-central-1a/i-0"]);
    let claim = get(&api, "/api/v1/namespaces/shop/persistentvolumeclaims/data").await;
    assert_eq!((&claim["status"]["phase"], &claim["status"]["capacity"]["storage"]), (&json!("Bound"), &json!("2Ti")));
    assert_eq!(get(&api, VOLUMES).await["items"][0]["spec"]["csi"]["volumeHandle"], "vol-1");
    for (path, kind) in [(REPLICA_SETS, "Deployment"), (JOBS, "CronJob")] {
        assert_eq!(get(&api, path).await["items"][0]["metadata"]["ownerReferences"][0]["kind"], kind);
    }
    let one = get(&api, &format!("{NAMESPACES}?fieldSelector=metadata.name%3Dkube-system")).await;
    assert_eq!((items(&one).len(), &one["items"][0]["metadata"]["uid"]), (1, &json!("the-cluster")));
}

#[tokio::test]
async fn what_no_role_allows_is_403_and_nothing_else_is() {
    let api = KubeApi::start().await;
    api.apply_pod(&PodSpec::new("default", "a"));
    api.forbid(PODS, true);
    let refusal = get(&api, PODS).await;
    assert_eq!((&refusal["code"], &refusal["reason"]), (&json!(403), &json!("Forbidden")));
    assert_eq!(get(&api, "/api/v1/pods?watch=true").await["code"], 403);
    assert_eq!(get(&api, NODES).await["kind"], "NodeList");
    api.forbid(PODS, false);
    assert_eq!(items(&get(&api, PODS).await).len(), 1);
}

#[tokio::test]
async fn tokens_are_reviewed() {
    let api = KubeApi::start().await;
    let user = "system:serviceaccount:monitoring:collect";
    api.know_token("good", KnownToken::of(user).audiences(&["usage"]).node("n1"));
    api.know_token("api", KnownToken::of(user));
    let review = async |token: &str, audiences: Value| {
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token, "audiences": audiences } });
        let response = client().post(format!("{}{TOKEN_REVIEWS}", api.endpoint())).body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        let review: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        (status, review["status"].clone())
    };
    let (code, good) = review("good", json!(["usage", "other"])).await;
    assert_eq!((code, &good["authenticated"], &good["audiences"]), (201, &json!(true), &json!(["usage"])));
    assert_eq!(
        (&good["user"]["username"], &good["user"]["extra"]["authentication.kubernetes.io/node-name"]),
        (&json!(user), &json!(["n1"]))
    );
    for (token, audiences) in
        [("good", json!([])), ("good", json!(["other"])), ("api", json!(["usage"])), ("bad", json!(["usage"]))]
    {
        let (code, status) = review(token, audiences.clone()).await;
        assert!(code == 201 && status["authenticated"].is_null() && status["error"].is_string(), "{token} {audiences}: {status}");
    }
    assert_eq!(review("api", Value::Null).await.1["authenticated"], true);
    api.forget_token("good");
    assert!(review("good", json!(["usage"])).await.1["authenticated"].is_null());
    assert_eq!(api.token_reviews(), 7);
    api.forbid(TOKEN_REVIEWS, true);
    assert_eq!(review("api", Value::Null).await.0, 403);
}

#[tokio::test]
async fn what_the_nodes_of_a_population_report_is_there() {
    let api = KubeApi::start().await;
    let population = Population::new(3, 40);
    api.populate(&population);
    let pods = get(&api, PODS).await;
    let id = |pod: &Value| {
        let hash = &pod["metadata"]["annotations"]["kubernetes.io/config.hash"];
        let id = if hash.is_null() { &pod["metadata"]["uid"] } else { hash };
        [id, &pod["metadata"]["namespace"], &pod["metadata"]["name"]].map(|text| text.as_str().unwrap().to_owned())
    };
    let there: BTreeSet<_> = items(&pods).iter().map(id).collect();
    let mut reported = BTreeSet::new();
    for node in 0..3 {
        let report = population.report(node, "2026-02-01T00:00:00Z", 0);
        for pod in report["pods"].as_array().unwrap() {
            reported.insert(["pod_id", "namespace", "name"].map(|field| pod[field].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!((there.len(), &there), (120, &reported));
    assert_eq!((items(&get(&api, CLAIMS).await).len(), items(&get(&api, VOLUMES).await).len()), (18, 18));
    let owners: BTreeSet<String> =
        items(&pods).iter().map(|pod| pod["metadata"]["ownerReferences"][0]["kind"].to_string()).collect();
    assert_eq!(owners.len(), 5);
}
