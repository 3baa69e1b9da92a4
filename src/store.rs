//! Objects that are written and read: S3 servers and local folders, with conditional puts and uploads of unknown length.
//!
//! [`crate::listing`] counts what others have written; this module keeps what the exporter writes itself. Requests, retries and signatures are
//! `object_store`'s.

mod backend;
mod compression;
mod folder;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetResult, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};
use tokio::time::timeout;

use self::backend::{Backend, REQUEST_TIMEOUT, deadline};
pub use self::compression::{Compression, Compressor, Decompressor};
pub use self::upload::Upload;
use crate::aws::{self, BucketAddress, Endpoint, S3Options, S3OptionsError};
use crate::http::{self as client, chain};

/// For a listing of a day or less; it is not large.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the next bytes of an object.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Attempts at a conditional put whose answer was lost.
const PUT_ATTEMPTS: u32 = 3;
/// Characters of an error that is not S3's own, such as a page of a proxy.
const MOST_TOLD: usize = 400;
/// Name of a mark: by what request an object was made.
pub const MADE_BY: &str = "made-by";
/// Name of a mark: the hash of an object's bytes, hexadecimal.
pub const SHA256: &str = "sha256";

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
    backend: Arc<Backend>,
    location: String,
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
    /// Its user metadata: a name and a value. See [`Stored::mark`].
    pub mark: (&'static str, String),
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
    result: GetResult,
}

impl Stored {
    /// The value of a [`Label::mark`]; absent where somebody else has written the object, or in a folder.
    pub fn mark(&self, name: &'static str) -> Option<&str> {
        self.result.attributes.get(&Attribute::Metadata(name.into())).map(AsRef::as_ref)
    }

    /// All of it, for small objects.
    ///
    /// # Errors
    /// When reading fails.
    pub async fn bytes(self) -> Result<Bytes, StoreError> {
        let key = self.result.meta.location.clone();
        let bytes = timeout(REQUEST_TIMEOUT, self.result.bytes()).await;
        let Ok(bytes) = bytes else { return Err(stalled(key.as_ref())) };
        bytes.map_err(|error| told(key.as_ref(), &error))
    }

    /// Piece by piece.
    ///
    /// # Errors
    /// When reading fails, or `each` does.
    pub async fn for_each(self, mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), StoreError> {
        let key = self.result.meta.location.clone();
        let mut stream = self.result.into_stream();
        loop {
            let Ok(next) = timeout(STALL_TIMEOUT, stream.try_next()).await else { return Err(stalled(key.as_ref())) };
            let Some(chunk) = next.map_err(|error| told(key.as_ref(), &error))? else { break };
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
            let location = format!("file://{}", folder.display());
            return Ok(Self { backend: Arc::new(Backend::folder(&folder)?), location });
        }
        let address = BucketAddress::new(options, &endpoint, bucket)?;
        let location = address.url().to_string();
        Ok(Self { backend: Arc::new(Backend::server(options, bucket, address)?), location })
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
            .objects()
            .await
            .list(Some(&path))
            .map_ok(|meta| Listed { key: meta.location.as_ref().to_owned(), etag: meta.e_tag.unwrap_or_default() });
        let Ok(listed) = timeout(LIST_TIMEOUT, listed.try_collect()).await else { return Err(stalled(folder)) };
        listed.map_err(|error| told(folder, &error))
    }

    /// The names of the folders directly below a folder.
    ///
    /// # Errors
    /// When the listing could not be finished.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed =
            self.objects().await.list_with_delimiter(Some(&path(folder)?)).await.map_err(|error| told(folder, &error))?;
        Ok(listed.common_prefixes.iter().filter_map(|prefix| Some(prefix.filename()?.to_owned())).collect())
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// When that cannot be said.
    pub async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let path = path(key)?;
        let reader = &self.backend.clients().await.reader;
        let Ok(got) = timeout(REQUEST_TIMEOUT, reader.get(&path)).await else { return Err(stalled(key)) };
        match got {
            Ok(result) => Ok(Some(Stored { etag: result.meta.e_tag.clone().unwrap_or_default(), result })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(told(key, &error)),
        }
    }

