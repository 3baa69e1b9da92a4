//! S3 in memory, with the real protocol and real signature checks.
//!
//! Keys stay as they are: `a//b`, `a/`, `/a`, `a b`, `a+b`, `%41` and keys with control characters are all
//! different objects. Requests may be path-style (any host) or virtual-hosted (`bucket.localhost`).

mod addressing;
mod blob;
mod builder;
mod fault;
mod listing;
mod objects;
mod operations;
mod serve;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use builder::Builder;
pub use fault::{S3Effect, S3Fault};
pub use objects::{Content, Object};

use crate::http_server::{ANY_PORT, HttpServer};
use crate::lock;
pub use crate::mix::Probability;
use fault::Faults;
use serve::Shared;

/// A running server; it stops when this is dropped.
pub struct S3Memory {
    server: HttpServer,
    shared: Arc<Shared>,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    ca_pem: Option<String>,
}

/// One request as it came in, also if it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Request {
    /// `GET`.
    pub method: String,
    /// The `Host` header.
    pub host: String,
    /// Path and query, as sent.
    pub path_and_query: String,
    /// Whether the bucket was named in the host and not in the path.
    pub virtual_hosted: bool,
}

impl S3Memory {
    /// An empty server over plain HTTP on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::builder().start().await.expect("a free port on the loopback interface")
    }

    /// A server with TLS, a session token, other credentials or a fixed port.
    pub fn builder() -> Builder {
        Builder {
            address: ANY_PORT,
            tls: false,
            access_key_id: "AKIAFAKEFAKEFAKEFAKE".to_owned(),
            secret_access_key: "fake/Secret+Access/Key+With/Odd+Characters".to_owned(),
            session_token: None,
            domain: "localhost".to_owned(),
        }
    }

    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT` with TLS.
    pub fn endpoint(&self) -> String {
        let address = self.server.address();
        match self.ca_pem {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        }
    }

    /// The access key id that requests are signed with.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The secret access key that requests are signed with.
    pub fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    /// The session token that requests need, if one was set.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// The PEM of the authority to trust.
    ///
    /// # Panics
    /// Without [`Builder::tls`].
    pub fn ca_pem(&self) -> String {
        self.ca_pem.clone().expect("the server was started with TLS")
    }

    /// Creates a bucket, if it is not there.
    pub fn create_bucket(&self, bucket: &str) {
        lock(&self.shared.objects).create_bucket(bucket);
    }

    /// Puts an object. The bucket must be there for anyone to see it.
    pub fn put(&self, bucket: &str, key: &str, object: Object) {
        lock(&self.shared.objects).put(bucket, key, object);
    }

    /// Deletes an object; whether it was there.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        lock(&self.shared.objects).delete(bucket, key)
    }

    /// The objects of a bucket by key, in byte order.
    pub fn objects(&self, bucket: &str) -> Vec<(String, Object)> {
        lock(&self.shared.objects).starting_at(bucket, "").map(|(key, object)| (key.to_owned(), object.clone())).collect()
    }

    /// Lists at most `keys` keys on a page, instead of 1,000.
    pub fn set_page_limit(&self, keys: usize) {
        self.shared.page_limit.store(keys, Ordering::Relaxed);
    }

    /// Replaces all faults; requests are counted from now on. See [`S3Fault`] for how several work
    /// together.
    pub fn set_faults(&self, faults: Vec<S3Fault>) {
        *lock(&self.shared.faults) = Faults::new(faults);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.set_faults(Vec::new());
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<S3Request> {
        lock(&self.shared.requests).clone()
    }

    /// Closes all connections; from now on connections are refused.
    pub async fn stop_listening(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port, with the same objects.
    pub async fn resume(&self) {
        self.server.resume().await.expect("the port was ours a moment ago");
    }
}
