//! What is in a report, and whom the tokens go to.

use fakes::kubelet::Kubelet;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::receiver::Answer;
use crate::world::{TOKEN, World, until};

/// What the pods of a report should say, computed from the kubelet's own answer.
fn expected(summary: &Value) -> Vec<Value> {
    let number = |value: &Value| value.as_u64();
    let pod = |pod: &Value| {
        let containers = pod["containers"].as_array().unwrap();
        let sum =
            |path: &str| containers.iter().map(|container| container.pointer(path).and_then(Value::as_u64)).sum::<Option<u64>>();
        let usage = |path: &str| pod.pointer(path).and_then(Value::as_u64).or_else(|| sum(path));
        let network = |field: &str| {
            let interfaces = pod["network"]["interfaces"].as_array();
            let eth0 = interfaces.and_then(|all| all.iter().find(|one| one["name"] == "eth0"));
            eth0.and_then(|eth0| number(&eth0[field]))
        };
        json!({
            "pod_id": pod["podRef"]["uid"], "namespace": pod["podRef"]["namespace"], "name": pod["podRef"]["name"],
            "cpu_usage_cores": usage("/cpu/usageNanoCores").map(|n| n as f64 / 1e9),
            "cpu_usage_cum": usage("/cpu/usageCoreNanoSeconds").map(|n| n as f64 / 1e9),
            "memory_usage_bytes": usage("/memory/workingSetBytes"),
            "net_tx_bytes": network("txBytes"), "net_rx_bytes": network("rxBytes"),
            "pod_start_time": pod["startTime"],
        })
    };
    summary["pods"].as_array().unwrap().iter().map(pod).collect()
}

#[tokio::test]
async fn reports_say_what_the_kubelet_says() {
    let world = World::start().await;
    world.kubelet.set_pods(110);
    let collector = world.collector(&["--hostname=host-1"]).await;
    let posts = world.taken(3).await;
    for (number, post) in posts.iter().take(3).enumerate() {
        let report = &post.json;
        let (told, pods) = (report["pods"].as_array().unwrap(), expected(&world.kubelet.summary(number as u64)));
        assert_eq!(told.len(), pods.len());
        for (told, pod) in told.iter().zip(&pods) {
            assert_eq!(told, pod, "report {number}");
        }
        assert_eq!((&report["node_name"], &report["hostname"]), (&json!("node-1"), &json!("host-1")));
        assert_eq!(report["ec2_instance_id"], Value::Null);
        assert_eq!((post.path.as_str(), post.header("content-type")), ("/metrics", "application/json"));
        // It is large enough to be packed.
        assert_eq!(post.header("content-encoding"), "zstd");
    }
    // Every kind of pod was among them.
    let first = posts[0].json["pods"].as_array().unwrap();
    assert!(first.iter().any(|pod| pod["net_tx_bytes"].is_null()) && first.iter().all(|pod| pod["cpu_usage_cum"].is_number()));
    assert!(first.iter().any(|pod| pod["pod_id"].as_str().unwrap().len() == 32));
    let times: Vec<Timestamp> = posts.iter().map(|post| post.timestamp().parse().unwrap()).collect();
    for (post, time) in posts.iter().zip(&times) {
        assert_eq!(post.timestamp(), format!("{time:.6}"));
    }
    assert_eq!(posts[0].json["interval_seconds"], Value::Null);
    for pair in [0, 1].map(|at| (&posts[at + 1], times[at + 1].duration_since(times[at]).as_secs_f64())) {
        let told = pair.0.json["interval_seconds"].as_f64().unwrap();
        assert!((told - pair.1).abs() < 0.05, "{told} is told of {}", pair.1);
    }
    let metrics = collector.metrics().await;
    assert_eq!(metrics.value("s3exporter_collect_pods"), Some(110.0));
    assert!(metrics.value("s3exporter_collect_reports_sent_total").unwrap() >= 3.0);
    assert!(metrics.value("s3exporter_collect_scrapes_total{outcome=\"success\"}").unwrap() >= 3.0);
    assert_eq!((collector.get("/livez").await.0, collector.get("/readyz").await.0), (200, 200));
    assert_eq!(collector.stop("TERM"), Some(0));
}

#[tokio::test]
async fn a_small_report_is_sent_as_it_is() {
    let world = World::start().await;
    world.kubelet.set_pods(3);
    let _collector = world.collector(&[]).await;
    let post = world.taken(1).await.remove(0);
    assert_eq!((post.header("content-encoding"), post.json["pods"].as_array().unwrap().len()), ("", 3));
}

#[tokio::test]
async fn a_kubelet_that_does_not_name_its_node_is_helped_out() {
    let world = World::start().await;
    let kubelet = Kubelet::builder().node("").start().await.unwrap();
    let endpoint = format!("--kubelet-endpoint={}", kubelet.endpoint());
    let _collector = world.collector(&[&endpoint, "--node-name=node-7"]).await;
    assert_eq!(world.taken(1).await[0].json["node_name"], "node-7");
}

/// Each token goes to whom it is for, however it is asked for.
#[tokio::test]
async fn tokens_go_to_their_own_peers_alone() {
    let world = World::start().await;
    let elsewhere = Kubelet::start().await;
    world.receiver.then([Answer::Redirect(elsewhere.endpoint()), Answer::Refuse(401, None)]);
    let push = world.file("push", "push-1");
    let collector = world.collector(&["--push-token-file", &push]).await;
    let posts = world.taken(1).await;
    assert!(posts.iter().all(|post| post.header("authorization") == "Bearer push-1"));
    // Both are renewed while it runs.
    world.file("push", "push-2\n");
    world.kubelet.require_token("renewed");
    world.file("token", "renewed");
    until("both are read again", || {
        let asked = world.kubelet.requests().last().map(|request| request.authorization.clone());
        let sent = world.receiver.posts().last().map(|post| post.header("authorization").to_owned());
        (asked.as_deref() == Some("Bearer renewed") && sent.as_deref() == Some("Bearer push-2")).then_some(())
    })
    .await;
    let asked = world.kubelet.requests();
    assert_eq!(asked[0].authorization, format!("Bearer {TOKEN}"));
    assert!(asked.iter().all(|request| request.path == "/stats/summary" && !request.authorization.contains("push")));
    assert!(world.receiver.posts().iter().all(|post| post.header("authorization").starts_with("Bearer push-")));
    assert!(elsewhere.requests().is_empty());
    let (log, page) = (collector.log_lines().concat(), collector.get("/").await.1);
    for secret in [TOKEN, "push-1", "push-2", "renewed"] {
        assert!(!log.contains(secret) && !page.contains(secret), "{secret} is told: {log}");
    }
}

#[tokio::test]
async fn without_a_token_file_the_push_endpoint_gets_none() {
    let world = World::start().await;
    let _collector = world.collector(&[]).await;
    assert_eq!(world.taken(1).await[0].header("authorization"), "");
}
