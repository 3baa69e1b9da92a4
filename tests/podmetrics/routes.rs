//! Ways to ask: paths, methods, the listener for jobs, and what the environment and the file say.

use std::net::SocketAddr;

use fakes::pods::{Behaviour, Pod};

use crate::support::Exporter;
use crate::world::{JOB, World, ask, get, key, path_of, spec};

#[tokio::test]
async fn a_query_within_the_path_is_a_query() {
    let world = World::start().await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    world.api.apply_pod(&spec("a", &pod));
    world.api.apply_pod(&spec("b", &pod).annotation(&key("job-name"), "two words"));
    let exporter = world.exporter(&[]).await;
    for path in [
        "/metrics%3Fjob=memcached",
        "/metrics%3Fjob%3Dmemcached",
        "/metrics%3fother=x&job=memcached",
        "/metrics?x=y&job=memcached",
    ] {
        assert_eq!(get(exporter.address, path, &[]).await.well().healthy(), ["a"], "{path}");
    }
    for path in ["/metrics?job=two%20words", "/metrics?job=two+words", "/metrics%3Fjob=two%20words"] {
        let answer = get(exporter.address, path, &[]).await.well();
        assert_eq!(answer.samples("a")[0].label("job"), "two words", "{path}");
    }
    for path in ["/metrics%3Fjob=", "/metrics%3F", "/nowhere%3Fjob=memcached", "/metrics/?job=memcached", "/metrics%2F"] {
        assert_eq!(get(exporter.address, path, &[]).await.status, 404, "{path}");
    }
    assert_eq!(get(exporter.address, "/metrics%3Fjob=nobody", &[]).await.status, 404);
}

#[tokio::test]
async fn methods_other_than_get() {
    let (world, pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let exporter = world.exporter(&[]).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}{}", exporter.address, path_of(JOB));
    let head = client.head(&url).header("accept", "application/openmetrics-text").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(head.text().await.unwrap(), "");
    let asked = pod.requests().len();
    for method in [reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::DELETE] {
        let response = client.request(method.clone(), &url).send().await.unwrap();
        assert!(response.status().is_client_error(), "{method}: {}", response.status());
    }
    assert_eq!(pod.requests().len(), asked);
}

/// Where a line of the log says that it listens.
fn listening(exporter: &Exporter, message: &str) -> Option<SocketAddr> {
    let message = format!("\"message\":\"{message}\"");
    exporter
        .log_lines()
        .iter()
        .filter(|line| line.contains(&message))
        .find_map(|line| line.split_once("\"address\":\"")?.1.split('"').next()?.parse().ok())
}

#[tokio::test]
async fn a_second_listener_has_jobs_and_health_and_nothing_else() {
    let (world, _pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let exporter = world.exporter(&["--podmetrics-address=127.0.0.1:0"]).await;
    let jobs = listening(&exporter, "listening for jobs").unwrap();
    let main = exporter.until("both listen", async |exporter: &Exporter| listening(exporter, "listening")).await;
    assert_ne!(jobs, main);
    for path in ["/metrics?job=memcached", "/metrics%3Fjob=memcached"] {
        for address in [jobs, main] {
            assert_eq!(get(address, path, &[]).await.well().healthy(), ["a"], "{path}");
        }
    }
    for path in ["/health", "/livez", "/readyz"] {
        assert_eq!(get(jobs, path, &[]).await.status, 200, "{path}");
    }
    for path in ["/", "/metrics", "/metrics?job="] {
        let answer = get(jobs, path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text.contains("s3exporter_build_info"));
        assert_eq!(get(main, path, &[]).await.status, 200, "{path}");
    }
    let answer = get(jobs, "/metrics?job=nobody", &[]).await;
    assert!(answer.status == 404 && answer.text.contains("known jobs: memcached"), "{}", answer.text);
}

#[tokio::test]
async fn the_environment_is_that_of_the_original() {
    let (world, _pod) = World::with_pod(Behaviour::Status(500)).await;
    let start = async |variables: &[(&str, &str)]| {
        let mut command = world.command(&[]);
        command.envs(variables.iter().copied()).env("S3EXPORTER_PODMETRICS_ALLOW_CIDR", "127.0.0.0/8, ::1/128");
        world.exporter_of(command).await
    };
    let original = [("LOG_LEVEL", "DEBUG"), ("CACHE_UPDATE_INTERVAL", "30"), ("SERVER_WORKERS", "4"), ("CLIENT_WORKERS", "2")];
    let exporter = start(&original).await;
    assert_eq!(ask(&exporter, JOB).await.reason("a").as_deref(), Some("status"));
    let told = |exporter: &Exporter| exporter.log_lines().iter().any(|line| line.contains("a pod is down"));
    exporter.until("it is told for debugging", async |exporter: &Exporter| told(exporter).then_some(())).await;

    let exporter = start(&[("LOG_LEVEL", "INFO"), ("CACHE_UPDATE_INTERVAL", "")]).await;
    ask(&exporter, JOB).await;
    assert!(!told(&exporter), "a pod that is down is no news of the exporter");
    let output = world.command(&[]).env("CLIENT_WORKERS", "many").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("CLIENT_WORKERS: `many` is not a number"), "{said}");
}

#[tokio::test]
async fn the_file_has_a_section_for_it() {
    let world = World::start().await;
    let pod = Pod::start(Behaviour::text("a{job=\"mine\",b=\"1\",c=\"2\"} 1\n")).await;
    world.api.apply_pod(&spec("a", &pod).label("x.example/job-name", "shop").label("x.example/port", &pod.port().to_string()));
    let file = world.file(
        "config.yaml",
        "podmetrics:\n  enabled: true\n  label_prefix: x.example/\n  allow_cidr: [127.0.0.0/8]\n  namespaces: [default]\n  \
         honor_labels: true\n  label_style: hyphen\n  timeout: 20s\n  timeout_margin: 100ms\n  max_age: 0s\n  limits:\n    \
         body: 1MiB\n    labels: 2\n",
    );
    let mut command = crate::support::command(&["--address=127.0.0.1:0", "--no-inventory", "--config", &file]);
    command.arg("--kubeconfig").arg(world.api.kubeconfig(world.folder.path()));
    let exporter = world.exporter_of(command).await;
    let answer = ask(&exporter, "shop").await;
    assert_eq!(answer.reason("a").as_deref(), Some("label_limit"));
    pod.set(Behaviour::text("a{job=\"mine\"} 1\n"));
    let answer = ask(&exporter, "shop").await;
    assert_eq!(answer.samples("a")[0].label("job"), "mine");
    let wrong = world.file("wrong.yaml", "podmetrics:\n  enabled: true\n  limit: 1\n");
    let output = crate::support::run(&["--no-inventory", "--config", &wrong]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("podmetrics") && said.contains("limit"), "{said}");
}

/// Whoever has not switched it on is told how.
#[tokio::test]
async fn it_is_off_unless_it_is_switched_on() {
    let exporter = Exporter::start_command(crate::support::command(&["--address=127.0.0.1:0", "--no-inventory"])).await;
    let answer = get(exporter.address, &path_of(JOB), &[]).await;
    assert!(answer.status == 404 && answer.text.contains("start it with --podmetrics"), "{}", answer.text);
    assert!(!exporter.metrics().await.0.contains("podmetrics"));
}
