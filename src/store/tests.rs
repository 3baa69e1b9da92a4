//! The same behaviour of a server and of a folder.

use fakes::s3_memory::{S3Effect, S3Fault, S3Memory};

use super::*;

fn label(made_by: &str) -> Label {
    Label { content_type: "application/json", mark: (MADE_BY, made_by.to_owned()) }
}

async fn server() -> (S3Memory, Store) {
    let server = S3Memory::start().await;
    server.create_bucket("exports");
    let options = S3Options {
        endpoint: Some(server.endpoint()),
        access_key_id: Some(server.access_key_id().into()),
        secret_access_key: Some(server.secret_access_key().into()),
        ..Default::default()
    };
    let store = Store::open(&options, "exports").unwrap();
    (server, store)
}

fn folder() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = url::Url::from_directory_path(folder.path()).unwrap().to_string();
    let store = Store::open(&S3Options { endpoint: Some(endpoint), ..Default::default() }, "exports").unwrap();
    (folder, store)
}

async fn content(store: &Store, key: &str) -> Option<Bytes> {
    match store.get(key).await.unwrap() {
        Some(stored) => Some(stored.bytes().await.unwrap()),
        None => None,
    }
}

async fn behaves(store: &Store) {
    let key = "k8s_data/größe x/2026_11_21/07/a:b.json";
    assert_eq!(content(store, key).await, None);
    assert_eq!(store.etag(key).await.unwrap(), None);
    let put =
        async |text: &'static str, condition: &Condition| store.put(key, text.into(), &label("me"), condition).await.unwrap();
    let stale = Condition::Unchanged("\"stale\"".to_owned());
    assert_eq!(put("early", &stale).await, Put::Refused);
    let Put::Done(first) = put("one", &Condition::Absent).await else { panic!("refused") };
    assert_eq!(store.etag(key).await.unwrap().as_ref(), Some(&first));
    assert_eq!(put("two", &Condition::Absent).await, Put::Refused);
    assert_eq!(put("two", &stale).await, Put::Refused);
    assert_eq!(content(store, key).await.unwrap(), "one");
    let Put::Done(second) = put("three", &Condition::Unchanged(first.clone())).await else { panic!("refused") };
    assert_eq!(put("four", &Condition::Unchanged(first)).await, Put::Refused);
    assert_eq!(content(store, key).await.unwrap(), "three");
    let listed = store.list("k8s_data/größe x/2026_11_21").await.unwrap();
    assert_eq!(listed, [Listed { key: key.to_owned(), etag: second }]);
    assert_eq!(store.list("k8s_data/größe").await.unwrap(), []);
    assert_eq!(store.folders("k8s_data/größe x").await.unwrap(), ["2026_11_21"]);
    assert!(store.folders("nowhere").await.unwrap().is_empty());
}

/// Larger than a part: unseen until its end, and then only if nothing is there.
async fn takes_large_objects(store: &Store) {
    let large: Vec<u8> = (0..20_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let write = async |key: &str, bytes: &[u8]| {
        let mut upload = store.upload(key, label("me"));
        for piece in bytes.chunks(100_003) {
            upload.write(piece).await.unwrap();
        }
        upload
    };
    let upload = write("large", &large).await;
    assert_eq!(store.etag("large").await.unwrap(), None);
    assert!(matches!(upload.finish(&Condition::Absent).await.unwrap(), Put::Done(_)));
    assert!(content(store, "large").await.unwrap() == large);
    let late = write("large", &large[..9_000_000]).await;
    assert_eq!(late.finish(&Condition::Absent).await.unwrap(), Put::Refused);
    assert_eq!(content(store, "large").await.unwrap().len(), large.len());
    drop(write("given-up", &large).await);
    assert_eq!(store.etag("given-up").await.unwrap(), None);
}

#[tokio::test]
async fn a_server_and_a_folder_behave_alike() {
    let (_server, store) = server().await;
    behaves(&store).await;
    takes_large_objects(&store).await;
    let (_folder, store) = folder();
    behaves(&store).await;
    takes_large_objects(&store).await;
}

#[tokio::test]
async fn what_made_an_object_is_kept_beside_it() {
    let (server, store) = server().await;
    store.put("k", "v".into(), &label("this request"), &Condition::Absent).await.unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap().mark(MADE_BY), Some("this request"));
    assert_eq!(server.objects("exports")[0].1.content_type.as_deref(), Some("application/json"));
    server.put("exports", "other", fakes::s3_memory::Object::sized(3));
    assert_eq!(store.get("other").await.unwrap().unwrap().mark(MADE_BY), None);
}

