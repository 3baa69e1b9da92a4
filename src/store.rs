//! Objects that are written and read: S3 servers and local folders, with conditional puts and uploads of unknown length.
//!
//! [`crate::listing`] counts what others have written; this module keeps what the exporter writes itself. Requests, retries and signatures are
//! `object_store`'s.

mod compression;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, Certificate, ClientOptions, Error, GetResult, ObjectStore, ObjectStoreExt as _,
    PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use tokio::sync::Mutex;

pub use self::compression::{Compression, Compressor, Decompressor};
pub use self::upload::Upload;
use crate::aws::{self, BucketAddress, Endpoint, S3Options, S3OptionsError};
use crate::http::{self as client, chain};

/// A part of 8 MiB on a line of 1 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Retries of one request.
const RETRIES: usize = 5;
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
/// Attempts at a conditional put whose answer was lost.
const PUT_ATTEMPTS: u32 = 3;
/// User metadata of every object: by what request it was made.
const MADE_BY: &str = "made-by";

/// A request that failed for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

impl StoreError {
    /// In words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A bucket.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    location: String,
    /// `Some` for folders, which know no metadata and cannot replace on a condition: what this process does, it does one at a time.
    folder: Option<Arc<Mutex<()>>>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its whole key.
    pub key: String,
    /// Which version of it.
    pub etag: String,
}

/// What is written along with an object.
#[derive(Debug, Clone)]
pub struct Label {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// By what request the object was made; see [`Stored::made_by`].
    pub made_by: String,
}

/// On what condition an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is there.
    Absent,
    /// What is there has this `ETag`.
    Unchanged(String),
}

/// How a conditional put ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Written; the `ETag`.
    Done(String),
    /// The condition did not hold.
    Refused,
}

/// An object that is being read.
pub struct Stored {
    /// Which version of it.
    pub etag: String,
    /// As [`Label::made_by`]; absent where somebody else has written it, or in a folder.
    pub made_by: Option<String>,
    result: GetResult,
}

impl Stored {
    /// All of it, for small objects.
    ///
    /// # Errors
    /// When reading fails.
    pub async fn bytes(self) -> Result<Bytes, StoreError> {
        let key = self.result.meta.location.clone();
        self.result.bytes().await.map_err(|error| told(key.as_ref(), &error))
    }

    /// Piece by piece.
    ///
    /// # Errors
    /// When reading fails, or `each` does.
    pub async fn for_each(self, mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), StoreError> {
        let key = self.result.meta.location.clone();
        let mut stream = self.result.into_stream();
        while let Some(chunk) = stream.try_next().await.map_err(|error| told(key.as_ref(), &error))? {
            each(&chunk).map_err(|error| StoreError(format!("{key}: {error}")))?;
        }
        Ok(())
    }
}

impl Store {
    /// Sets up access to `bucket`.
    ///
    /// # Errors
    /// When the options cannot be used.
    pub fn open(options: &S3Options, bucket: &str) -> Result<Self, S3OptionsError> {
        aws::check_bucket_name(bucket)?;
        let endpoint = options.endpoint()?;
        if let Endpoint::Folder(folder) = endpoint {
            let folder = folder.join(bucket);
            std::fs::create_dir_all(&folder).map_err(|error| S3OptionsError::Folder(folder.clone(), error))?;
            let inner = Arc::new(LocalFileSystem::new_with_prefix(&folder)?);
            return Ok(Self { inner, location: format!("file://{}", folder.display()), folder: Some(Arc::default()) });
        }
        let address = BucketAddress::new(options, &endpoint, bucket)?;
        let mut client_options = ClientOptions::new()
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_allow_http(address.url().scheme() == "http");
        if let Some(path) = &options.ca_bundle {
            for certificate in Certificate::from_pem_bundle(&client::read_ca_bundle(path)?)? {
                client_options = client_options.with_root_certificate(certificate);
            }
        }
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, backoff: BackoffConfig::default() };
        // The address has the bucket in it, which this builder expects of virtual-hosted addresses.
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(address.region())
            .with_endpoint(address.url().as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(true)
            .with_client_options(client_options)
            .with_retry(retry);
        builder = match aws::credentials(options, address.region())? {
            Some(credentials) => builder.with_credentials(credentials),
            None => builder.with_skip_signature(true),
        };
        Ok(Self { inner: Arc::new(builder.build()?), location: address.url().to_string(), folder: None })
    }

