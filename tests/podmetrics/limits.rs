//! Limits: scrapes at once, sizes, targets, bytes in flight, requests; and the end.

use std::time::Duration;

use fakes::pods::{Behaviour, Concurrency, Pod};
use tokio::net::TcpStream;

use crate::support::Exporter;
use crate::world::{Gate, JOB, Opened, World, ask, failures, get, key, metric, ours, path_of, spec, timed, until};

/// So many pods, on nodes in turn, each of which takes its time; counted by node and overall.
async fn crowd(world: &World, pods: usize, nodes: usize) -> (Vec<Pod>, Concurrency) {
    let all = Concurrency::new();
    let mut started = Vec::new();
    for number in 0..pods {
        let name = format!("p-{number:02}");
        let pod = Pod::start_counted(Behaviour::text("a 1\n").after(Duration::from_millis(50)), &all).await;
        world.api.apply_pod(&spec(&name, &pod).node(Some(&format!("node-{}", number % nodes))));
        started.push(pod);
    }
    (started, all)
}

#[tokio::test]
async fn so_many_scrapes_run_at_once() {
    let world = World::start().await;
    let (_pods, all) = crowd(&world, 20, 5).await;
    let mut command = world.command(&["--podmetrics-allow-cidr=127.0.0.0/8"]);
    command.env("CLIENT_WORKERS", "3");
    let exporter = world.exporter_of(command).await;
    assert_eq!(ask(&exporter, JOB).await.healthy().len(), 20);
    assert_eq!(all.peak(), 3);
    // A flag stands over the variable; and the limit holds for several requests together.
    let exporter = world.exporter(&["--podmetrics-concurrency=4"]).await;
    all.reset_peak();
    let open = [("accept", "application/openmetrics-text")];
    let path = path_of(JOB);
    let (one, other) = tokio::join!(ask(&exporter, JOB), get(exporter.address, &path, &open));
    assert_eq!((one.healthy().len(), other.well().healthy().len(), all.peak()), (20, 20, 4));
}

#[tokio::test]
async fn so_many_scrapes_run_at_once_on_a_node() {
    let world = World::start().await;
    let (_pods, one_node) = crowd(&world, 12, 1).await;
    let mut command = world.command(&["--podmetrics-allow-cidr=127.0.0.0/8"]);
    command.env("S3EXPORTER_PODMETRICS_CONCURRENCY_PER_NODE", "2");
    let exporter = world.exporter_of(command).await;
    assert_eq!(ask(&exporter, JOB).await.healthy().len(), 12);
    assert_eq!(one_node.peak(), 2);
    // Other nodes do not wait for that.
    let world = World::start().await;
    let (_pods, nodes) = crowd(&world, 12, 3).await;
    let exporter = world.exporter(&["--podmetrics-concurrency-per-node=2"]).await;
    assert_eq!(ask(&exporter, JOB).await.healthy().len(), 12);
    assert_eq!(nodes.peak(), 6);
}

#[tokio::test]
async fn a_body_may_have_so_much_of_everything() {
    let world = World::start().await;
    let repeat = |count: usize| (0..count).map(|line| format!("a{{n=\"{line}\"}} 1\n")).collect::<String>();
    let long = |bytes: usize| format!("a{{v=\"{}\"}} 1\n", "x".repeat(bytes));
    let mut pods = Vec::new();
    for (name, text) in [
        ("samples", repeat(20)),
        ("samples-over", repeat(21)),
        ("value", long(100)),
        ("value-over", long(101)),
        ("name", format!("{} 1\n", "n".repeat(30))),
        ("name-over", format!("{} 1\n", "n".repeat(31))),
        ("body", format!("# {}\na 1\n", "c".repeat(4_096 - 7))),
        ("body-over", format!("# {}\na 1\n", "c".repeat(4_097 - 7))),
    ] {
        pods.push(world.pod(name, Behaviour::text(text)).await);
    }
    let file = world.file("limits.yaml", "podmetrics: {limits: {body: 4KiB, samples: 20, name_length: 30, value_length: 100}}\n");
    let exporter = world.exporter(&["--config", &file]).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.healthy(), ["body", "name", "samples", "value"]);
    let reasons = ["body-over", "name-over", "samples-over", "value-over"].map(|name| answer.reason(name).unwrap());
    assert_eq!(reasons, ["body_size", "label_limit", "sample_limit", "label_limit"]);
    assert_eq!(failures(&exporter, "label_limit").await, 2.0);
}

