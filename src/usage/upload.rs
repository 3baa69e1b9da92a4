//! Uploads: the bytes of sealed files go to their keys, create-only. What is there already counts only if it is the same file.

use std::path::Path;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::journal::Journal;
use super::journal::seal::{Seal, SealedFile};
use super::metrics::SealMetrics;
use super::seal::sha256;
use crate::store::{Condition, Label, Put, SHA256, Store, StoreError};
use crate::time::Clock;

/// Why a seal is not in the bucket.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UploadError {
    /// The bucket cannot be written or read now.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else has the key.
    #[error("{0} is another file than the one that was sealed; it is left alone, and so is what belongs there, in the journal")]
    Conflict(String),
    /// The file on disk cannot be read, or is not the one that was sealed, and the bucket does not have it.
    #[error("{0}")]
    Damaged(String),
    /// A damaged file that cannot be made again now.
    #[error("{0}")]
    NotMade(String),
    /// The disk.
    #[error("{0}")]
    Disk(String),
}

/// Sends sealed files.
#[derive(Clone)]
pub struct Uploader {
    pub(super) journal: Journal,
    pub(super) store: Store,
    pub(super) metrics: SealMetrics,
    pub(super) clock: Clock,
}

impl Uploader {
    /// Sends all files of a seal and finishes it.
    ///
    /// # Errors
    /// When a file is not in the bucket; the seal stays as it is.
    pub async fn upload(&self, seal: &Seal) -> Result<(), UploadError> {
        for file in &seal.files {
            let outcome = self.upload_file(file).await;
            let label = match &outcome {
                Ok(Found::Sent) => "done",
                Ok(Found::There) => "already_there",
                Err(UploadError::Conflict(_)) => "conflict",
                Err(_) => "failed",
            };
            self.metrics.uploads.with_label_values(&[label]).inc();
            let found = outcome?;
            self.metrics.uploaded_bytes.inc_by(file.bytes);
            self.metrics.last_upload.set(self.clock.unix_seconds());
            let done = if matches!(found, Found::Sent) { "uploaded" } else { "it is in the bucket already" };
            tracing::info!(key = file.key, rows = file.rows, bytes = file.bytes, kind = ?file.kind, "{done}");
        }
        let (journal, finished) = (self.journal.clone(), seal.clone());
        let finished = spawn_blocking(move || journal.finish(&finished)).await;
        finished.map_err(anyhow::Error::from).flatten().map_err(|error| UploadError::Disk(format!("{error:#}")))
    }

    async fn upload_file(&self, file: &SealedFile) -> Result<Found, UploadError> {
        let bytes = read(&self.journal.sealed_folder(), file).await;
        let Ok(bytes) = bytes else {
            // It may have been sent before it was damaged.
            return if self.is_there(file).await? { Ok(Found::There) } else { bytes.map(|_| Found::There) };
        };
        let label = Label { content_type: file.kind.content_type(), mark: (SHA256, file.sha256.clone()) };
        match self.store.put(&file.key, bytes, &label, &Condition::Absent).await? {
            Put::Done(_) => Ok(Found::Sent),
            Put::Refused if self.is_there(file).await? => Ok(Found::There),
            // It has gone again, or never was: whoever refused may have meant something else.
            Put::Refused => {
                Err(UploadError::Store(StoreError::new(format!("{}: the server says it is there, but it is not", file.key))))
            }
        }
    }

    /// Files of a seal that need not be made again: they are in the bucket, or whole beside the journal.
    ///
    /// # Errors
    /// When the bucket does not say.
    pub async fn whole(&self, seal: &Seal) -> Result<Vec<SealedFile>, UploadError> {
        let mut whole = Vec::new();
        for file in &seal.files {
            if read(&self.journal.sealed_folder(), file).await.is_ok() || self.is_there(file).await? {
                whole.push(file.clone());
            }
        }
        Ok(whole)
    }

    /// Whether the object is the sealed file; anything else under its key is a conflict.
    async fn is_there(&self, file: &SealedFile) -> Result<bool, UploadError> {
        let Some(stored) = self.store.get(&file.key).await? else { return Ok(false) };
        let told = match stored.mark(SHA256) {
            Some(told) => told.to_owned(),
            // Folders keep no marks.
            None => sha256(&stored.bytes().await?),
        };
        if told == file.sha256 { Ok(true) } else { Err(UploadError::Conflict(file.key.clone())) }
    }
}

/// How a file came to be in the bucket.
enum Found {
    Sent,
    There,
}

/// The bytes of a sealed file, if they are what was sealed.
async fn read(folder: &Path, file: &SealedFile) -> Result<Bytes, UploadError> {
    let (path, sealed) = (folder.join(&file.name), file.sha256.clone());
    let read = move || match std::fs::read(&path) {
        Ok(bytes) if sha256(&bytes) == sealed => Ok(bytes.into()),
        Ok(_) => Err(UploadError::Damaged(format!("{} is not the file that was sealed", path.display()))),
        Err(error) => Err(UploadError::Damaged(format!("cannot read {}: {error}", path.display()))),
    };
    spawn_blocking(read).await.unwrap_or_else(|error| Err(UploadError::Disk(error.to_string())))
}