    /// Where it is, for people.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The objects below a folder, which is not empty and ends in no slash.
    ///
    /// # Errors
    /// When the listing could not be finished.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let path = path(folder)?;
        let listed = self
            .inner
            .list(Some(&path))
            .map_ok(|meta| Listed { key: meta.location.as_ref().to_owned(), etag: meta.e_tag.unwrap_or_default() });
        listed.try_collect().await.map_err(|error| told(folder, &error))
    }

    /// The names of the folders directly below a folder.
    ///
    /// # Errors
    /// When the listing could not be finished.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.inner.list_with_delimiter(Some(&path(folder)?)).await.map_err(|error| told(folder, &error))?;
        Ok(listed.common_prefixes.iter().filter_map(|prefix| Some(prefix.filename()?.to_owned())).collect())
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// When that cannot be said.
    pub async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        match self.inner.get(&path(key)?).await {
            Ok(result) => {
                let made_by = result.attributes.get(&Attribute::Metadata(MADE_BY.into())).map(|value| value.as_ref().to_owned());
                Ok(Some(Stored { etag: result.meta.e_tag.clone().unwrap_or_default(), made_by, result }))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(told(key, &error)),
        }
    }

    /// The `ETag` of an object, if it is there.
    ///
    /// # Errors
    /// When that cannot be said.
    pub async fn etag(&self, key: &str) -> Result<Option<String>, StoreError> {
        match self.inner.head(&path(key)?).await {
            Ok(meta) => Ok(Some(meta.e_tag.unwrap_or_default())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(told(key, &error)),
        }
    }

    /// Writes an object, if `condition` holds. After an answer that was lost, a put that was done may be told as refused; read what is there.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn put(&self, key: &str, bytes: Bytes, label: &Label, condition: &Condition) -> Result<Put, StoreError> {
        let path = path(key)?;
        if let Some(one_at_a_time) = &self.folder {
            let _held = one_at_a_time.lock().await;
            if !self.holds(key, condition).await? {
                return Ok(Put::Refused);
            }
            let done = self.inner.put(&path, bytes.into()).await.map_err(|error| told(key, &error))?;
            return Ok(Put::Done(done.e_tag.unwrap_or_default()));
        }
        let mut attempt = 1;
        loop {
            let mode = match condition {
                Condition::Absent => PutMode::Create,
                Condition::Unchanged(etag) => PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: None }),
            };
            let options = PutOptions { mode, attributes: attributes(label), ..Default::default() };
            match self.inner.put_opts(&path, bytes.clone().into(), options).await {
                Ok(done) => return Ok(Put::Done(done.e_tag.unwrap_or_default())),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(Put::Refused),
                // Not repeated by the client underneath, since it cannot know whether it was done.
                Err(Error::Generic { .. }) if attempt < PUT_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(client::jitter(client::FIRST_BACKOFF)).await;
                }
                Err(error) => return Err(told(key, &error)),
            }
        }
    }

    /// Begins an upload of unknown length.
    pub fn upload(&self, key: &str, label: Label) -> Upload {
        Upload::new(self.clone(), key.to_owned(), label)
    }

    async fn holds(&self, key: &str, condition: &Condition) -> Result<bool, StoreError> {
        let there = self.etag(key).await?;
        Ok(match condition {
            Condition::Absent => there.is_none(),
            Condition::Unchanged(etag) => there.as_deref() == Some(etag),
        })
    }

    fn attributes(&self, label: &Label) -> Attributes {
        if self.folder.is_some() { Attributes::new() } else { attributes(label) }
    }
}

fn attributes(label: &Label) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, label.content_type.into());
    attributes.insert(Attribute::Metadata(MADE_BY.into()), label.made_by.clone().into());
    attributes
}

/// A key as it is, where `Path::from` would escape letters beyond ASCII.
fn path(key: &str) -> Result<Path, StoreError> {
    Path::parse(key).map_err(|error| StoreError(format!("`{key}` cannot be a key: {error}")))
}

fn told(key: &str, error: &Error) -> StoreError {
    // The server's own document of an error is long, and for programs.
    let text = chain(error).split_whitespace().collect::<Vec<_>>().join(" ");
    let between = |open: &str, close: &str| Some(text.split_once(open)?.1.split_once(close)?.0.to_owned());
    let short = match (between("<Code>", "</Code>"), between("<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => text,
    };
    StoreError(if short.contains(key) { short } else { format!("{key}: {short}") })
}

#[cfg(test)]
mod tests;
