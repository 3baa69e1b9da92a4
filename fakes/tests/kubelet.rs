//! The kubelet and the metadata service, as clients see them.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::time::Duration;

use fakes::imds::{Imds, ImdsMode};
use fakes::kubelet::{Kind, Kubelet, KubeletFault};
use reqwest::{Client, StatusCode};
use serde_json::Value;

fn client() -> Client {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0);
    builder.no_proxy().timeout(Duration::from_secs(60)).build().unwrap()
}

async fn ask(kubelet: &Kubelet) -> reqwest::Result<String> {
    let response = client().get(format!("{}/stats/summary", kubelet.endpoint())).send().await?;
    response.error_for_status()?.text().await
}

async fn summary(kubelet: &Kubelet) -> Value {
    serde_json::from_str(&ask(kubelet).await.unwrap()).unwrap()
}

#[tokio::test]
async fn pods_use_more_with_each_answer() {
    let kubelet = Kubelet::start().await;
    let (first, second) = (summary(&kubelet).await, summary(&kubelet).await);
    assert_eq!((&first, &second), (&kubelet.summary(0), &kubelet.summary(1)));
    let used = |summary: &Value, pod: usize| summary["pods"][pod]["cpu"]["usageCoreNanoSeconds"].as_u64();
    assert_eq!((used(&first, 0), used(&second, 0)), (Some(150_000_000), Some(300_000_000)));
    assert_eq!((first["node"]["nodeName"].as_str(), first["pods"].as_array().unwrap().len()), (Some("node-1"), 10));
    for (number, pod) in first["pods"].as_array().unwrap().iter().enumerate() {
        let (cpu, network) = (!pod["cpu"].is_null(), &pod["network"]);
        assert_eq!(cpu, Kind::of(number) != Kind::ContainersAlone);
        assert_eq!(network.is_null(), Kind::of(number) == Kind::HostNetwork);
        assert_eq!(network["rxBytes"].is_null(), matches!(Kind::of(number), Kind::HostNetwork | Kind::InterfacesAlone));
        assert!(pod["containers"][1]["memory"]["workingSetBytes"].is_u64() && pod["podRef"]["uid"].is_string());
    }
    kubelet.set_pods(3);
    assert_eq!(summary(&kubelet).await["pods"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn only_who_has_the_token_is_answered() {
    let kubelet = Kubelet::builder().token("secret").start().await.unwrap();
    assert_eq!(ask(&kubelet).await.unwrap_err().status(), Some(StatusCode::UNAUTHORIZED));
    let request = client().get(format!("{}/stats/summary", kubelet.endpoint())).bearer_auth("secret");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let sent: Vec<String> = kubelet.requests().into_iter().map(|request| request.authorization).collect();
    assert_eq!(sent, ["", "Bearer secret"]);
}

#[tokio::test]
async fn its_certificate_is_of_its_own_authority() {
    let kubelet = Kubelet::builder().tls(&["127.0.0.1"]).start().await.unwrap();
    assert!(kubelet.endpoint().starts_with("https://") && ask(&kubelet).await.is_err());
    let ca = reqwest::Certificate::from_pem(kubelet.ca_pem().as_bytes()).unwrap();
    let trusting = Client::builder().no_proxy().add_root_certificate(ca).build().unwrap();
    let answer = trusting.get(format!("{}/stats/summary", kubelet.endpoint())).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn faults() {
    let kubelet = Kubelet::start().await;
    kubelet.set_fault(Some(KubeletFault::Status(500)));
    assert_eq!(ask(&kubelet).await.unwrap_err().status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
    kubelet.set_fault(Some(KubeletFault::Truncated));
    let broken = ask(&kubelet).await.unwrap_err();
    assert!(broken.is_decode() || broken.is_body(), "{broken:?}");
    kubelet.set_fault(Some(KubeletFault::Garbage));
    assert!(serde_json::from_str::<Value>(&ask(&kubelet).await.unwrap()).is_err());
    kubelet.set_fault(Some(KubeletFault::Reset));
    assert!(ask(&kubelet).await.unwrap_err().is_request());
    kubelet.set_fault(Some(KubeletFault::Body("{}".to_owned())));
    assert_eq!(ask(&kubelet).await.unwrap(), "{}");
    kubelet.set_fault(Some(KubeletFault::Redirect("http://127.0.0.1:9/".to_owned())));
    let moved = client().get(format!("{}/stats/summary", kubelet.endpoint())).send().await.unwrap();
    assert_eq!((moved.status(), &moved.headers()["location"]), (StatusCode::FOUND, &"http://127.0.0.1:9/".parse().unwrap()));
    kubelet.set_fault(Some(KubeletFault::Hang));
    let asked = kubelet.requests().len();
    tokio::select! {
        answer = ask(&kubelet) => panic!("{answer:?}"),
        () = async { while kubelet.requests().len() == asked { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
    }
    kubelet.set_fault(None);
    // What broke off counts as an answer.
    assert!(
        [1, 2].contains(&(summary(&kubelet).await["pods"][0]["cpu"]["usageCoreNanoSeconds"].as_u64().unwrap() / 150_000_000 - 1))
    );
    kubelet.stop().await;
    assert!(ask(&kubelet).await.unwrap_err().is_connect());
    kubelet.resume().await;
    summary(&kubelet).await;
}

/// Codes of a request for a token with this time to live, of one for the id with that token, and of one without.
async fn versions(mode: ImdsMode, ttl: &str) -> (u16, u16, u16) {
    let imds = Imds::start("i-0abc", mode).await;
    let (put, get) =
        (format!("{}/latest/api/token", imds.endpoint()), format!("{}/latest/meta-data/instance-id", imds.endpoint()));
    let token = client().put(put).header("X-aws-ec2-metadata-token-ttl-seconds", ttl).send().await.unwrap();
    let first = token.status().as_u16();
    let token = token.text().await.unwrap();
    let with = client().get(&get).header("X-aws-ec2-metadata-token", if first == 200 { &token } else { "wrong" });
    let (with, without) = (with.send().await.unwrap().status(), client().get(&get).send().await.unwrap().status());
    let requests = imds.requests();
    assert_eq!((requests.len(), requests[0].ttl.as_str(), requests[1].token, requests[2].token), (3, ttl, true, false));
    (first, with.as_u16(), without.as_u16())
}

#[tokio::test]
async fn versions_of_the_metadata_service() {
    assert_eq!(versions(ImdsMode::Both, "21600").await, (200, 200, 200));
    assert_eq!(versions(ImdsMode::V2, "1").await, (200, 200, 401));
    assert_eq!(versions(ImdsMode::V1, "60").await, (404, 401, 200));
    assert_eq!(versions(ImdsMode::Off, "60").await, (403, 403, 403));
    for ttl in ["0", "21601", "", "soon"] {
        assert_eq!(versions(ImdsMode::Both, ttl).await.0, 400, "{ttl}");
    }
}
