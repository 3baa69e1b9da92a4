//! Objects as files. What is put is on disk before it is there: whoever puts it may throw its own copy away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

/// A folder that stands for a bucket.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    objects: Arc<LocalFileSystem>,
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: &FilePath) -> object_store::Result<Self> {
        let objects = Arc::new(LocalFileSystem::new_with_prefix(root)?);
        // Paths of objects are below the root without links.
        let root = root.canonicalize().unwrap_or_else(|_| root.into());
        if let Some(parent) = root.parent() {
            // It may be new. Whoever may not look into the folder above has made it before.
            let _ = File::open(parent).and_then(|folder| folder.sync_all());
        }
        Ok(Self { objects, root })
    }

    pub(super) fn objects(&self) -> Arc<LocalFileSystem> {
        Arc::clone(&self.objects)
    }

    /// Writes an object beside its place, syncs it, and moves it there.
    pub(super) fn put(&self, key: &Path, bytes: &Bytes) -> io::Result<()> {
        let path = self.file(key)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // A name of this form is no object for those who list.
        let mut staged = path.clone().into_os_string();
        staged.push("#0");
        let written = File::create(&staged).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&staged, &path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&staged);
        }
        written?;
        self.sync_folders(&path)
    }

    /// Syncs an object that is there.
    pub(super) fn sync(&self, key: &Path) -> io::Result<()> {
        let path = self.file(key)?;
        File::open(&path)?.sync_all()?;
        self.sync_folders(&path)
    }

    /// Up to the root, for any of them may be new.
    fn sync_folders(&self, path: &FilePath) -> io::Result<()> {
        let mut within = path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root));
        within.try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn file(&self, key: &Path) -> io::Result<PathBuf> {
        self.objects.path_to_filesystem(key).map_err(io::Error::other)
    }
}
