//! A local folder as a bucket: every regular file below it is an object whose key is its path. For demos, tests and mirrors on disk.
//!
//! Objects come in S3's order (by the bytes of the whole key): a folder sorts as its name with a `/` behind it.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::UNIX_EPOCH;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{ListError, Meter, Page, Reason, Tally};

/// As many objects as on a page of S3.
const PAGE: usize = 1_000;

/// Linux' number for too many symbolic links, which `std` has no stable kind for.
const ELOOP: i32 = 40;

/// A folder, listed below a prefix.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    prefix: String,
    /// Held by the walk that is going on. One on a dead mount may outlive its scan.
    walking: Arc<Mutex<()>>,
}

impl Folder {
    pub(super) fn new(root: PathBuf, prefix: &str) -> Self {
        Self { root, prefix: prefix.to_owned(), walking: Arc::default() }
    }

    pub(super) fn location(&self) -> String {
        let url = format!("file://{}", self.root.display());
        if self.prefix.is_empty() { url } else { format!("{url} (prefix {:?})", self.prefix) }
    }

    /// Walks until the first page is full. Gives its number of objects, and whether there may be more.
    pub(super) async fn probe(&self) -> Result<(usize, bool), ListError> {
        let (mut pages, walk) = self.walk();
        match pages.recv().await {
            Some(page) => Ok((page.len(), page.len() == PAGE)),
            None => self.outcome(walk).await.map(|()| (0, false)),
        }
    }

    pub(super) async fn list(&self, tally: &mut impl Tally, meter: &Meter) -> Result<(), ListError> {
        let (mut pages, walk) = self.walk();
        while let Some(page) = pages.recv().await {
            for object in page.objects() {
                tally.add(&object);
            }
            meter.page(page.len() as u64);
        }
        self.outcome(walk).await
    }

    /// Walks on a thread of its own, two pages ahead at most; the walk ends soon after its receiver is dropped.
    fn walk(&self) -> (mpsc::Receiver<Page>, JoinHandle<Result<(), ListError>>) {
        let (sender, pages) = mpsc::channel(2);
        let folder = self.clone();
        let walk = tokio::task::spawn_blocking(move || {
            let lock = folder.walking.try_lock();
            if matches!(lock, Err(TryLockError::WouldBlock)) {
                let text = format!("listing {}: an earlier walk has not ended yet; is a mount dead?", folder.location());
                return Err(ListError::new(Reason::Folder, text));
            }
            let mut walk = Walk { prefix: folder.prefix.as_bytes(), page: Page::default(), pages: sender };
            let walked = walk.folder(&folder.root, &mut Vec::new()).map_err(|(path, error)| folder.failure(&path, &error))?;
            if let Some(()) = walked {
                walk.send();
            }
            Ok(())
        });
        (pages, walk)
    }

    async fn outcome(&self, walk: JoinHandle<Result<(), ListError>>) -> Result<(), ListError> {
        let died = |error| ListError::new(Reason::Folder, format!("the walk of {} died: {error}", self.location()));
        walk.await.unwrap_or_else(|error| Err(died(error)))
    }

    fn failure(&self, path: &Path, error: &io::Error) -> ListError {
        let reason =
            if path == self.root && error.kind() == io::ErrorKind::NotFound { Reason::NoSuchBucket } else { Reason::Folder };
        ListError::new(reason, format!("listing {}: cannot read {}: {error}", self.location(), path.display()))
    }
}

struct Walk<'a> {
    prefix: &'a [u8],
    page: Page,
    pages: mpsc::Sender<Page>,
}