    /// The `ETag` of an object, if it is there.
    ///
    /// # Errors
    /// When that cannot be said.
    pub async fn etag(&self, key: &str) -> Result<Option<String>, StoreError> {
        match self.objects().await.head(&path(key)?).await {
            Ok(meta) => Ok(Some(meta.e_tag.unwrap_or_default())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(told(key, &error)),
        }
    }

    /// Writes an object, if `condition` holds. After an answer that was lost, a put that was done may be told as refused; read what is there. It may
    /// take as long as its length needs on a slow line.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn put(&self, key: &str, bytes: Bytes, label: &Label, condition: &Condition) -> Result<Put, StoreError> {
        let path = path(key)?;
        if let Backend::Folder { one_at_a_time, files, .. } = &*self.backend {
            let _held = one_at_a_time.lock().await;
            if !self.holds(key, condition).await? {
                return Ok(Put::Refused);
            }
            let files = files.clone();
            on_disk(key, move || files.put(&path, &bytes)).await?;
            return Ok(Put::Done(self.etag(key).await?.unwrap_or_default()));
        }
        let deadline = deadline(bytes.len());
        let clients = self.backend.clients().await;
        let objects = if deadline > REQUEST_TIMEOUT { &clients.reader } else { &clients.objects };
        let mut attempt = 1;
        loop {
            let mode = match condition {
                Condition::Absent => PutMode::Create,
                Condition::Unchanged(etag) => PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: None }),
            };
            let options = PutOptions { mode, attributes: attributes(label), ..Default::default() };
            let put = objects.put_opts(&path, bytes.clone().into(), options);
            // The usual client gives up by itself, and has time for another attempt.
            let put = if deadline > REQUEST_TIMEOUT { timeout(deadline, put).await } else { Ok(put.await) };
            match put {
                Ok(Ok(done)) => return Ok(Put::Done(done.e_tag.unwrap_or_default())),
                Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => return Ok(Put::Refused),
                // A lost answer is not made good by the client underneath, since it cannot know whether the put was done.
                Ok(Err(Error::Generic { .. })) if attempt < PUT_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(client::jitter(client::FIRST_BACKOFF)).await;
                }
                Ok(Err(error)) => return Err(not_written(key, &error)),
                Err(_) => return Err(stalled(key)),
            }
        }
    }

    /// Begins an upload of unknown length.
    pub fn upload(&self, key: &str, label: Label) -> Upload {
        Upload::new(self.clone(), key.to_owned(), label)
    }

    async fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.backend.clients().await.objects
    }

    async fn holds(&self, key: &str, condition: &Condition) -> Result<bool, StoreError> {
        let there = self.etag(key).await?;
        Ok(match condition {
            Condition::Absent => there.is_none(),
            Condition::Unchanged(etag) => there.as_deref() == Some(etag),
        })
    }

    /// Waits until an object is on disk, where it is a file here.
    async fn sync(&self, key: &str) -> Result<(), StoreError> {
        let Backend::Folder { files, .. } = &*self.backend else { return Ok(()) };
        let (files, path) = (files.clone(), path(key)?);
        on_disk(key, move || files.sync(&path)).await
    }

    fn attributes(&self, label: &Label) -> Attributes {
        if matches!(*self.backend, Backend::Folder { .. }) { Attributes::new() } else { attributes(label) }
    }
}

/// Waits for the disk where it keeps nobody else waiting.
async fn on_disk(key: &str, write: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), StoreError> {
    let written = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other).flatten();
    written.map_err(|error| StoreError(format!("cannot write {key}: {error}")))
}

fn attributes(label: &Label) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, label.content_type.into());
    let (name, value) = &label.mark;
    attributes.insert(Attribute::Metadata((*name).into()), value.clone().into());
    attributes
}

fn stalled(key: &str) -> StoreError {
    StoreError(format!("{key}: the server does not answer, or stopped in the middle"))
}

/// A key as it is, where `Path::from` would escape letters beyond ASCII.
fn path(key: &str) -> Result<Path, StoreError> {
    Path::parse(key).map_err(|error| StoreError(format!("`{key}` cannot be a key: {error}")))
}

fn not_written(key: &str, error: &Error) -> StoreError {
    StoreError(format!("cannot write {}", told(key, error)))
}

fn told(key: &str, error: &Error) -> StoreError {
    // The server's own document of an error is long, and for programs.
    let text = chain(error).split_whitespace().collect::<Vec<_>>().join(" ");
    let between = |open: &str, close: &str| Some(text.split_once(open)?.1.split_once(close)?.0.to_owned());
    let short = match (between("<Code>", "</Code>"), between("<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => text.chars().take(MOST_TOLD).collect(),
    };
    StoreError(if short.contains(key) { short } else { format!("{key}: {short}") })
}

#[cfg(test)]
mod tests;