/// The put was done, and nobody heard of it: the next attempt finds it.
#[tokio::test]
async fn a_put_whose_answer_was_lost_is_found_to_be_there() {
    let (server, store) = server().await;
    server.set_faults(vec![S3Fault { method: Some("PUT"), first: Some(1), ..S3Fault::always(S3Effect::ResetAfter) }]);
    assert_eq!(store.put("k", "v".into(), &label("me"), &Condition::Absent).await.unwrap(), Put::Refused);
    assert_eq!(content(&store, "k").await.unwrap(), "v");
}

#[tokio::test]
async fn what_the_server_says_is_told_in_a_line() {
    let (server, store) = server().await;
    server.set_faults(vec![S3Fault::always(S3Effect::Status(403, "AccessDenied"))]);
    let error = store.put("k", "v".into(), &label("me"), &Condition::Absent).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot write k: AccessDenied"), "{error}");
    assert!(!error.contains(['\n', '<']), "{error}");
}

/// The bucket is in another region than the environment says, and tells it to anybody who asks.
#[tokio::test]
async fn the_region_that_a_bucket_names_is_followed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 8_192];
            let length = stream.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..length]).into_owned());
            let answer =
                "HTTP/1.1 403 Forbidden\r\nx-amz-bucket-region: eu-west-3\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    let options = S3Options {
        endpoint: Some(endpoint),
        region_hint: Some("us-east-1".into()),
        access_key_id: Some("id".into()),
        secret_access_key: Some("key".into()),
        ..Default::default()
    };
    assert!(Store::open(&options, "exports").unwrap().list("folder").await.is_err());
    let heads = served.await.unwrap();
    assert!(heads[0].starts_with("HEAD /exports ") && heads[1].contains("/eu-west-3/s3/aws4_request"), "{heads:?}");
}

/// A file of usage is one put of any length: on the line for which a part has 90 s, two of them have twice the time.
#[tokio::test]
async fn a_large_object_has_the_time_that_its_length_needs() {
    assert_eq!([0, 8 << 20, (8 << 20) + 1, 60 << 20].map(|bytes| deadline(bytes).as_secs()), [90, 90, 180, 720]);
    let (server, store) = server().await;
    // Connections are there before time stands still.
    store.put("warm", "v".into(), &label("me"), &Condition::Absent).await.unwrap();
    server.set_faults(vec![S3Fault::always(S3Effect::Latency(Duration::from_secs(150)))]);
    tokio::time::pause();
    let large = Bytes::from(vec![b'x'; (8 << 20) + 1]);
    assert!(matches!(store.put("large", large.clone(), &label("me"), &Condition::Absent).await.unwrap(), Put::Done(_)));
    server.set_faults(vec![S3Fault::always(S3Effect::Hang)]);
    let begun = tokio::time::Instant::now();
    let error = store.put("stalled", large, &label("me"), &Condition::Absent).await.unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 180);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let (folder, store) = folder();
    let put = async |key: &str| store.put(key, "v".into(), &label("me"), &Condition::Absent).await;
    assert!(matches!(put("a").await.unwrap(), Put::Done(_)));
    put("a/b").await.unwrap_err();
    std::fs::create_dir_all(folder.path().join("exports/c")).unwrap();
    assert!(put("c").await.unwrap_err().to_string().starts_with("cannot write c: "));
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path().join("exports")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "c"]);
}
