//! A kubelet that is not trusted, or does not do what it should.

use fakes::kubelet::{Kubelet, KubeletFault};

use crate::support::command;
use crate::world::{TOKEN, World, run, until};

#[tokio::test]
async fn a_kubelet_that_nobody_vouches_for_gets_no_token() {
    let world = World::start().await;
    let stranger = Kubelet::builder().tls(&["127.0.0.1"]).start().await.unwrap();
    let endpoint = format!("--kubelet-endpoint={}", stranger.endpoint());
    let (code, _, error) = run(world.command(&[&endpoint, "--max-consecutive-failures=2"])).await;
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("certificate is not trusted") && error.contains("--kubelet-ca"), "{error}");
    assert!(stranger.requests().is_empty() && world.receiver.posts().is_empty());
    // Nor does the right authority vouch for another name.
    let other = Kubelet::builder().tls(&["node-1"]).token(TOKEN).start().await.unwrap();
    let ca = world.file("other.pem", other.ca_pem());
    let flags = [format!("--kubelet-endpoint={}", other.endpoint()), format!("--kubelet-ca={ca}")];
    let (code, _, error) = run(world.command(&[&flags[0], &flags[1], "--max-consecutive-failures=1"])).await;
    assert!(code == Some(1) && error.contains("certificate is not trusted"), "{error}");
    assert!(other.requests().is_empty());
    // The name of the node is looked up nowhere.
    let endpoint = format!("--kubelet-endpoint=https://node-1:{}", other.address().port());
    let _collector = world.collector(&[&endpoint, &flags[1], "--node-name=node-1", "--node-ip=127.0.0.1"]).await;
    world.taken(1).await;
}

#[tokio::test]
async fn verification_can_be_switched_off_and_the_log_says_so() {
    let world = World::start().await;
    let stranger = Kubelet::builder().tls(&["elsewhere"]).token(TOKEN).start().await.unwrap();
    let endpoint = format!("--kubelet-endpoint={}", stranger.endpoint());
    let collector = world.collector(&[&endpoint, "--kubelet-insecure-tls"]).await;
    world.taken(1).await;
    assert!(collector.log_lines().iter().any(|line| line.contains("WARN") && line.contains("not verified")));
}

#[tokio::test]
async fn too_many_failures_in_a_row_end_the_process() {
    let world = World::start().await;
    world.kubelet.set_fault(Some(KubeletFault::Status(500)));
    let (code, _, error) = run(world.command(&["--max-consecutive-failures=3"])).await;
    assert_eq!((code, world.kubelet.requests().len()), (Some(1), 3), "{error}");
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains("failed 3 times in a row") && last.contains("500"), "{last}");
}

#[tokio::test]
async fn reports_go_on_when_the_kubelet_is_well_again() {
    let world = World::start().await;
    let collector = world.collector(&["--max-consecutive-failures=1000000"]).await;
    let mut taken = world.taken(1).await.len();
    let faults = [
        KubeletFault::Status(500),
        KubeletFault::Hang,
        KubeletFault::Truncated,
        KubeletFault::Garbage,
        KubeletFault::Reset,
        KubeletFault::Redirect(format!("http://{}/stats/summary", world.receiver.address)),
        KubeletFault::Body("{}".to_owned()),
        KubeletFault::Body(r#"{"node":{"nodeName":"n"},"pods":[{"podRef""#.to_owned()),
    ];
    for fault in faults {
        let failed = "s3exporter_collect_scrapes_total{outcome=\"failure\"}";
        let before = collector.metrics().await.value(failed).unwrap();
        world.kubelet.set_fault(Some(fault.clone()));
        collector
            .until(&format!("{fault:?} is seen"), async |collector| {
                (collector.metrics().await.value(failed).unwrap() > before).then_some(())
            })
            .await;
        world.kubelet.set_fault(None);
        taken = world.taken(taken + 1).await.len();
    }
    // What failed was reported as nothing else, and the interval of the next report goes back to the last measurement.
    assert!(world.receiver.posts().iter().all(|post| post.json["pods"].as_array().unwrap().len() == 10));
    collector.until_metric("s3exporter_collect_consecutive_failures", 0.0).await;
}

#[tokio::test]
async fn a_kubelet_that_refuses_says_what_is_missing() {
    let world = World::start().await;
    world.kubelet.require_token("another");
    let (code, _, error) = run(world.command(&["--max-consecutive-failures=1"])).await;
    assert!(code == Some(1) && error.contains("`get` `nodes/stats`") && error.contains("401"), "{error}");
    let missing = world.folder.path().join("nowhere");
    let flag = format!("--kubelet-token-file={}", missing.display());
    let (code, _, error) = run(world.command(&[&flag, "--max-consecutive-failures=1"])).await;
    assert!(code == Some(1) && error.contains("cannot use the token"), "{error}");
}

/// Over plain HTTP no token goes to another machine; what is asked is this machine, by a name of its own.
#[tokio::test]
async fn plain_http_is_for_this_machine() {
    let world = World::start().await;
    let plain = Kubelet::builder().token(TOKEN).start().await.unwrap();
    let endpoint = format!("--kubelet-endpoint={}", plain.endpoint());
    let _collector = world.collector(&[&endpoint]).await;
    world.taken(1).await;
    let named = format!("--kubelet-endpoint=http://node-1:{}", plain.address().port());
    let node = ["--node-name=node-1", "--node-ip=127.0.0.1", "--max-consecutive-failures=1"];
    let before = plain.requests().len();
    let (code, _, error) = run(world.command(&[&[named.as_str()], &node[..]].concat())).await;
    assert!(code == Some(1) && error.contains("gets no token") && error.contains("401"), "{error}");
    assert!(plain.requests()[before..].iter().any(|request| request.authorization.is_empty()));
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked_for_the_kubelet() {
    let world = World::start().await;
    let mut proxied = command(&["collect", "--once"]);
    proxied.args(world.kubelet_flags()).env("HTTPS_PROXY", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9");
    let (code, out, error) = run(proxied).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("\"node_name\": \"node-1\""), "{out}");
    until("it was asked", || (!world.kubelet.requests().is_empty()).then_some(())).await;
}
