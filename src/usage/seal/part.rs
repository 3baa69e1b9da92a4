//! A file in the making: hashed as it is written, and under its name only when it is complete and on disk.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::civil::Date;
use ring::digest::{Context, SHA256, digest};

use crate::usage::journal::seal::{FileKind, SealedFile};

/// See above.
pub(super) struct Part {
    folder: PathBuf,
    name: String,
    key: String,
    out: BufWriter<File>,
    hash: Context,
    bytes: u64,
}

impl Part {
    /// Begins the file for the object of this key. It is called as the object, with a hash of the whole key before it.
    pub(super) fn create(folder: &Path, key: &str) -> anyhow::Result<Self> {
        let (_, last) = key.rsplit_once('/').unwrap_or(("", key));
        let name = format!("{}_{last}", &sha256(key.as_bytes())[..16]);
        let draft = draft(folder, &name);
        let file = File::create(&draft).with_context(|| format!("cannot create {}", draft.display()))?;
        let out = BufWriter::with_capacity(1 << 16, file);
        Ok(Self { folder: folder.into(), name, key: key.to_owned(), out, hash: Context::new(&SHA256), bytes: 0 })
    }

    /// What to say when it cannot be written.
    pub(super) fn failed(&self) -> String {
        format!("cannot write {}", draft(&self.folder, &self.name).display())
    }

    /// Syncs the file and gives it its name, which is lasting when the folder has been synced too.
    pub(super) fn finish(self, cluster_id: String, day: Date, rows: u64, kind: FileKind) -> anyhow::Result<SealedFile> {
        let failed = self.failed();
        let Self { folder, name, key, out, hash, bytes } = self;
        let synced = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.and_then(|()| fs::rename(draft(&folder, &name), folder.join(&name))).context(failed)?;
        Ok(SealedFile { name, key, cluster_id, day, sha256: hex(hash.finish().as_ref()), bytes, rows, kind })
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn draft(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.part"))
}

/// The SHA-256 of bytes, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
