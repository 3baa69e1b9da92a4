//! Which pods are scraped, and what is said to those who ask for others.

use fakes::kube_api::PodSpec;
use fakes::pods::{Behaviour, Pod};

use crate::support::Exporter;
use crate::world::{JOB, World, ask, get, key, metric, ours, path_of, spec, until};

#[tokio::test]
async fn only_running_pods_with_an_address_and_no_deletion_mark_are_scraped() {
    let world = World::start().await;
    let _healthy = world.healthy("healthy").await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    let never = |name: &str| spec(name, &pod);
    for spec in [
        never("pending").phase("Pending"),
        never("succeeded").phase("Succeeded"),
        never("failed").phase("Failed"),
        never("unknown").phase("Unknown"),
        never("deleting").deletion_timestamp("2026-01-01T00:00:00Z"),
        never("homeless").without_ips(),
        never("nonsense").without_ips().ip_text("not-an-address"),
    ] {
        world.api.apply_pod(&spec);
    }
    world.api.apply_pod(&never("without-label").without_label(&key("job-name")));
    let exporter = world.exporter(&[]).await;
    assert_eq!(ask(&exporter, JOB).await.targets(), [("healthy".to_owned(), true)]);
    assert!(pod.requests().is_empty());
    assert_eq!(metric(&exporter, &ours("pods{state=\"waiting\"}")).await, 7.0);
    assert_eq!(metric(&exporter, &ours("pods{state=\"scrapable\"}")).await, 1.0);

    // As soon as it runs, it is scraped; as soon as somebody deletes it, it is not.
    world.api.apply_pod(&never("pending"));
    until(&exporter, "the pod runs", |answer| answer.up("pending") == Some(1.0)).await;
    world.api.apply_pod(&never("pending").deletion_timestamp("2026-01-01T00:00:00Z"));
    until(&exporter, "the pod is being deleted", |answer| answer.up("pending").is_none()).await;
}

#[tokio::test]
async fn pods_come_change_and_go() {
    let world = World::start().await;
    let _a = world.healthy("a").await;
    let exporter = world.exporter(&[]).await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a"]);
    let _b = world.healthy("b").await;
    until(&exporter, "the new pod is there", |answer| answer.healthy() == ["a", "b"]).await;
    let moved = Pod::start(Behaviour::text("moved 1\n")).await;
    world.api.apply_pod(&spec("a", &moved));
    until(&exporter, "the pod has another address", |answer| answer.value("moved", "a") == Some(1.0)).await;
    assert!(world.api.delete_pod("default", "a"));
    until(&exporter, "the pod is gone", |answer| answer.healthy() == ["b"]).await;
    assert!(world.api.delete_pod("default", "b"));
    let gone = until(&exporter, "the job is gone", |answer| answer.status == 404).await;
    assert!(gone.text.contains("no pod has the label metrics-aggregator.apawel.me/job-name"), "{}", gone.text);
}

#[tokio::test]
async fn a_pod_of_the_same_name_is_another_pod() {
    let world = World::start().await;
    let (old, new) = (Pod::start(Behaviour::text("old 1\n")).await, Pod::start(Behaviour::text("fresh 1\n")).await);
    world.api.apply_pod(&spec("a", &old).uid("1"));
    let exporter = world.exporter(&[]).await;
    assert_eq!(ask(&exporter, JOB).await.value("old", "a"), Some(1.0));
    world.api.apply_pod(&spec("a", &new).uid("2"));
    let answer = until(&exporter, "the new pod is there", |answer| answer.value("fresh", "a") == Some(1.0)).await;
    assert_eq!(answer.targets(), [("a".to_owned(), true)]);
}

