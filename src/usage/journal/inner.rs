//! The journal's store and what is known of it, behind locks; how it is opened again after the disk has failed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use prometheus::IntGauge;
use redb::Error;

use super::JournalError;
use super::backlog::Backlog;
use super::seal::Seal;
use super::tables::Tables;
use crate::time::Clock;
use crate::usage::metrics::JournalMetrics;

/// The store's file.
const STORE: &str = "journal.redb";
/// The folder of the sealed files.
pub(super) const SEALED: &str = "sealed";
/// A remembered report in the store, roughly.
const REMEMBERED_BYTES: u64 = 48;
/// The store is made smaller when it is this many times as large as what it holds,
const WASTE: u64 = 4;
/// and this many bytes besides, so that a small one is left alone.
const LEAST_WASTE: u64 = 8 << 20;

/// What is known of the journal without reading it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Number of the last entry.
    pub(super) last: u64,
    pub(super) sealed_through: u64,
    pub(super) backlog: Backlog,
    pub(super) seals: BTreeMap<u64, Seal>,
}

impl State {
    pub(super) fn live_bytes(&self) -> u64 {
        self.backlog.total().bytes + self.seals.values().map(|seal| seal.bytes + seal.file_bytes()).sum::<u64>()
    }
}

pub(super) struct Inner {
    pub(super) folder: PathBuf,
    pub(super) id: String,
    pub(super) budget: u64,
    pub(super) clock: Clock,
    pub(super) metrics: JournalMetrics,
    /// `Err` with the reason while it cannot be used.
    tables: RwLock<Result<Tables, String>>,
    state: Mutex<State>,
}

impl Inner {
    pub(super) fn open(folder: &Path, budget: u64, clock: Clock, metrics: JournalMetrics) -> Result<Self, JournalError> {
        let broken = |reason: String| JournalError::Folder { folder: folder.into(), reason };
        fs::create_dir_all(folder.join(SEALED)).map_err(|error| broken(error.to_string()))?;
        let (tables, state) = load(folder)?;
        let id = tables.id().map_err(|error| explain(folder, &error))?;
        // The names of the files have to be as lasting as what is in them.
        sync_folder(folder).map_err(|error| broken(error.to_string()))?;
        remove_strangers(folder, &state).map_err(|error| broken(error.to_string()))?;
        let inner =
            Self { folder: folder.into(), id, budget, clock, metrics, tables: RwLock::new(Ok(tables)), state: Mutex::new(state) };
        set(&inner.metrics.budget, budget);
        inner.show();
        Ok(inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).as_ref().err().cloned()
    }

    pub(super) fn failed(&self, reason: &str) -> JournalError {
        JournalError::Folder { folder: self.folder.clone(), reason: reason.to_owned() }
    }

    /// Does something with the store. After an error nobody uses it until it has been opened again, since nobody knows what was written.
    pub(super) fn with_tables<T>(&self, work: impl FnOnce(&Tables) -> Result<T, Error>) -> anyhow::Result<T> {
        let failure = {
            let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
            match tables.as_ref().map(|tables| guarded(|| work(tables))) {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => explain(&self.folder, &error),
                Err(reason) => return Err(anyhow::anyhow!("{reason}")),
            }
        };
        self.metrics.errors.inc();
        let reason = failure.to_string();
        tracing::error!(error = reason, "the journal failed");
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = Err(reason);
        Err(failure.into())
    }

