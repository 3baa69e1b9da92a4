//! An upload of unknown length: small objects as one put, larger ones in parts, neither visible before it is finished.

use bytes::Bytes;
use object_store::{MultipartUpload, PutMultipartOptions, PutPayload};
use tokio::task::JoinHandle;

use super::{Condition, Label, Put, Store, StoreError, not_written, path};

/// S3 takes parts of 5 MiB at least, and 10,000 of them: 80 GB.
const PART: usize = 8 << 20;

/// An upload in progress. One part is sent while the next is gathered, so it holds two at most.
pub struct Upload {
    store: Store,
    key: String,
    label: Label,
    gathered: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
    sending: Option<JoinHandle<object_store::Result<()>>>,
}

impl Upload {
    pub(super) fn new(store: Store, key: String, label: Label) -> Self {
        Self { store, key, label, gathered: Vec::new(), parts: None, sending: None }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When a part could not be sent.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while self.gathered.len() + bytes.len() > PART {
            let (now, later) = bytes.split_at(PART - self.gathered.len());
            self.gathered.extend_from_slice(now);
            bytes = later;
            self.send().await?;
        }
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes the object visible, if `condition` holds. A large one is checked just before its end, since S3 takes no condition there that every
    /// server knows.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn finish(mut self, condition: &Condition) -> Result<Put, StoreError> {
        if self.parts.is_none() {
            let bytes = Bytes::from(std::mem::take(&mut self.gathered));
            return self.store.put(&self.key, bytes, &self.label, condition).await;
        }
        self.send().await?;
        self.sent().await?;
        if !self.store.holds(&self.key, condition).await? {
            return Ok(Put::Refused);
        }
        let Some(parts) = &mut self.parts else { return Ok(Put::Refused) };
        let done = parts.complete().await.map_err(|error| not_written(&self.key, &error))?;
        self.parts = None;
        self.store.sync(&self.key).await?;
        Ok(Put::Done(done.e_tag.unwrap_or_default()))
    }

    async fn send(&mut self) -> Result<(), StoreError> {
        self.sent().await?;
        let part = std::mem::replace(&mut self.gathered, Vec::with_capacity(PART));
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let options = PutMultipartOptions { attributes: self.store.attributes(&self.label), ..Default::default() };
                let begun = self.store.objects().await.put_multipart_opts(&path(&self.key)?, options).await;
                none.insert(begun.map_err(|error| not_written(&self.key, &error))?)
            }
        };
        self.sending = Some(tokio::spawn(parts.put_part(PutPayload::from(part))));
        Ok(())
    }

    /// Waits for the part on its way.
    async fn sent(&mut self) -> Result<(), StoreError> {
        match self.sending.take() {
            Some(sending) => match sending.await {
                Ok(sent) => sent.map_err(|error| not_written(&self.key, &error)),
                Err(error) => Err(StoreError(format!("{}: a part could not be sent: {error}", self.key))),
            },
            None => Ok(()),
        }
    }
}

impl Drop for Upload {
    /// Parts of an upload that is given up would stay, unseen and paid for.
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
        if let (Some(mut parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) {
            let key = self.key.clone();
            runtime.spawn(async move {
                if let Err(error) = parts.abort().await {
                    tracing::debug!(key, %error, "an upload that was given up could not be aborted");
                }
            });
        }
    }
}