#[tokio::test]
async fn a_pod_moves_to_another_job() {
    let (world, pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let exporter = world.exporter(&[]).await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a"]);
    world.api.apply_pod(&spec("a", &pod).label(&key("job-name"), "shop"));
    until(&exporter, "the old job is gone", |answer| answer.status == 404).await;
    let answer = ask(&exporter, "shop").await;
    assert_eq!(answer.samples("a")[0].label("job"), "shop");
    // An annotation stands over the label, also here.
    world.api.apply_pod(&spec("a", &pod).annotation(&key("job-name"), "the cellar"));
    exporter
        .until("the job has changed again", async |exporter: &Exporter| {
            (get(exporter.address, &path_of("the%20cellar"), &[]).await.status == 200).then_some(())
        })
        .await;
    assert_eq!(exporter.get(&path_of("shop")).await.0, 404);
}

#[tokio::test]
async fn who_asks_for_an_unknown_job_is_told_the_known_ones() {
    let world = World::start().await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    for job in ["shop", "cellar"] {
        world.api.apply_pod(&spec(job, &pod).label(&key("job-name"), job));
    }
    let exporter = world.exporter(&[]).await;
    let answer = get(exporter.address, &path_of("nobody"), &[]).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text, "no pod belongs to the job `nobody`; known jobs: cellar, shop\n");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    // Whatever was asked for, the answer has one line.
    let answer = get(exporter.address, "/metrics?job=%0A%1B%5B31m%3Cb%3E", &[]).await;
    assert_eq!((answer.status, answer.text.lines().count()), (404, 1));
    assert!(!answer.text.contains('\u{1b}'), "{:?}", answer.text);
    assert_eq!(metric(&exporter, &ours("requests_total{outcome=\"unknown_job\"}")).await, 2.0);
    assert!(pod.requests().is_empty());
}

#[tokio::test]
async fn who_names_no_job_gets_the_exporters_own_metrics() {
    let (world, pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let exporter = world.exporter(&[]).await;
    for path in ["/metrics", "/metrics?job=", "/metrics?job", "/metrics?", "/metrics?other=x"] {
        let answer = get(exporter.address, path, &[]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text.contains("\ns3exporter_build_info{") && !answer.text.contains("\nup"), "{path}");
    }
    assert!(pod.requests().is_empty());
}

#[tokio::test]
async fn only_pods_of_the_named_namespaces_are_known() {
    let world = World::start().await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    for namespace in ["shop", "cellar", "attic"] {
        let port = pod.port().to_string();
        let labels = [(key("job-name"), JOB), (key("port"), port.as_str())];
        let labels = labels.iter().map(|(key, value)| (key.as_str(), *value));
        world.api.apply_pod(&PodSpec::new(namespace, &format!("in-{namespace}")).labels(labels).ip(pod.ip()));
    }
    let namespaces = ["--podmetrics-namespace=shop,attic", "--podmetrics-namespace=empty"];
    let exporter = world.exporter(&namespaces).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.healthy(), ["in-attic", "in-shop"]);
    assert_eq!(answer.samples("up")[0].label("pod_namespace"), "attic");
    for namespace in ["shop", "attic", "empty"] {
        let series = format!("s3exporter_watch_synced{{resource=\"pods/{namespace}\"}}");
        assert_eq!(metric(&exporter, &series).await, 1.0);
    }
    let asked = world.api.requests();
    for request in &asked {
        let path = request.path_and_query.split('?').next().unwrap();
        let allowed = ["shop", "attic", "empty"].map(|namespace| format!("/api/v1/namespaces/{namespace}/pods"));
        assert!(allowed.contains(&path.to_owned()), "{}", request.path_and_query);
    }
}

/// So that `pods: list, watch` is all that it must be allowed to do.
#[tokio::test]
async fn the_api_is_asked_for_labelled_pods_and_nothing_else() {
    let (world, _pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let exporter = world.exporter(&[]).await;
    world.api.wait_for_watches(1).await;
    ask(&exporter, JOB).await;
    let asked = world.api.requests();
    assert!(asked.len() >= 2);
    for request in &asked {
        assert_eq!(request.method, "GET");
        assert!(request.path_and_query.starts_with("/api/v1/pods?"), "{}", request.path_and_query);
        let selector = "labelSelector=metrics-aggregator.apawel.me%2Fjob-name";
        assert!(request.path_and_query.contains(selector), "{}", request.path_and_query);
    }
    assert!(asked.iter().any(|request| request.path_and_query.contains("watch=true")));
}
