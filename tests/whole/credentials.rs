//! Where credentials come from. Web identity is not here: its token service is only asked over TLS with a public name.

use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use axum::{Json, Router};
use fakes::s3_memory::S3Memory;
use serde_json::{Value, json};

use crate::support::{Exporter, command, object};

const OBJECTS: &str = "kubermatic_s3_object_count{cluster=\"prod\"}";

async fn server() -> S3Memory {
    let server = S3Memory::builder().session_token("the-token").start().await.unwrap();
    server.create_bucket("bkt");
    server.put("bkt", "prod-1", object(1, 1));
    server
}

/// Starts an exporter with these variables and nothing else that names a credential; it succeeds only with all three parts of the right one.
async fn scans_with(server: &S3Memory, variables: &[(&str, &str)]) {
    let endpoint = server.endpoint();
    let args = ["-address=127.0.0.1:0", "-endpoint", &endpoint, "-bucket=bkt", "--cluster=prod", "--scan-interval=100ms"];
    let mut command = command(&args);
    command.envs(variables.iter().copied());
    Exporter::start_command(command).await.until_metric(OBJECTS, 1.0).await;
}

#[tokio::test]
async fn the_environment_under_both_names() {
    let server = server().await;
    for prefix in ["", "AWS_"] {
        let names = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"].map(|name| format!("{prefix}{name}"));
        let values = [server.access_key_id(), server.secret_access_key(), "the-token"];
        let variables: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values).collect();
        scans_with(&server, &variables).await;
    }
}

/// As in Kubermatic's exporter, where each half falls back by itself.
#[tokio::test]
async fn half_by_flag_and_half_by_environment() {
    let server = S3Memory::start().await;
    server.create_bucket("bkt");
    server.put("bkt", "prod-1", object(1, 1));
    let id = format!("-access-key-id={}", server.access_key_id());
    let mut command = command(&[
        "-address=127.0.0.1:0",
        "-endpoint",
        &server.endpoint(),
        "-bucket=bkt",
        "--cluster=prod",
        &id,
        "-kubeconfig=",
        "-ca-bundle",
        "",
    ]);
    command.env("SECRET_ACCESS_KEY", server.secret_access_key());
    Exporter::start_command(command).await.until_metric(OBJECTS, 1.0).await;
}

/// A service that hands out the key pair of `server` to whoever asks rightly; gives its address.
async fn credential_service(server: &S3Memory) -> String {
    let credentials = json!({
        "Code": "Success", "AccessKeyId": server.access_key_id(), "SecretAccessKey": server.secret_access_key(), "Token": "the-token",
        "Expiration": "2100-01-01T00:00:00Z",
    });
    let guarded = move |header: &'static str, expected: &'static str, answer: Value| {
        get(async move |headers: HeaderMap| match headers.get(header).is_some_and(|value| value == expected) {
            true => Ok(Json(answer)),
            false => Err(StatusCode::UNAUTHORIZED),
        })
    };
    let routes = Router::new()
        .route("/pod-identity", guarded("authorization", "from-the-file", credentials.clone()))
        .route("/latest/api/token", put(async || "imds-token"))
        .route("/latest/meta-data/iam/security-credentials/", get(async || "the-role"))
        .route(
            "/latest/meta-data/iam/security-credentials/the-role",
            guarded("x-aws-ec2-metadata-token", "imds-token", credentials),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, routes).into_future());
    address
}

#[tokio::test]
async fn eks_pod_identity() {
    let server = server().await;
    let uri = format!("{}/pod-identity", credential_service(&server).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "from-the-file").unwrap();
    let file = file.to_str().unwrap();
    scans_with(&server, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)]).await;
}

#[tokio::test]
async fn instance_metadata() {
    let server = server().await;
    let service = credential_service(&server).await;
    // What is set to nothing is not set, so the chain goes on to its last station.
    let empty =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_IMDSV1_FALLBACK"];
    let variables: Vec<(&str, &str)> =
        empty.map(|name| (name, "")).into_iter().chain([("AWS_METADATA_ENDPOINT", service.as_str())]).collect();
    scans_with(&server, &variables).await;
}

#[tokio::test]
async fn no_credential_at_all_is_told_with_what_would_help() {
    let server = server().await;
    let mut command = command(&["-address=127.0.0.1:0", "-endpoint", &server.endpoint(), "-bucket=bkt", "--cluster=prod"]);
    command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9");
    let exporter = Exporter::start_command(command).await;
    exporter.until_metric("s3exporter_scan_errors_total{bucket=\"bkt\",reason=\"credentials\"}", 1.0).await;
    assert!(
        exporter.log_lines().iter().any(|line| line.contains("no key pair is configured") && line.contains("instance metadata"))
    );
}
