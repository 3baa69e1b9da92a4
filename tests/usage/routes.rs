//! The interface of the service that this replaces, and where it is.

use std::collections::BTreeSet;

use fakes::kube_api::{NodeSpec, PodSpec};
use fakes::s3_memory::{S3Memory, S3Request};
use serde_json::{Value, json};

use crate::report::{Sender, answered, post, report, some};
use crate::support::{self, Exporter};
use crate::world::{BUCKET, PREFIX, World, drained, ended, get, until, usage_address};

#[tokio::test]
async fn where_it_is_off_it_says_how_to_switch_it_on() {
    let world = World::start().await;
    let mut command = support::command(&["serve", "--address=127.0.0.1:0", "--no-inventory", "--podmetrics"]);
    command.arg("--kubeconfig").arg(world.api.kubeconfig(world.folder.path()));
    let exporter = Exporter::start_command(command).await;
    let answer = post(exporter.address, &report("node-1", &[some("a")])).await;
    assert!(answer.status == 404 && answer.text.contains("--usage"), "{answer:?}");
    assert_eq!(exporter.get("/schema/usage.json").await.0, 404);
}

#[tokio::test]
async fn both_listeners_take_reports() {
    let world = World::start().await;
    let exporter = world.ready(&["--usage-address=127.0.0.1:0"]).await;
    let extra = usage_address(&exporter);
    post(exporter.address, &report("node-1", &[some("main")])).await.taken();
    post(extra, &report("node-1", &[some("extra")])).await.taken();
    for address in [exporter.address, extra] {
        let schema = get(address, "/schema/usage.json").await;
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/usage.json");
        assert_eq!(
            (schema.status, schema.json()),
            (200, serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap())
        );
        assert!(schema.headers["content-type"].to_str().unwrap().contains("json"));
        for path in ["/health", "/livez", "/readyz"] {
            assert_eq!(get(address, path).await.status, 200, "{path}");
        }
    }
    assert_eq!(get(exporter.address, "/metrics").await.status, 200);
    // The extra one is for senders.
    assert!(matches!(get(extra, "/metrics").await.status, 404 | 405));
    assert_eq!(get(extra, "/").await.status, 404);
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), 2);
    let listening = exporter.log_lines().iter().filter(|line| line.contains("listening")).count();
    assert_eq!(listening, 2);
    assert_eq!(exporter.stop("TERM"), Some(0));
}

#[tokio::test]
async fn nobody_looks_at_the_content_type() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let types = ["application/json", "text/plain", "application/x-www-form-urlencoded", "no type at all", ""];
    for (number, content_type) in types.iter().enumerate() {
        let body = report("node-1", &[some(&number.to_string())]).to_string();
        let request = Sender::new().request(exporter.address).header("content-type", *content_type).body(body);
        answered(request).await.unwrap().taken();
    }
    post(exporter.address, &report("node-1", &[])).await.taken();
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), types.len());
    // A report without pods is none of their files.
    assert!(world.tables().values().all(|file| !crate::table::rows(file).is_empty()));
}

#[tokio::test]
async fn the_health_has_the_fields_of_before() {
    let world = World::start().await;
    for (debug, expected) in [("true", true), ("false", false)] {
        let mut command = world.command(&[]);
        command.env("DEBUG_K8S_API", debug);
        let exporter = crate::world::ready(Exporter::start_command(command).await).await;
        let health = get(exporter.address, "/health").await.json();
        assert_eq!(health["status"], "healthy");
        assert_eq!(health["debug_k8s_api"], expected);
        assert_eq!(health["watchers_initialized"], json!({ "nodes": true, "pods": true, "pvcs": true, "pvs": true }));
        assert_eq!(health["all_watchers_ready"], true);
        assert_eq!(exporter.stop("TERM"), Some(0));
    }
}

/// A command with nothing but the environment of the service that this replaces.
fn as_before(world: &World, s3: &S3Memory, more: &[(&str, &str)]) -> std::process::Command {
    let mut command =
        support::command(&["serve", "--address=127.0.0.1:0", "--no-inventory", "--usage", "--usage-roll-age=200ms"]);
    command.arg(format!("--journal-dir={}", world.journal().display()));
    command.arg(format!("--kubeconfig={}", world.api.kubeconfig(world.folder.path()).display()));
    let environment = [
        ("AWS_ENDPOINT_URL", s3.endpoint()),
        ("AWS_ACCESS_KEY_ID", s3.access_key_id().to_owned()),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_access_key().to_owned()),
        ("AWS_REGION", "eu-central-1".to_owned()),
    ];
    command.envs(environment).envs(more.iter().copied());
    command
}

