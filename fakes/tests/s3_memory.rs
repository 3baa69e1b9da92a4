//! S3 in memory: who is let in, and what a client by others makes of it. Odd keys were tried with boto3
//! and are unit tests of the listing; `object_store` refuses most of them.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::time::{Duration, UNIX_EPOCH};

use fakes::s3_memory::{Object, S3Memory};
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, WriteMultipart,
};
use reqwest::{Client, Response};

/// A client of `server` with its credentials, or another secret.
fn store(server: &S3Memory, secret: Option<&str>) -> AmazonS3 {
    let mut options = ClientOptions::new().with_allow_http(true);
    if server.endpoint().starts_with("https") {
        options = options.with_root_certificate(Certificate::from_pem(server.ca_pem().as_bytes()).unwrap());
    }
    let mut builder = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_access_key_id(server.access_key_id())
        .with_secret_access_key(secret.unwrap_or(server.secret_access_key()))
        .with_client_options(options)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    if let Some(token) = server.session_token() {
        builder = builder.with_token(token);
    }
    builder.build().unwrap()
}

async fn started() -> S3Memory {
    let server = S3Memory::start().await;
    server.create_bucket("bucket");
    server
}

#[tokio::test]
async fn objects_come_and_go() {
    let server = started().await;
    let store = store(&server, None);
    store.put(&Path::from("dir/a b+c"), "hello".into()).await.unwrap();
    assert_eq!(server.objects("bucket")[0].0, "dir/a b+c");
    assert_eq!(store.get_range(&Path::from("dir/a b+c"), 1..3).await.unwrap(), "el");

    let modified = UNIX_EPOCH + Duration::from_secs(1_795_238_400);
    server.put("bucket", "huge", Object::sized(5 << 40).modified(modified).storage_class("GLACIER"));
    let huge = store.head(&Path::from("huge")).await.unwrap();
    assert_eq!((huge.size, huge.last_modified.timestamp()), (5 << 40, 1_795_238_400));

    server.set_page_limit(1);
    let listed: Vec<_> = store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["dir/a b+c", "huge"]);
    let tops = store.list_with_delimiter(None).await.unwrap();
    assert_eq!((tops.common_prefixes, tops.objects.len()), (vec![Path::from("dir")], 1));

    store.delete(&Path::from("huge")).await.unwrap();
    assert!(server.delete("bucket", "dir/a b+c"));
    assert_eq!(server.objects("bucket"), []);
    assert!(server.requests().iter().all(|request| !request.virtual_hosted && request.path_and_query.starts_with("/bucket")));
}

#[tokio::test]
async fn conditional_and_multipart_puts() {
    let server = started().await;
    let store = store(&server, None);
    let path = Path::from("manifest");
    let put = |mode, text: &'static str| store.put_opts(&path, text.into(), PutOptions { mode, ..PutOptions::default() });
    let first = put(PutMode::Create, "1").await.unwrap();
    assert!(matches!(put(PutMode::Create, "2").await, Err(Error::AlreadyExists { .. })));
    put(PutMode::Update(first.clone().into()), "3").await.unwrap();
    assert!(matches!(put(PutMode::Update(first.into()), "4").await, Err(Error::Precondition { .. })));
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "3");

    let mut upload = WriteMultipart::new(store.put_multipart(&path).await.unwrap());
    let part = vec![7; 6 << 20];
    upload.write(&part);
    upload.write(&part);
    upload.finish().await.unwrap();
    assert_eq!(server.objects("bucket")[0].1.size(), 12 << 20);
}

#[tokio::test]
async fn tls_and_session_tokens() {
    let server = S3Memory::builder().tls(true).session_token("token/with+signs=").start().await.unwrap();
    server.create_bucket("bucket");
    store(&server, None).put(&Path::from("a"), "b".into()).await.unwrap();
    assert_eq!(server.objects("bucket").len(), 1);
}

/// A list request with a signature that looks right and is not.
async fn forged(server: &S3Memory, access_key_id: &str, token: Option<&str>) -> Response {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={access_key_id}/{}/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
        &now[..8],
        "0".repeat(64),
    );
    let mut request = Client::builder()
        .tls_built_in_root_certs(false)
        .build()
        .unwrap()
        .get(format!("{}/bucket?list-type=2", server.endpoint()))
        .header("x-amz-date", now)
        .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        .header("authorization", authorization);
    if let Some(token) = token {
        request = request.header("x-amz-security-token", token);
    }
    request.send().await.unwrap()
}

async fn refused(response: Response, status: u16, code: &str) {
    assert_eq!(response.status(), status);
    let text = response.text().await.unwrap();
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
}

#[tokio::test]
async fn refusals_have_their_names() {
    let server = started().await;
    let known = server.access_key_id();
    refused(forged(&server, known, None).await, 403, "SignatureDoesNotMatch").await;
    refused(forged(&server, "AKIASOMEBODYELSE", None).await, 403, "InvalidAccessKeyId").await;
    refused(reqwest::get(format!("{}/bucket?list-type=2", server.endpoint())).await.unwrap(), 403, "AccessDenied").await;
    let wrong = store(&server, Some("wrong")).head(&Path::from("a")).await;
    assert!(matches!(wrong, Err(Error::PermissionDenied { .. })), "{wrong:?}");

    let with_token = S3Memory::builder().session_token("right").start().await.unwrap();
    refused(forged(&with_token, known, None).await, 403, "InvalidAccessKeyId").await;
    refused(forged(&with_token, known, Some("wrong")).await, 400, "InvalidToken").await;
    refused(forged(&with_token, known, Some("right")).await, 403, "SignatureDoesNotMatch").await;
    let missing = store(&with_token, None).list(None).try_next().await.unwrap_err();
    assert!(missing.to_string().contains("NoSuchBucket"), "{missing}");
}

#[tokio::test]
async fn the_host_may_name_the_bucket() {
    let server = started().await;
    let url = format!("{}/?list-type=2", server.endpoint());
    let unsigned = Client::new().get(url).header("host", "bucket.localhost").send().await.unwrap();
    refused(unsigned, 403, "AccessDenied").await;
    let request = &server.requests()[0];
    assert!(request.virtual_hosted && request.host == "bucket.localhost");
}