impl Walk<'_> {
    /// Walks the folder whose key is `key`. `None` when nobody listens any more.
    fn folder(&mut self, path: &Path, key: &mut Vec<u8>) -> Result<Option<()>, (PathBuf, io::Error)> {
        let unreadable = |error| (path.to_owned(), error);
        let entries = match fs::read_dir(path) {
            // Deleted since its parent was read, as an object may be during a listing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !key.is_empty() => return Ok(Some(())),
            entries => entries.map_err(unreadable)?,
        };
        let mut children = Vec::new();
        for entry in entries {
            if self.pages.is_closed() {
                return Ok(None);
            }
            let entry = entry.map_err(unreadable)?;
            let is_link = entry.file_type().map_err(unreadable)?.is_symlink();
            match fs::metadata(entry.path()) {
                // A link to a file is an object; a link to a folder might lead back up.
                Ok(metadata) if is_link && metadata.is_dir() => {}
                Ok(metadata) => children.push((sort_name(&entry, &metadata), metadata)),
                Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ELOOP) => {}
                Err(error) => return Err((entry.path(), error)),
            }
        }
        children.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (name, metadata) in children {
            let parent = key.len();
            key.extend_from_slice(&name);
            let walked = self.child(path, key, &name, &metadata)?;
            key.truncate(parent);
            if walked.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    fn child(
        &mut self,
        parent: &Path,
        key: &mut Vec<u8>,
        name: &[u8],
        metadata: &Metadata,
    ) -> Result<Option<()>, (PathBuf, io::Error)> {
        if metadata.is_dir() {
            let within_prefix = key.starts_with(self.prefix) || self.prefix.starts_with(key);
            let name = std::ffi::OsString::from_vec(name[..name.len() - 1].to_vec());
            return if within_prefix { self.folder(&parent.join(name), key) } else { Ok(Some(())) };
        }
        if metadata.is_file() && key.starts_with(self.prefix) {
            self.page.push(key, metadata.len(), modified(metadata));
            if self.page.len() == PAGE {
                return Ok(self.send());
            }
        }
        Ok(Some(()))
    }

    fn send(&mut self) -> Option<()> {
        self.pages.blocking_send(std::mem::take(&mut self.page)).ok()
    }
}

fn sort_name(entry: &DirEntry, metadata: &Metadata) -> Vec<u8> {
    let mut name = entry.file_name().as_bytes().to_vec();
    if metadata.is_dir() {
        name.push(b'/');
    }
    name
}

/// Milliseconds since the Unix epoch; 0 for what the file system cannot tell.
fn modified(metadata: &Metadata) -> i64 {
    let Ok(modified) = metadata.modified() else { return 0 };
    let milliseconds = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => milliseconds(after),
        Err(before) => -milliseconds(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::parallel::tests::meter;
    use crate::listing::{Listing, Object, Source};

    #[derive(Default)]
    struct Keys(Vec<String>);

    impl Tally for Keys {
        fn add(&mut self, object: &Object<'_>) {
            self.0.push(format!("{} {}", String::from_utf8_lossy(object.key), object.size));
        }
    }

    async fn keys(root: &Path, prefix: &str) -> Result<Vec<String>, ListError> {
        let listing = Listing(Source::Folder(Folder::new(root.to_owned(), prefix)));
        Ok(listing.list(Keys::default, &meter()).await?.0)
    }

    #[tokio::test]
    async fn files_are_listed_in_the_order_of_s3() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/empty")).unwrap();
        for (path, content) in [("a/z", "12"), ("a-b", "1"), ("a0", ""), ("é", "é")] {
            fs::write(root.path().join(path), content).unwrap();
        }
        for (target, link) in [("nowhere", "dangling"), ("loop", "loop"), ("..", "a/up"), ("a-b", "link")] {
            std::os::unix::fs::symlink(target, root.path().join(link)).unwrap();
        }
        assert_eq!(keys(root.path(), "").await.unwrap(), ["a-b 1", "a/z 2", "a0 0", "link 1", "é 2"]);
        assert_eq!(keys(root.path(), "a/").await.unwrap(), ["a/z 2"]);
        assert_eq!(keys(root.path(), "a").await.unwrap(), ["a-b 1", "a/z 2", "a0 0"]);
    }

    #[tokio::test]
    async fn many_files_come_on_many_pages() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..2_500 {
            fs::write(root.path().join(format!("{number:04}")), "").unwrap();
        }
        let listed = keys(root.path(), "").await.unwrap();
        assert_eq!(listed.len(), 2_500);
        assert!(listed.is_sorted());
        let folder = Folder::new(root.path().to_owned(), "");
        assert_eq!(folder.probe().await.unwrap(), (1_000, true));
        assert_eq!(Folder::new(root.path().to_owned(), "no").probe().await.unwrap(), (0, false));
        // A walk that has not ended is not joined by another one.
        let walking = Arc::clone(&folder.walking);
        let held = tokio::task::spawn_blocking(move || std::mem::forget(walking.lock().unwrap()));
        held.await.unwrap();
        assert!(folder.probe().await.unwrap_err().message.contains("has not ended"));
    }

    #[tokio::test]
    async fn a_missing_folder_is_a_missing_bucket() {
        let root = tempfile::tempdir().unwrap();
        let error = keys(&root.path().join("no"), "").await.unwrap_err();
        assert_eq!(error.reason, Reason::NoSuchBucket);
    }
}