/// Keys of the objects that one report becomes.
async fn keys_of(world: &World, command: std::process::Command, bucket: &str) -> Vec<String> {
    world.s3.create_bucket(bucket);
    let exporter = Exporter::start_command(command).await;
    post(exporter.address, &report("node-1", &[some("a")])).await.taken();
    drained(&exporter).await;
    assert_eq!(exporter.stop("TERM"), Some(0));
    world.s3.objects(bucket).into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn the_environment_of_before_means_what_it_meant() {
    let today = jiff::Timestamp::now().to_string()[..10].to_owned();
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, String);
    let cases: [Case<'_>; 4] = [
        (&[], "k8s-usage-data", format!("{PREFIX}cluster-name=unknown/")),
        (&[("S3_BUCKET", "ours"), ("CLUSTER_NAME", "prod")], "ours", format!("{PREFIX}cluster-name=prod/")),
        (
            &[("S3_PREFIX", "a/{cluster_name}/{date}/"), ("CLUSTER_NAME", "prod")],
            "k8s-usage-data",
            format!("a/prod/{today}/cluster-name=prod/"),
        ),
        (&[("S3_PREFIX", "usage")], "k8s-usage-data", "usage/cluster-name=unknown/".to_owned()),
    ];
    for (environment, bucket, begin) in cases {
        let world = World::start().await;
        let keys = keys_of(&world, as_before(&world, &world.s3, environment), bucket).await;
        assert!(keys.len() == 1 && keys[0].starts_with(&begin), "{environment:?}: {keys:?}");
        let date: Vec<&str> = today.split('-').collect();
        let day = format!("/year={}/month={}/day={}/metrics_", date[0], date[1], date[2]);
        assert!(keys[0].contains(&day) && keys[0].ends_with("_1-1.parquet"), "{keys:?}");
    }
}

#[tokio::test]
async fn flags_stand_over_the_environment() {
    let world = World::start().await;
    let mut command = as_before(&world, &world.s3, &[("S3_BUCKET", "theirs"), ("CLUSTER_NAME", "theirs")]);
    command.args(["--usage-bucket=ours", "--cluster-name=ours"]);
    let keys = keys_of(&world, command, "ours").await;
    assert!(keys.len() == 1 && keys[0].contains("cluster-name=ours/"), "{keys:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_at_the_start() {
    let world = World::start().await;
    for (name, value, word) in [
        ("S3_PREFIX", "a/{cluster}/", "{cluster}"),
        ("S3_PREFIX", "{", "S3_PREFIX"),
        ("S3_BUCKET", "not a bucket", "not a bucket"),
    ] {
        let (code, said) = ended(as_before(&world, &world.s3, &[(name, value)])).await;
        assert!(code == Some(2) && said.contains(word) && !said.contains("panicked"), "{name}={value}: {code:?} {said}");
    }
}

/// Two subsystems that write must not meet in a bucket by accident.
#[tokio::test]
async fn beside_the_export_the_bucket_has_to_be_said() {
    let world = World::start().await;
    let mut command = as_before(
        &world,
        &world.s3,
        &[("PROM_ENDPOINTS", r#"{"prod":"http://127.0.0.1:1"}"#), ("METRICS", "up"), ("S3_BUCKET", "exported")],
    );
    command.arg("--export-bucket=exported");
    let (code, said) = ended(command).await;
    assert!(code == Some(2) && said.contains("--usage-bucket"), "{code:?} {said}");
}

#[tokio::test]
async fn secrets_are_blanked_where_everything_is_logged() {
    let world = World::start().await;
    world.api.require_token("the-token-of-the-api");
    world.api.apply_node(&NodeSpec::new("node-1"));
    let env = json!({ "spec": { "containers": [{ "name": "main", "env": [{ "name": "PASSWORD", "value": "hunter2" }] }] } });
    world.api.apply_pod(&PodSpec::new("a", "web").uid("u-1").patch(env).label("app", "a-label"));
    let mut command = world.command(&[]);
    command.env("DEBUG_K8S_API", "true");
    let exporter = crate::world::ready(Exporter::start_command(command).await).await;
    world.api.apply_pod(&PodSpec::new("a", "later").uid("u-2"));
    let said = |word: &'static str| {
        async move |exporter: &Exporter| exporter.log_lines().iter().any(|line| line.contains(word)).then_some(())
    };
    exporter.until("whole objects are logged", said("a-label")).await;
    exporter.until("changes are logged", said("later")).await;
    exporter.until("requests are logged", said("/api/v1/pods")).await;
    let log = exporter.log_lines().join("\n");
    for secret in ["hunter2", "the-token-of-the-api", world.s3.secret_access_key()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(log.contains("PASSWORD"));
}

/// Nothing is asked of Kubernetes but what is joined.
#[tokio::test]
async fn kubernetes_is_asked_for_what_is_joined_and_nothing_else() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    post(exporter.address, &report("node-1", &[some("a")])).await.taken();
    drained(&exporter).await;
    until("all are watched", || world.api.watches() >= 6).await;
    let requests = world.api.requests();
    assert!(requests.iter().all(|request| request.method == "GET"));
    let paths: BTreeSet<&str> = requests.iter().map(|request| request.path_and_query.split('?').next().unwrap()).collect();
    let expected = [
        "/api/v1/namespaces",
        "/api/v1/nodes",
        "/api/v1/persistentvolumeclaims",
        "/api/v1/persistentvolumes",
        "/api/v1/pods",
        "/apis/apps/v1/replicasets",
        "/apis/batch/v1/jobs",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
    // And of S3 nothing but where the bucket is; listing and reading need not be allowed.
    let region = |request: &S3Request| request.method == "HEAD" && request.path_and_query == format!("/{BUCKET}");
    let put = |request: &S3Request| request.method == "PUT" && request.path_and_query.starts_with(&format!("/{BUCKET}/"));
    assert!(world.s3.requests().iter().all(|request| region(request) || put(request)), "{:?}", world.s3.requests());
}
