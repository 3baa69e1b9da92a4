//! Writes to S3 in memory by a client that others wrote: conditions, metadata, large uploads, faults.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::time::{Duration, Instant};

use fakes::s3_memory::{Object, Probability, S3Effect, S3Fault, S3Memory};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutResult, RetryConfig, WriteMultipart,
};

/// A server, and a client of it that sends a request again so many times.
async fn started(max_retries: usize) -> (S3Memory, AmazonS3) {
    let server = S3Memory::start().await;
    server.create_bucket("bucket");
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(1), ..BackoffConfig::default() };
    let store = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_access_key_id(server.access_key_id())
        .with_secret_access_key(server.secret_access_key())
        .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(Duration::from_secs(4)))
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_retry(RetryConfig { max_retries, backoff, ..RetryConfig::default() })
        .build()
        .unwrap();
    (server, store)
}

async fn put(store: &AmazonS3, text: &'static str, mode: PutMode) -> Result<PutResult, Error> {
    store.put_opts(&Path::from("dir/a b+c"), text.into(), mode.into()).await
}

fn is_there(result: Result<PutResult, Error>) -> bool {
    matches!(result, Err(Error::AlreadyExists { .. }))
}

#[tokio::test]
async fn conditions() {
    let (server, store) = started(0).await;
    let first = put(&store, "1", PutMode::Create).await.unwrap();
    assert!(is_there(put(&store, "2", PutMode::Create).await));
    put(&store, "3", PutMode::Update(first.clone().into())).await.unwrap();
    let stale = put(&store, "4", PutMode::Update(first.into())).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");
    assert_eq!(server.objects("bucket")[0].1.content, Object::bytes("3").content);

    // Copies that must not replace anything are uploads with a condition at their end.
    let (from, to) = (Path::from("dir/a b+c"), Path::from("copy"));
    store.copy_if_not_exists(&from, &to).await.unwrap();
    let again = store.copy_if_not_exists(&from, &to).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(server.objects("bucket")[0].1.content, Object::bytes("3").content);
}

#[tokio::test]
async fn metadata_comes_back() {
    let (server, store) = started(0).await;
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, "application/vnd.apache.parquet"),
        (Attribute::Metadata("window-start".into()), "1700000000"),
        (Attribute::Metadata("sha256".into()), "abc"),
    ]);
    let path = Path::from("part");
    store.put_opts(&path, "x".into(), PutOptions { attributes: attributes.clone(), ..PutOptions::default() }).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().attributes, attributes);

    // 20 MiB in parts.
    let options = PutMultipartOptions { attributes: attributes.clone(), ..PutMultipartOptions::default() };
    let mut upload = WriteMultipart::new(store.put_multipart_opts(&path, options).await.unwrap());
    let bytes: Vec<u8> = (0..20_u32 << 20).map(|i| (i % 251).to_le_bytes()[0]).collect();
    upload.write(&bytes);
    upload.finish().await.unwrap();
    let got = store.get(&path).await.unwrap();
    assert_eq!(got.attributes, attributes);
    assert!(got.bytes().await.unwrap() == bytes);

    let (_, object) = server.objects("bucket").remove(0);
    assert_eq!(object.content_type.as_deref(), Some("application/vnd.apache.parquet"));
    assert_eq!(object.metadata["window-start"], "1700000000");
    server.put("bucket", "part", Object::sized(1).metadata("Sha256", "def").content_type("text/plain"));
    let attributes = store.get(&path).await.unwrap().attributes;
    assert_eq!(attributes.get(&Attribute::Metadata("sha256".into())).unwrap().as_ref(), "def");
    assert_eq!(attributes.get(&Attribute::ContentType).unwrap().as_ref(), "text/plain");
}

#[tokio::test]
async fn faults_before_and_after() {
    let (server, store) = started(0).await;
    let on_put = |effect| S3Fault { method: Some("PUT"), key: Some("a b+".to_owned()), ..S3Fault::always(effect) };
    server.set_faults(vec![on_put(S3Effect::Status(503, "SlowDown"))]);
    let error = put(&store, "1", PutMode::Overwrite).await.unwrap_err().to_string();
    assert!(error.contains("503") && error.contains("<Code>SlowDown</Code>"), "{error}");
    server.set_faults(vec![on_put(S3Effect::Reset)]);
    put(&store, "1", PutMode::Overwrite).await.unwrap_err();
    server.set_faults(vec![on_put(S3Effect::Hang)]);
    put(&store, "1", PutMode::Overwrite).await.unwrap_err();
    assert_eq!(server.objects("bucket"), []);

    server.set_faults(vec![on_put(S3Effect::ResetAfter)]);
    put(&store, "1", PutMode::Overwrite).await.unwrap_err();
    assert_eq!(server.objects("bucket").len(), 1);
    store.head(&Path::from("dir/a b+c")).await.unwrap();
    store.put(&Path::from("other"), "x".into()).await.unwrap();

    server.set_faults(vec![on_put(S3Effect::Latency(Duration::from_millis(100)))]);
    let begin = Instant::now();
    put(&store, "2", PutMode::Overwrite).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(100));
    server.set_faults(vec![on_put(S3Effect::Reset)]);
    server.clear_faults();
    put(&store, "3", PutMode::Overwrite).await.unwrap();
    assert_eq!(server.requests().iter().filter(|request| request.method == "PUT").count(), 7);
}

#[tokio::test]
async fn a_client_gets_over_faults() {
    let (server, store) = started(10).await;
    server.set_faults(vec![S3Fault { first: Some(3), ..S3Fault::always(S3Effect::Status(500, "InternalError")) }]);
    put(&store, "1", PutMode::Overwrite).await.unwrap();
    assert_eq!(server.requests().len(), 4);

    let probability = Some(Probability { p: 0.3, seed: 1 });
    server.set_faults(vec![S3Fault { probability, ..S3Fault::always(S3Effect::ResetAfter) }]);
    for n in 0..20 {
        store.put(&Path::from(format!("{n}")), vec![0; 1 << 20].into()).await.unwrap();
    }
    assert_eq!(server.objects("bucket").len(), 21);
    assert!(server.requests().len() > 25, "{}", server.requests().len());
}
