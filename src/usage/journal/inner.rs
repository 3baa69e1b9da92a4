//! The journal's store and what is known of it, behind locks; how it is opened again after the disk has failed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
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
/// Bytes of the smallest part of the store's file that has space on disk or has not.
const PAGE: usize = 4 << 10;
/// The folder of the sealed files.
pub(super) const SEALED: &str = "sealed";
/// A remembered report in the store, roughly.
const REMEMBERED_BYTES: u64 = 48;
/// The store is made smaller when it is this many times as large as what it holds,
const WASTE: u64 = 4;
/// and this many bytes besides, so that a small one is left alone.
const LEAST_WASTE: u64 = 8 << 20;
/// Bytes of entries up to which it is made smaller: about a second's work.
const MOST_MOVED: u64 = 256 << 20;

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
    /// `None` while it cannot be used; `failure` says why.
    tables: RwLock<Option<Tables>>,
    /// Apart, since whoever asks for it must not wait for the disk.
    failure: Mutex<Option<String>>,
    state: Mutex<State>,
    /// What the store held when it was last made smaller, and its length then: it may not become smaller for less.
    compacted: Mutex<(u64, u64)>,
}

impl Inner {
    pub(super) fn open(folder: &Path, budget: u64, clock: Clock, metrics: JournalMetrics) -> Result<Self, JournalError> {
        let broken = |error: std::io::Error| JournalError::Folder { folder: folder.into(), reason: error.to_string() };
        create_folder(&folder.join(SEALED)).map_err(broken)?;
        if !folder.join(STORE).try_exists().map_err(broken)? {
            create(folder)?;
        }
        let (tables, state) = load(folder)?;
        let id = guarded(|| tables.id()).map_err(|error| explain(folder, &error))?;
        let inner = Self {
            folder: folder.into(),
            id,
            budget,
            clock,
            metrics,
            tables: RwLock::new(Some(tables)),
            failure: Mutex::default(),
            state: Mutex::new(state),
            compacted: Mutex::default(),
        };
        inner.remove_strangers().map_err(broken)?;
        set(&inner.metrics.budget, budget);
        inner.show();
        Ok(inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failed(&self, reason: &str) -> JournalError {
        JournalError::Folder { folder: self.folder.clone(), reason: reason.to_owned() }
    }

    /// Does something with the store. After an error nobody uses it until it has been opened again, since nobody knows what was written.
    pub(super) fn with_tables<T>(&self, work: impl FnOnce(&Tables) -> Result<T, Error>) -> anyhow::Result<T> {
        let failure = {
            let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
            match tables.as_ref().map(|tables| guarded(|| work(tables))) {
                Some(Ok(done)) => return Ok(done),
                Some(Err(error)) => explain(&self.folder, &error),
                None => anyhow::bail!(self.failure().unwrap_or_else(|| "the journal is closed".to_owned())),
            }
        };
        self.metrics.errors.inc();
        let reason = failure.to_string();
        tracing::error!(error = reason, "the journal failed");
        self.shut(reason);
        Err(failure.into())
    }

    /// Nobody uses the store from now on, for this reason.
    pub(super) fn shut(&self, reason: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the store again after a failure. Others are told of the failure meanwhile, and do not wait.
    pub(super) fn reopen(&self) -> Result<(), JournalError> {
        let path = self.folder.join(STORE);
        write_again(&path).map_err(|error| self.failed(&error.to_string()))?;
        let (opened, state) = load(&self.folder)?;
        let id = guarded(|| opened.id()).map_err(|error| explain(&self.folder, &error))?;
        if id != self.id {
            let reason = format!("it is another one, {id}, than the one that was opened, {}", self.id);
            return Err(JournalError::Damaged { folder: self.folder.clone(), reason });
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        *self.state() = state;
        *tables = Some(opened);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        drop(tables);
        self.show();
        tracing::info!("the journal can be used again");
        Ok(())
    }

    pub(super) fn record(&self, seal: &Seal) -> anyhow::Result<()> {
        self.with_tables(|tables| tables.record(seal))?;
        let mut state = self.state();
        state.sealed_through = state.sealed_through.max(seal.last);
        state.backlog.remove_through(seal.last);
        state.seals.insert(seal.first, seal.clone());
        drop(state);
        self.show();
        Ok(())
    }

    /// All files of the seal are in the bucket: they go first, since the rest may need what they free.
    pub(super) fn finish(&self, seal: &Seal) -> anyhow::Result<()> {
        for file in &seal.files {
            match fs::remove_file(self.folder.join(SEALED).join(&file.name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(file = file.name, %error, "a file that is in the bucket could not be removed");
                }
                _ => {}
            }
        }
        self.with_tables(|tables| tables.finish(seal))?;
        self.state().seals.remove(&seal.first);
        if let Err(error) = self.give_space_back() {
            tracing::warn!(error = format!("{error:#}"), "the journal could not give disk space back");
        }
        self.show();
        Ok(())
    }

    /// Makes the store's file smaller when it is far larger than what it holds, and that is little: nobody can use it meanwhile.
    fn give_space_back(&self) -> anyhow::Result<()> {
        let length = fs::metadata(self.folder.join(STORE))?.len();
        let entries = {
            let state = self.state();
            state.backlog.total().bytes + state.seals.values().map(|seal| seal.bytes).sum::<u64>()
        };
        let (held, compacted) = *self.compacted.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = entries > held / 2 && length <= 2 * compacted;
        if tried || entries > MOST_MOVED || length < LEAST_WASTE + WASTE * entries {
            return Ok(());
        }
        let needed = entries + REMEMBERED_BYTES * self.with_tables(Tables::remembered)?;
        if length < LEAST_WASTE + WASTE * needed {
            return Ok(());
        }
        let compacted = {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            tables.as_mut().map_or(Ok(()), |open| guarded(|| open.compact()))
        };
        if let Err(error) = compacted {
            let failure = explain(&self.folder, &error);
            self.metrics.errors.inc();
            self.shut(failure.to_string());
            return Err(failure.into());
        }
        let now = fs::metadata(self.folder.join(STORE))?.len();
        *self.compacted.lock().unwrap_or_else(PoisonError::into_inner) = (entries, now);
        tracing::debug!(before = length, now, "the journal gave disk space back");
        Ok(())
    }

    /// Removes files of seals that were never recorded, which nobody is making now.
    pub(super) fn remove_strangers(&self) -> std::io::Result<()> {
        let state = self.state();
        let is_known = |name: &OsStr| state.seals.values().flat_map(|seal| &seal.files).any(|file| *file.name == *name);
        for entry in fs::read_dir(self.folder.join(SEALED))? {
            let entry = entry?;
            if !is_known(&entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
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
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
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

/// Makes a folder, and its name and that of the folder around it last.
fn create_folder(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let around = folder.ancestors().take(3).filter(|folder| !folder.as_os_str().is_empty());
    around.map(sync_folder).find(|synced| synced.as_ref().is_err_and(|error| !is_foreign(error))).unwrap_or(Ok(()))
}

/// A folder that we may pass through and not read is not one that we have made.
fn is_foreign(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied
}

/// Makes a store, under its name only when it is complete: a file that was being made when the program was killed is no store that is damaged.
fn create(folder: &Path) -> Result<(), JournalError> {
    let draft = folder.join(format!("{STORE}.new"));
    let made = guarded(|| {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::Io(error)),
            _ => {}
        }
        Tables::create(&draft)?;
        fs::rename(&draft, folder.join(STORE)).and_then(|()| sync_folder(folder)).map_err(Error::Io)
    });
    made.map_err(|error| explain(folder, &error))
}

/// Writes a file over itself. After a failure of the disk the system may take pages for written that are not; now they are, or the failure is told.
///
/// Not so pages of zeros, of which the store keeps nothing that matters: most are where the file has no space on disk yet, and none must be taken up
/// there, which may be full.
fn write_again(path: &Path) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            return file.sync_all();
        }
        for page in buffer[..read].chunks(PAGE) {
            if page.iter().any(|byte| *byte != 0) {
                file.write_all_at(page, at)?;
            }
            at += page.len() as u64;
        }
    }
}