#[tokio::test]
async fn a_job_with_too_many_targets_is_not_scraped_at_all() {
    let (world, pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let ports = format!("{},1,2", pod.port());
    world.api.apply_pod(&spec("a", &pod).annotation(&key("port"), &ports));
    let exporter = world.exporter(&["--podmetrics-target-limit=2"]).await;
    let answer = get(exporter.address, &path_of(JOB), &[]).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.text, "the job has 3 targets, more than the limit of 2 (podmetrics.limits.targets)\n");
    assert!(pod.requests().is_empty());
    assert_eq!(metric(&exporter, &ours("requests_total{outcome=\"too_many_targets\"}")).await, 1.0);
    world.api.apply_pod(&spec("a", &pod));
    until(&exporter, "it has one target", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn beyond_the_bytes_that_may_be_held_whoever_asks_shall_come_again() {
    let world = World::start().await;
    let text: String = (0..2_000).map(|line| format!("lines{{n=\"{line}\"}} 1\n")).collect();
    let mut pods = Vec::new();
    for name in ["a", "b", "c"] {
        pods.push(world.pod(name, Behaviour::text(text.clone())).await);
    }
    let exporter = world.exporter(&["--podmetrics-held-limit=90KB"]).await;
    let answer = get(exporter.address, &path_of(JOB), &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{}", answer.text);
    assert!(answer.text.contains("podmetrics.limits.held"), "{}", answer.text);
    assert_eq!(metric(&exporter, &ours("requests_total{outcome=\"overloaded\"}")).await, 1.0);
    exporter.until_metric(&ours("held_bytes"), 0.0).await;
    exporter.until_metric(&ours("scrapes_in_progress"), 0.0).await;
    // What was taken is given back: two pods are not too much, however often.
    pods[2].set(Behaviour::text("lines 1\n"));
    for _ in 0..5 {
        assert_eq!(ask(&exporter, JOB).await.healthy(), ["a", "b", "c"]);
    }
    exporter.until_metric(&ours("held_bytes"), 0.0).await;
}

#[tokio::test]
async fn so_many_requests_are_worked_on_and_others_wait_for_their_turn() {
    let (world, hanging) = World::with_pod(Behaviour::Hang).await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    world.api.apply_pod(&spec("b", &pod).label(&key("job-name"), "shop"));
    world.api.apply_pod(&spec("a", &hanging).label(&key("scrape-timeout-seconds"), "600"));
    let mut command = world.command(&["--podmetrics-allow-cidr=127.0.0.0/8"]);
    command.env("SERVER_WORKERS", "1").env("S3EXPORTER_PODMETRICS_TIMEOUT", "10m");
    let exporter = world.exporter_of(command).await;
    let address = exporter.address;
    let first = tokio::spawn(async move { get(address, &path_of(JOB), &[]).await });
    exporter.until("the pod is asked", async |_: &Exporter| (hanging.requests().len() == 1).then_some(())).await;
    let header = [("x-prometheus-scrape-timeout-seconds", "0.4")];
    let answer = get(exporter.address, &path_of("shop"), &header).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{}", answer.text);
    assert!(answer.text.contains("podmetrics.requests"), "{}", answer.text);
    assert!(pod.requests().is_empty());
    assert_eq!(metric(&exporter, &ours("requests_total{outcome=\"busy\"}")).await, 1.0);
    // Its own metrics and health never wait.
    assert_eq!(exporter.get("/health").await.0, 200);
    let second = tokio::spawn(async move { get(address, &path_of("shop"), &[]).await });
    first.abort();
    assert_eq!(second.await.unwrap().well().healthy(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sigterm_the_answer_in_progress_is_completed() {
    let gate = Gate::default();
    let _open = Opened(&gate);
    let (world, pod) = World::with_pod(gate.behaviour("a")).await;
    let exporter = world.exporter(&[]).await;
    let address = exporter.address;
    let request = tokio::spawn(async move { get(address, &path_of(JOB), &[]).await });
    exporter.until("the pod is asked", async |_: &Exporter| (pod.requests().len() == 1).then_some(())).await;
    let stopped = tokio::task::spawn_blocking(move || exporter.stop("TERM"));
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gate.open();
    assert_eq!(request.await.unwrap().well().value("a", "a"), Some(0.0));
    assert_eq!(stopped.await.unwrap(), Some(0));
}

#[tokio::test]
async fn on_sigterm_pods_that_hang_are_not_waited_for() {
    let (world, pod) = World::with_pod(Behaviour::Hang).await;
    world.api.apply_pod(&spec("a", &pod).label(&key("scrape-timeout-seconds"), "600"));
    let exporter = world.exporter(&["--podmetrics-timeout=10m"]).await;
    let (address, path) = (exporter.address, path_of(JOB));
    let request = tokio::spawn(async move { reqwest::get(format!("http://{address}{path}")).await.map(|_| ()) });
    exporter.until("the pod is asked", async |_: &Exporter| (pod.requests().len() == 1).then_some(())).await;
    let (code, took) = timed(tokio::task::spawn_blocking(move || exporter.stop("TERM"))).await;
    assert_eq!(code.unwrap(), Some(0));
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(request.await.unwrap().is_err());
}
