//! The journal: where reports are safe before they are acknowledged, until their objects are in the bucket.
//!
//! ```text
//! append -> entries, numbered -> record a seal (its files are there and synced) -> upload -> finish: entries, seal and files go
//! ```
//!
//! One [`writer`] makes one transaction of all reports that have come while the transaction before was synced, so that senders share an fsync.
//! Entries keep the report as it was sent; nothing is decided about it before it is sealed. A seal is recorded when its files are synced, and
//! removed together with its entries when all its objects are known to be there. Until then nothing of it changes. So after a crash at any
//! point an entry is either not sealed, and will be, or belongs to one seal whose files are sent again as they are.

mod backlog;
pub mod entry;
mod inner;
pub mod seal;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use self::backlog::{Plan, Roll};
use self::entry::Entry;
use self::inner::Inner;
pub use self::inner::sync_folder;
use self::seal::Seal;
pub use self::tables::{Amount, NewEntry, ReportId};
use self::writer::{Append, Message};
use super::metrics::JournalMetrics;
use crate::time::Clock;

/// Reports that wait for the writer. More would wait for longer than a sender does.
const QUEUE: usize = 4_096;

/// A journal that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The folder or its files.
    #[error("the journal in {}: {reason}", folder.display())]
    Folder {
        /// Where.
        folder: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// Another process has it.
    #[error("the journal in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// What is there was not written by this program, or has been damaged since.
    #[error(
        "the journal in {} is damaged: {reason}. Restore the folder, or move it away to begin a new one; reports in it that are not in the \
         bucket are then lost",
        folder.display()
    )]
    Damaged {
        /// Where.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the journal.
    Added,
    /// It had come before.
    Repeated,
}

/// Why a report was not taken. It may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The budget is used up.
    #[error("the journal is full: what it holds is not in the bucket yet")]
    Full,
    /// More come than can be written.
    #[error("the journal cannot keep up")]
    Busy,
    /// The disk.
    #[error("the journal cannot be written: {0}")]
    Failed(String),
}

/// The journal, shared by those who add to it and those who empty it.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
    queue: SyncSender<Message>,
}

/// Entries as they are read, each with its number.
pub type Read = Vec<(u64, Vec<u8>)>;

impl Journal {
    /// Opens the journal in `folder`, or begins one, and starts its writer; `budget` is in bytes. The receiver is told why the writer has ended.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(
        folder: &Path,
        budget: u64,
        clock: Clock,
        metrics: JournalMetrics,
    ) -> Result<(Self, oneshot::Receiver<anyhow::Result<()>>), JournalError> {
        let inner = Arc::new(Inner::open(folder, budget, clock, metrics)?);
        let (queue, messages) = sync_channel(QUEUE);
        let ended = writer::start(Arc::clone(&inner), messages).map_err(|error| inner.failed(&error.to_string()))?;
        Ok((Self { inner, queue }, ended))
    }

    /// The random id made with the journal.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Folder of the sealed files.
    pub fn sealed_folder(&self) -> PathBuf {
        self.inner.folder.join(inner::SEALED)
    }

    /// Adds a report; once this returns it is on disk. `keep`, what the memory of the entry was asked for with, goes with it, also where whoever
    /// waits for this leaves.
    ///
    /// # Errors
    /// When it is not, as far as can be told.
    pub async fn append(&self, entry: NewEntry, keep: Option<OwnedSemaphorePermit>) -> Result<Appended, AppendError> {
        if self.is_full() {
            return Err(AppendError::Full);
        }
        if let Some(reason) = self.failure() {
            return Err(AppendError::Failed(reason));
        }
        let (answer, told) = oneshot::channel();
        self.queue.try_send(Message::Append(Append { entry, answer, keep })).map_err(|error| match error {
            TrySendError::Full(_) => AppendError::Busy,
            TrySendError::Disconnected(_) => AppendError::Failed("it is closed".to_owned()),
        })?;
        told.await.unwrap_or_else(|_| Err(AppendError::Failed("it is closed".to_owned())))
    }

    /// Writes what is waiting, and closes the journal. Reports that come later are not taken.
    pub fn close(&self) {
        // Where the queue is full, the writer is told when it has emptied it; where it is closed, there is nothing to do.
        let _ = self.queue.send(Message::Close);
    }

    /// Bytes that are not in the bucket yet: of entries and sealed files.
    pub fn live_bytes(&self) -> u64 {
        self.inner.state().live_bytes()
    }

    /// True while no report is taken for want of space.
    pub fn is_full(&self) -> bool {
        self.live_bytes() >= self.inner.budget
    }

    /// Why it cannot be read or written now, if that is so.
    pub fn failure(&self) -> Option<String> {
        self.inner.failure()
    }

    /// How much waits to be sealed, and since when in milliseconds since the Unix epoch.
    pub fn unsealed(&self) -> (Amount, Option<i64>) {
        let state = self.inner.state();
        (state.backlog.total(), state.backlog.oldest())
    }

    /// What is to be sealed now, if it is enough or old enough.
    pub fn plan(&self, roll: Roll) -> Option<Plan> {
        let now = self.inner.clock.now().as_millisecond();
        self.inner.state().backlog.plan(roll, now)
    }

    /// Some entries from `from` on: as many as have `enough` bytes.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(&self, from: u64, enough: usize) -> anyhow::Result<Read> {
        self.inner.with_tables(|tables| tables.read(from, enough))
    }

    /// Fixes a seal, whose files are synced.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn record(&self, seal: &Seal) -> anyhow::Result<()> {
        self.inner.record(seal)
    }

    /// Seals that are not finished, the oldest first.
    pub fn seals(&self) -> Vec<Seal> {
        self.inner.state().seals.values().cloned().collect()
    }

    /// Forgets a seal, its entries and its files, because all its objects are there.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn finish(&self, seal: &Seal) -> anyhow::Result<()> {
        self.inner.finish(seal)
    }

    /// Forgets reports that came more than a day ago; their repetition would be taken again.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn forget(&self) -> anyhow::Result<()> {
        let now = self.inner.clock.now().as_millisecond();
        self.inner.with_tables(|tables| tables.forget(now))
    }

    /// Removes files beside the journal that belong to no seal. Nobody may be making one.
    ///
    /// # Errors
    /// When the folder cannot be changed.
    pub fn remove_strangers(&self) -> std::io::Result<()> {
        // What is known of seals is not certain after a failure.
        if self.failure().is_some() { Ok(()) } else { self.inner.remove_strangers() }
    }

    /// Keeps a damaged entry in a file of its own, for people. It is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_aside(&self, number: u64, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let folder = self.inner.folder.join("set-aside");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("entry-{number}.bin"));
        let mut file = std::fs::File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        sync_folder(&folder)?;
        sync_folder(&self.inner.folder)?;
        Ok(path)
    }
}

impl NewEntry {
    /// An entry for a body that is packed as told and has `length` bytes once unpacked. See [`Entry::bytes`].
    pub fn new(id: ReportId, taken_at: i64, rows: u32, packing: super::packing::Packing, length: u32, body: &[u8]) -> Self {
        Self { id, bytes: Entry::bytes(taken_at, rows, packing, length, body) }
    }
}
