//! What leaves this program and whom it talks to: no credentials, no proxy, and only addresses of pods.

use fakes::pods::{Behaviour, Pod};

use crate::support;
use crate::world::{JOB, World, ask, failures, get, key, path_of, spec, until};

/// Whoever may label a pod would own whatever it is sent.
#[tokio::test]
async fn no_credentials_go_out() {
    let world = World::start().await;
    world.api.require_token("the-token-of-the-api");
    let pod = world.healthy("a").await;
    let exporter = world.exporter(&[]).await;
    let headers = [("authorization", "Bearer of-the-client"), ("cookie", "a=b"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(get(exporter.address, &path_of(JOB), &headers).await.well().healthy(), ["a"]);
    let mut names: Vec<String> = pod.requests()[0].headers.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    let known = ["accept", "accept-encoding", "connection", "host", "user-agent", "x-prometheus-scrape-timeout-seconds"];
    assert_eq!(names, known);
    let requests = world.api.requests();
    assert!(requests.iter().any(|request| request.authorization == "Bearer the-token-of-the-api"));
}

#[tokio::test]
async fn proxies_of_the_environment_are_neither_for_pods_nor_for_the_api() {
    let (proxy, world) = (Pod::start(Behaviour::text("proxy 1\n")).await, World::start().await);
    let _pod = world.healthy("a").await;
    let mut command = world.command(&["--podmetrics-allow-cidr=127.0.0.0/8"]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"] {
        command.env(name, format!("http://{}", proxy.address()));
    }
    let exporter = world.exporter_of(command).await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a"]);
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn addresses_that_only_this_machine_reaches_are_not_scraped() {
    let world = World::start().await;
    let pod = world.healthy("loopback").await;
    let address = |text: &str| spec(text, &pod).without_ips().ip_text(text);
    let refused = ["169.254.169.254", "169.254.0.7", "0.0.0.0", "::", "::1", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1"];
    for text in refused {
        world.api.apply_pod(&address(text));
    }
    let exporter = world.exporter_of(world.command(&[])).await;
    let answer = ask(&exporter, JOB).await;
    assert!(answer.healthy().is_empty());
    for name in refused.iter().chain(&["loopback"]) {
        assert_eq!(answer.reason(name).as_deref(), Some("refused_address"), "{name}");
    }
    assert_eq!(failures(&exporter, "refused_address").await, 9.0);
    assert_eq!(pod.connections(), 0);
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("a loopback address is not scraped") && page.contains("metadata"), "{page}");
}

#[tokio::test]
async fn a_range_allows_what_it_holds_and_nothing_else() {
    let world = World::start().await;
    let (one, other) = (world.healthy("one").await, world.healthy("other").await);
    let range = format!("--podmetrics-allow-cidr=10.0.0.0/8,{}/32", one.ip());
    let exporter = world.exporter_of(world.command(&[&range])).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.healthy(), ["one"]);
    assert_eq!((answer.reason("other").as_deref(), other.connections()), (Some("refused_address"), 0));
}

#[tokio::test]
async fn the_network_of_a_node_is_scraped_only_if_that_is_allowed() {
    let world = World::start().await;
    let pod = world.healthy("a").await;
    world.api.apply_pod(&spec("a", &pod).host_network(true));
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!((answer.up("a"), answer.reason("a").as_deref()), (Some(0.0), Some("host_network")));
    assert_eq!(pod.connections(), 0);
    let exporter = world.exporter(&["--allow-host-network"]).await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a"]);
}

/// Settings that cannot be used end it at once, with one line that says which.
#[tokio::test]
async fn what_cannot_be_used_is_told_in_one_line() {
    let world = World::start().await;
    let junk = world.file("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let api_token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let token = |file: &str| format!("--podmetrics-token-file={file}");
    let cases: Vec<(Vec<String>, &str)> = vec![
        (
            vec![token(api_token), "--podmetrics-token-audience=pods".into(), "--podmetrics-token-namespace=default".into()],
            "speaks for this exporter to the Kubernetes API",
        ),
        (vec![token("/run/token"), "--podmetrics-token-namespace=default".into()], "podmetrics.token needs"),
        (vec![token("/run/token"), "--podmetrics-token-audience=pods".into()], "podmetrics.token needs"),
        (vec!["--podmetrics-token-namespace=default".into()], "podmetrics.token needs"),
        (vec!["--podmetrics-label-prefix=a b/".into()], "podmetrics.label_prefix"),
        (vec!["--podmetrics-concurrency=0".into()], "podmetrics.concurrency must be above zero"),
        (vec!["--podmetrics-target-limit=0".into()], "podmetrics.limits.targets must be above zero"),
        (vec!["--podmetrics-address=9341".into()], "podmetrics.address"),
        (vec![format!("--podmetrics-ca-bundle={junk}")], "CA bundle"),
        (vec!["--podmetrics-ca-bundle=/nowhere.pem".into()], "cannot read the CA bundle /nowhere.pem"),
    ];
    for (args, expected) in cases {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = world.command(&args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    for (args, expected) in [("--podmetrics-allow-cidr=10.0.0.0/33", "10.0.0.0/33"), ("--ip-family=ipv5", "ipv5")] {
        let output = world.command(&[args]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{args}: {said}");
    }
}

/// Without a way to the API it does not start, and says why.
#[tokio::test]
async fn without_a_cluster_it_does_not_start() {
    let output = support::run(&["--address=127.0.0.1:0", "--no-inventory", "--podmetrics"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the pods whose metrics are asked for are found by Kubernetes"), "{said}");
}

/// Who hides a pod behind a name finds that names are not resolved: the address in the status counts, whatever labels say.
#[tokio::test]
async fn labels_cannot_lead_elsewhere() {
    let world = World::start().await;
    let elsewhere = Pod::start(Behaviour::text("elsewhere 1\n")).await;
    let pod = world.healthy("a").await;
    let endpoints = [format!("@{}/metrics", elsewhere.address()), format!("/../..//{}/", elsewhere.address())];
    let exporter = world.exporter(&[]).await;
    for endpoint in endpoints {
        world.api.apply_pod(&spec("a", &pod).annotation(&key("endpoint"), &endpoint));
        let asked = || pod.requests().iter().any(|request| request.path_and_query.ends_with(&*endpoint));
        until(&exporter, "the pod is asked", |answer| answer.reason("a").is_some() || asked()).await;
    }
    assert_eq!(elsewhere.connections(), 0);
}