    /// Opens the store again after a failure.
    pub(super) fn reopen(&self) -> Result<(), JournalError> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let (opened, state) = load(&self.folder)?;
        *self.state() = state;
        *tables = Ok(opened);
        drop(tables);
        self.show();
        tracing::info!("the journal can be used again");
        Ok(())
    }

    /// Ends the use of the store.
    pub(super) fn close(&self) {
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = Err("the program is stopping".to_owned());
    }

    pub(super) fn record(&self, seal: &Seal) -> anyhow::Result<()> {
        {
            let state = self.state();
            let (is_known, expected) = (state.seals.contains_key(&seal.first), state.sealed_through + 1);
            // Whatever went wrong, no entry belongs to two seals.
            anyhow::ensure!(is_known || seal.first == expected, "a seal begins at {} where {expected} is next", seal.first);
        }
        self.with_tables(|tables| tables.record(seal))?;
        let mut state = self.state();
        state.sealed_through = state.sealed_through.max(seal.last);
        state.backlog.remove_through(seal.last);
        state.seals.insert(seal.first, seal.clone());
        drop(state);
        self.show();
        Ok(())
    }

    pub(super) fn finish(&self, seal: &Seal) -> anyhow::Result<()> {
        self.with_tables(|tables| tables.finish(seal))?;
        self.state().seals.remove(&seal.first);
        for file in &seal.files {
            if let Err(error) = fs::remove_file(self.folder.join(SEALED).join(&file.name)) {
                tracing::warn!(file = file.name, %error, "a file that is in the bucket could not be removed");
            }
        }
        self.give_space_back()?;
        self.show();
        Ok(())
    }

    /// Makes the store's file smaller when it is far larger than what it holds. Nobody can use it meanwhile.
    fn give_space_back(&self) -> anyhow::Result<()> {
        let length = fs::metadata(self.folder.join(STORE))?.len();
        let entries = {
            let state = self.state();
            state.backlog.total().bytes + state.seals.values().map(|seal| seal.bytes).sum::<u64>()
        };
        if length < LEAST_WASTE + WASTE * entries {
            return Ok(());
        }
        let needed = entries + REMEMBERED_BYTES * self.with_tables(Tables::remembered)?;
        if length < LEAST_WASTE + WASTE * needed {
            return Ok(());
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(open) = tables.as_mut()
            && let Err(error) = guarded(|| open.compact())
        {
            let failure = explain(&self.folder, &error);
            *tables = Err(failure.to_string());
            return Err(failure.into());
        }
        drop(tables);
        let now = fs::metadata(self.folder.join(STORE))?.len();
        tracing::debug!(before = length, now, "the journal gave disk space back");
        Ok(())
    }

    /// Brings the gauges up to date.
    pub(super) fn show(&self) {
        let state = self.state();
        let sealed: u64 = state.seals.values().map(|seal| seal.entries).sum();
        let metrics = &self.metrics;
        set(&metrics.live_bytes, state.live_bytes());
        set(&metrics.entries, state.backlog.total().entries + sealed);
        set(&metrics.seals, state.seals.len() as u64);
        let oldest = state.seals.values().next().map(|seal| seal.oldest).or(state.backlog.oldest());
        drop(state);
        metrics.oldest.set(oldest.map_or(0.0, |at| Duration::from_millis(at.unsigned_abs()).as_secs_f64()));
        set(&metrics.file_bytes, fs::metadata(self.folder.join(STORE)).map_or(0, |metadata| metadata.len()));
    }
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn load(folder: &Path) -> Result<(Tables, State), JournalError> {
    let load = || {
        let tables = Tables::open(&folder.join(STORE))?;
        let sealed_through = tables.sealed_through()?;
        let (backlog, last) = tables.unsealed()?;
        let seals = tables.seals()?.into_iter().map(|seal| (seal.first, seal)).collect();
        Ok((tables, State { last, sealed_through, backlog, seals }))
    };
    guarded(load).map_err(|error| explain(folder, &error))
}

/// The store checks what it reads, but not everywhere: some damage it meets with a panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Corrupted(text.unwrap_or("what is in it makes no sense").lines().next().unwrap_or_default().to_owned()))
    })
}

fn explain(folder: &Path, error: &Error) -> JournalError {
    let folder = folder.to_owned();
    match error {
        Error::DatabaseAlreadyOpen => JournalError::InUse(folder),
        Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            JournalError::Damaged { folder, reason: "its file was not written by this program".to_owned() }
        }
        Error::Io(error) => JournalError::Folder { folder, reason: error.to_string() },
        Error::PreviousIo => JournalError::Folder { folder, reason: "the disk has failed before".to_owned() },
        Error::Corrupted(reason) => JournalError::Damaged { folder, reason: reason.clone() },
        other => JournalError::Damaged { folder, reason: other.to_string() },
    }
}

/// Makes names in a folder last.
///
/// # Errors
/// What the file system says.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Files that were being made when the program ended, or whose seal was finished.
fn remove_strangers(folder: &Path, state: &State) -> std::io::Result<()> {
    for entry in fs::read_dir(folder.join(SEALED))? {
        let entry = entry?;
        let known = state.seals.values().flat_map(|seal| &seal.files).any(|file| *file.name == *entry.file_name());
        if !known {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
